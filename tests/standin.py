"""A quick stand-in for any stage: its outputs are digests of what dvc.yaml says it reads.

tests/graph.py copies this file over every stage's (and over demo/draw.py). From its own name, the command line's
words, dvc.yaml and params.yaml it knows what the stage reads and writes, so a change of dvc.yaml needs no
change here. It states what DVC cannot see, that some outputs hang on a subset of what their stage reads, and
it prunes as `check` does. Each run is logged; none is hashed.
"""

import hashlib
import json
import os
import re
import sys
import time
from pathlib import Path
from typing import Any

import yaml

READ_BY = {  # output, or its folder -> the only inputs that reach it (test_stage_analyze.py holds the real stage to it)
    "data/analyze/clusters.csv": ("data/prepare/train/",),
    "data/split/folds.csv": (  # and decisions, where duplicates' labels differ alone (test_stage_split.py)
        "data/label/labels.csv",
        "data/analyze/",
        "data/prepare/train/",
    ),
    "models/probe/": ("data/split/", "data/prepare/train/", "models/weights/"),  # test_stage_probe.py
}
FILE_PER_FOLD = ("data/ensemble/teacher",)  # folders whose files other stages read
IGNORED_PARAMS = {"models/probe/": ".infer"}  # output's folder -> ending of the section that does not reach it
IGNORED_LINES = {  # output -> ending of the lines, in what its stage reads, that do not reach it (test_stage_label.py)
    "data/label/labels.csv": b",confirmed",
    "data/label/cases.csv": b",confirmed",
}


def main(stage: str, words: list[str]) -> None:
    params = load("params.yaml")
    spec = load("dvc.yaml")["stages"][stage]
    context = {**params, **items(spec, params, words)}
    spec = fill(spec.get("do", spec), context)
    log("@".join([stage, *filter(None, ["-".join(words)])]))
    if stage == "check":
        prune(params)
    time.sleep(float(os.environ.get("STANDIN_SECONDS", "0")))
    for path in declared(spec, "outs", "metrics", "plots"):
        for file in [f"{path}/{fold}.parquet" for fold in params["folds"]] if path in FILE_PER_FOLD else [path]:
            write(Path(file), content(path, spec, params))


def load(path: str) -> dict[str, Any]:
    return yaml.load(Path(path).read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))


def items(spec: dict[str, Any], params: dict[str, Any], words: list[str]) -> dict[str, Any]:
    """What `${key}` and `${item}` are in this run."""
    if "foreach" in spec:
        return {"key": words[0], "item": lookup(spec["foreach"][2:-1], params)[words[0]]}
    return {"item": dict(zip(spec["matrix"], words, strict=True))} if "matrix" in spec else {}


def fill(value: Any, context: dict[str, Any]) -> Any:
    """Fill in every `${...}`."""
    if isinstance(value, dict):
        return {fill(k, context): fill(v, context) for k, v in value.items()}
    if isinstance(value, list):
        return [fill(v, context) for v in value]
    if isinstance(value, str):
        return re.sub(r"\$\{([^}]+)\}", lambda found: str(lookup(found[1], context)), value)
    return value


def lookup(key: str, values: Any) -> Any:
    for step in key.split("."):
        values = values[step]
    return values


def declared(spec: dict[str, Any], *kinds: str) -> list[str]:
    """The paths under `kinds`, with or without options."""
    entries = [entry for kind in kinds for entry in spec.get(kind, [])]
    return [entry if isinstance(entry, str) else next(iter(entry)) for entry in entries]


def content(path: str, spec: dict[str, Any], params: dict[str, Any]) -> str:
    if path == "data/check/ok.txt":
        return "ok\n"
    data = [d for d in declared(spec, "deps") if not d.startswith(("stages/", "podium/"))]
    read = [d for d in data if d.startswith(matching(READ_BY, path) or "")]
    keys = [key for key in spec.get("params", []) if isinstance(key, str)]
    values = [lookup(key, params) for key in keys if not key.endswith(matching(IGNORED_PARAMS, path) or "none")]
    digest = hashlib.sha256(
        json.dumps([path, values, [tree(Path(d), IGNORED_LINES.get(path)) for d in read]]).encode()
    ).hexdigest()
    return json.dumps({"digest": int(digest[:8], 16)}) if path.endswith(".json") else digest


def matching(table: dict[str, Any], path: str) -> Any:
    """The entry of an output or of its folder."""
    return next((value for name, value in table.items() if path.startswith(name)), None)


def tree(path: Path, ignored: bytes | None) -> list[tuple[str, str]]:
    """Names and digests of a file or of a folder's files, without their lines of a certain ending."""
    files = sorted(p for p in path.rglob("*") if p.is_file() and p.name != ".gitignore") if path.is_dir() else [path]
    return [(p.relative_to(path).as_posix(), hashlib.sha256(reaching(p, ignored)).hexdigest()) for p in files]


def reaching(path: Path, ignored: bytes | None) -> bytes:
    lines = path.read_bytes().split(b"\n")
    return b"\n".join(line for line in lines if line and not (ignored and line.endswith(ignored)))


def write(path: Path, text: str) -> None:
    target = path / "content.txt" if path.suffix in {"", ".live"} else path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)


def prune(params: dict[str, Any]) -> None:
    from podium.preflight import pruning

    folds = [str(fold) for fold in params["folds"]]
    owners = {key: params[key] for key in pruning.MAPS}
    pruning.remove(pruning.orphans(Path(), **owners, folds=folds))
    pruning.make_folders(Path())


def log(line: str) -> None:
    with Path(os.environ["STANDIN_LOG"]).open("a") as opened:
        opened.write(f"{line}\n")


if __name__ == "__main__":
    main(Path(__file__).stem, sys.argv[1:])
