"""How long each stage took, in a log that git and DVC ignore: in a hashed output it would change every run."""

import csv
import time
from collections.abc import Sequence
from pathlib import Path

LOG = Path("logs/seconds.csv")  # rows: end, stage as DVC names it, seconds
STARTED = time.monotonic()  # of the process, nearly: cli.py imports this file first


def log_seconds(program: Path, words: Sequence[str], root: Path = Path()) -> None:
    """Append the time since the process started, if the program is a stage."""
    if program.parent.name != "stages":
        return
    (root / LOG).parent.mkdir(exist_ok=True)
    name = "@".join(filter(None, [program.stem, "-".join(words)]))
    with (root / LOG).open("a", encoding="utf-8") as opened:
        opened.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')},{name},{time.monotonic() - STARTED:.1f}\n")


def last_seconds(root: Path) -> dict[str, float]:
    """Return the duration of each stage's last run, in the order of the runs; {} without a log."""
    path = root / LOG
    if not path.exists():
        return {}
    last: dict[str, float] = {}
    with path.open(encoding="utf-8", newline="") as opened:
        for _end, name, seconds in csv.reader(opened):
            last.pop(name, None)
            last[name] = float(seconds)
    return last
