"""Stage `check`: params.yaml -> data/check/ok.txt, a constant file on which all other stages depend.

Everything is validated before anything is removed: all settings, the contest's paths, every backbone on
the meta device. Then outputs that no member or fold owns any more go, and what the run will cost is said.
`python -m stages.check settings`, which `make` calls first, only reads params.yaml and the tables it names: a second
without torch, for mistakes that DVC refuses in words that help nobody, and for tables that changed since.
"""

import subprocess
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from podium.contest import external, ids, labels, paths, submission
from podium.contest.settings import ContestSettings, ExternalSettings
from podium.core import cli, params, tables
from podium.core.errors import InputError, some
from podium.images import image_files
from podium.preflight import cpu, pruning, yaml_readings
from podium.preflight.settings import Podium
from podium.scoring import scores

BYTES_PER_VALUE = 4
NAMED = 3  # of what is removed from a stage's folder
MADE_LATER = ("demo/images",)  # drawn by a stage of the same graph


def main(part: str = "all", *, root: Path = Path()) -> None:
    """Check params.yaml, prune, and let the others run; of the `settings` part, only read them."""
    if part not in ("all", "settings"):
        raise InputError(f"check {part}: say `settings`, or nothing for all")
    p = params.parse(params.read(root), "", Podium)
    yaml_readings.require_agreement(root)
    _check_git(root)
    _refuse_inputs_among_outputs(p, root)
    _check_paths(p, root)
    told = []
    if (root / p.contest.images.train).is_dir() and (root / p.contest.images.test).is_dir():
        told = _check_tables(p.contest, p.external, root)
    if part == "settings":
        return
    from podium.models import devices  # torch: seconds
    from podium.preflight import model_checks

    for message in told:
        print(f"check: {message}")
    device = devices.start(p.torch)
    values = {}
    for name, member in p.members.items():
        values[name] = model_checks.member(name, member, p.fixres.get(name), device, root)
    _warn_of_emulation(p, device.type)
    _warn_of_untracked(p, root)
    _prune(p, root)
    print(_cost(p, values))
    tables.write_text("ok\n", root / "data/check/ok.txt")


def _check_git(root: Path) -> None:
    """DVCLive fails in a repository without a commit, and would do so when the first training starts."""
    command = ["git", "-C", str(root), "rev-parse", "--verify", "--quiet", "HEAD"]
    if (root / ".git").exists() and subprocess.run(command, capture_output=True, check=False).returncode != 0:
        raise InputError("this git repository has no commit yet, and DVC's logging needs one: git commit")


def _inputs(p: Podium) -> dict[str, str]:
    """Return the paths of all that a person brings, by their keys in params.yaml."""
    c = p.contest
    paths = {"images.train": c.images.train, "images.test": c.images.test, "labels": c.labels}
    paths = {
        f"contest.{key}": path for key, path in {**paths, "overrides": c.overrides, "template": c.template}.items()
    }
    paths |= {f"members.{name}.model.weights_file": member.model.weights_file for name, member in p.members.items()}
    for name, given in p.external.items():
        paths |= {f"external.{name}.oof": given.oof, f"external.{name}.test": given.test}
    return paths


def _warn_of_untracked(p: Podium, root: Path) -> None:
    """`dvc exp run` puts into git, images and all, what neither git nor DVC knows of a stage's inputs."""
    paths = {(root / path).resolve() for path in _inputs(p).values()}
    inside = sorted(str(path) for path in paths if path.is_relative_to(root.resolve()))
    listed = ["git", "-C", str(root), "ls-files", "-z", "--others", "--exclude-standard", "--directory"]
    listed += ["--no-empty-directory", "--", *inside]
    done = subprocess.run(listed, capture_output=True, text=True, errors="backslashreplace", check=False)
    if done.returncode == 0 and (unknown := done.stdout.rstrip("\0").split("\0")) != [""]:
        print(
            f"check: neither git nor DVC has {some(unknown)}: `dvc exp run` would put such files into git; first"
            " `dvc add` the images and weights, and `git add` what is small"
        )


def _refuse_inputs_among_outputs(p: Podium, root: Path) -> None:
    """A person's file where stages write would be removed as nobody's."""
    for key, path in _inputs(p).items():
        if pruning.is_among_outputs(root, path):
            raise InputError(
                f"params.yaml: {key}: {path} lies where stages write and clean up; move it to data/contest/"
            )


def _check_paths(p: Podium, root: Path) -> None:
    c = p.contest
    for name, member in p.members.items():
        if member.model.weights == "file" and not (root / member.model.weights_file).is_file():
            raise InputError(
                f"params.yaml: members.{name}.model.weights_file: {member.model.weights_file} is no file; name a"
                " .safetensors or .pth file"
            )
    for name, given in p.external.items():
        for key, path in (("oof", given.oof), ("test", given.test)):
            external.check_path(root, path, f"external.{name}.{key}", [c.images.train, c.images.test])
    paths.check_paths(
        root,
        train=c.images.train,
        test=c.images.test,
        layout=c.layout,
        labels=c.labels,
        overrides=c.overrides,
        template=c.template,
        id_column=c.columns.id,
        label_column=c.columns.label,
        group_column=c.columns.group,
        fold_column=c.columns.fold,
        made_later=MADE_LATER,
    )


