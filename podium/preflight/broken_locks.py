"""Files of DVC that a kill has cut off in the middle of a write: DVC itself refuses to start with them.

DVC writes dvc.lock anew after every stage, which takes up to a second in a large graph, and not in one step.
"""

import fcntl
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

LOCKS = ("dvc.lock", "demo/dvc.lock")
RWLOCK = ".dvc/tmp/rwlock"  # JSON: which process reads and writes which paths


def remove(root: Path) -> Iterator[str]:
    """Move broken locks to logs/ and yield a message for each; do nothing while another DVC runs.

    The stages that they listed as finished come back from DVC's cache, without running.
    """
    guard = root / ".dvc/tmp/lock"  # DVC holds it while it writes
    if not guard.parent.is_dir():
        return
    with guard.open("a") as opened:
        try:
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        if (root / RWLOCK).is_file() and not _is_json(root / RWLOCK):
            (root / RWLOCK).unlink()
        for name in LOCKS:
            if (root / name).is_file() and not _is_whole(root / name):
                target = root / "logs" / f"broken-{name.replace('/', '-')}"
                target.parent.mkdir(exist_ok=True)
                (root / name).replace(target)
                yield (
                    f"{name} was cut off when DVC was killed: moved to {target.relative_to(root)}; `dvc repro` takes"
                    " finished stages from its cache"
                )


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_text(encoding="utf-8"))
    except ValueError:
        return False
    return True


def _is_whole(path: Path) -> bool:
    """Return whether DVC can read a lock file."""
    try:
        text = path.read_text(encoding="utf-8")
        stages = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        return text.endswith("\n") and all(map(_is_entry, stages.values()))
    except (ValueError, KeyError, TypeError, AttributeError, yaml.YAMLError):
        return False


def _is_entry(entry: dict[str, Any]) -> bool:
    items = [*entry.get("deps", []), *entry.get("outs", [])]
    return (
        isinstance(entry["cmd"], str | list)
        and all(isinstance(item["path"], str) for item in items)
        and all(isinstance(values, dict) for values in entry.get("params", {}).values())
    )