def _check_tables(c: ContestSettings, given_elsewhere: dict[str, ExternalSettings], root: Path) -> list[str]:
    """Read a person's tables as later stages will, so that their mistakes come before any training; what to tell."""
    train, test = (
        [file.image_id for file in image_files.walk(root / folder)[0]] for folder in (c.images.train, c.images.test)
    )
    given, _ = labels.read_given(
        pd.Series(train, dtype="str"),
        layout=c.layout,
        path=root / c.labels,
        id_column=c.columns.id,
        label_column=c.columns.label,
        group_column=c.columns.group,
        fold_column=c.columns.fold,
        label_type=c.label_type,
    )
    classes = sorted(set(given["label"]) - {""})
    images = ids.ImageIndex(train)
    labels.read_overrides(root / c.overrides, images=images, classes=classes, label_type=c.label_type)
    told = _check_template(c, test, classes, root)
    for e in given_elsewhere.values():  # whether a scored image lacks its row is not known yet: the stage says
        fold = e.columns.fold
        external.read(root / e.oof, image_ids=train, classes=classes, id_column=e.columns.id, fold_column=fold)
        external.read(root / e.test, image_ids=test, classes=classes, id_column=e.columns.id)
    return told


def _check_template(c: ContestSettings, test: list[str], classes: list[str], root: Path) -> list[str]:
    values = c.submission.values if "values" in c.submission.model_fields_set else None
    template = submission.check(
        root / c.template,
        test,
        classes=classes,
        values=values,
        labels=c.submission.labels,
        positive=c.submission.positive,
    )
    told = list(template.messages) if template is not None else []
    holds_labels = c.submission.values == "label" and not (template is not None and template.class_columns)
    if holds_labels and not scores.named(c.metric, classes).judges_labels:
        told.append(
            f"WARNING: contest.metric {c.metric} judges probabilities, but the submission will hold labels; see"
            " contest.submission.values and positive"
        )
    return told


def _warn_of_emulation(p: Podium, device: str) -> None:
    slow = [name for name, member in p.members.items() if member.model.precision == "bf16"]
    if slow and device == "cpu" and cpu.emulates_bf16():
        print(
            f"check: WARNING: this CPU has no bf16 instructions: precision bf16 ({some(slow)}) takes ten"
            " times as long as fp32 here; say precision: fp32"
        )


def _prune(p: Podium, root: Path) -> None:
    orphans = pruning.orphans(root, members=p.members, fixres=p.fixres, external=p.external, folds=p.folds)
    lines = _told(root, orphans)
    pruning.remove(orphans)
    for line in lines:
        print(f"check: removed what no member, fold or external name owns any more, {line}")
    pruning.make_folders(root)


def _told(root: Path, orphans: Sequence[Path]) -> list[str]:
    """Sum up what is to be removed: a line per stage's folder."""
    folders: dict[str, list[Path]] = {}
    for path in orphans:
        folders.setdefault("/".join(path.relative_to(root).parts[:2]), []).append(path)
    lines = []
    for folder, removed in folders.items():
        files = [file for path in removed for file in _files(path)]
        size = sum(file.lstat().st_size for file in files)
        names = some([path.relative_to(root / folder).as_posix() for path in removed], NAMED)
        lines.append(f"{len(files)} file{'' if len(files) == 1 else 's'} of {folder} ({size / 1e6:,.1f} MB): {names}")
    return lines


def _files(path: Path) -> list[Path]:
    """Return the files and links at a path, and in it where it is a folder; links are not followed."""
    if path.is_symlink() or not path.is_dir():
        return [path]
    return [file for entry in path.iterdir() for file in _files(entry)]


def _cost(p: Podium, values: dict[str, int]) -> str:
    trainings, size = 0, 0
    for name, member in p.members.items():
        phases = [member.pretrain, member.finetune, *([p.fixres[name]] if name in p.fixres else [])]
        trainings += sum(phase.epochs > 0 for phase in phases) * len(p.folds)
        size += values[name] * BYTES_PER_VALUE * (1 + len(phases) * len(p.folds))
    others = f" (and {len(p.external)} external)" if p.external else ""
    members, probes = (f"{len(p.members)} {word}{'' if len(p.members) == 1 else 's'}" for word in ("member", "probe"))
    at_another_size = f", {len(p.fixres) * len(p.folds)} of them fixres" if p.fixres else ""
    return (
        f"check: {members}{others} x {len(p.folds)} folds: {trainings} trainings{at_another_size}, {probes},"
        f" models of {size / 1e6:,.0f} MB (what is in the cache already is not done again)"
    )


if __name__ == "__main__":
    cli.run(main)
