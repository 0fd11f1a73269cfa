"""Test which of two runs is better, image by image: `python -m tools.compare A [B]`, or `make compare A=... B=...`.

A and B are experiments (`dvc exp list -A`), git revisions, or `workspace` (the default of B). Their out-of-fold
predictions are joined on image_id. The images that they predict differently go to logs/compare/, as a table and as a
picture.
"""

import re
import textwrap
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from podium.core import cli, pixels, tables
from podium.core.errors import InputError
from podium.pictures import drawing
from podium.pictures.drawing import SheetSection, Tile
from podium.scoring import bootstrap, scores
from podium.scoring.bootstrap import Difference
from tools import pairing, revisions
from tools.pairing import KINDS, Pair

WIDTH = 80
NAMED = 3  # images listed in the terminal, per kind of change
DRAWN = 48  # images in the picture, per kind of change
PACK = "data/prepare/train/pixels.arrow"


def main(first: str = "", second: str = revisions.WORKSPACE, *, root: Path = Path()) -> None:
    """Print the comparison, write changes.csv and changes.png.

    Raises:
        InputError: a name is missing or unknown, a run does not exist, or the two have no images in common.
    """
    if not first or not second:
        raise InputError(
            "name two runs: make compare A=<experiment> B=<experiment>; each may also be a git revision or `workspace`;"
            " `dvc exp list -A` lists the experiments"
        )
    a, b = (revisions.read(name, root) for name in (first, second))
    pair = pairing.pair(a, b)
    judged = {name: _judge(name, pair) for name in dict.fromkeys([a.metric, b.metric, "log_loss"])}
    changes = pairing.changes(pair)
    folder = root / "logs/compare" / f"{_safe(first)}..{_safe(second)}"
    tables.write(changes, folder / "changes.csv", pairing.CHANGES)
    print(text(first, second, pair, judged, changes))
    print(_draw(changes, first, second, root, folder / "changes.png"))


def text(
    first: str, second: str, pair: Pair, judged: dict[str, tuple[float, float, Difference]], changes: pd.DataFrame
) -> str:
    """Format the comparison, no line longer than WIDTH."""
    lines = [f"A  {first}", f"B  {second}", ""]
    lines += [f"{name:8} {note}" for name, note in pair.notes]
    lines += ["", f"{'out of fold':17} {'A':>8} {'B':>8} {'B - A':>9}   {'95% interval':18} {'p':>6}"]
    same = bool((pair.first == pair.second).all())
    for name, (one, other, found) in judged.items():
        interval = "" if same else f"{found.low:+.4f} to {found.high:+.4f}"
        numbers = f"{one:8.4f} {other:8.4f} {found.value:+9.4f}   {interval:18} {found.p_value:6.3f}"
        lines.append(f"{name.replace('_', ' '):17} {numbers}")
    lines += ["", *(verdict(name, found) for name, (_, _, found) in judged.items())]
    if same:
        lines.append("A and B predict exactly the same.")
    lines += [f"Careful: {caution}." for caution in pair.cautions]
    lines += ["", *_summary(changes)]
    return "\n".join(wrapped for line in lines for wrapped in _wrapped(line))


def verdict(name: str, found: Difference) -> str:
    """Return a sentence on which run is better by one metric, if either is."""
    metric = name.replace("_", " ")
    if not found.supported:
        return f"By {metric} there is no evidence that either is better."
    greater = scores.METRICS[name].greater_is_better
    better = "B" if (found.value > 0) == greater else "A"
    return f"By {metric} {better} is better."


def _judge(name: str, pair: Pair) -> tuple[float, float, Difference]:
    """Return A's and B's score, and their difference.

    Raises:
        InputError: the metric is undefined for the images that both score, or for their classes.
    """
    metric = scores.named(name, pair.classes)
    try:
        first, second = (metric.function(pair.targets, probs) for probs in (pair.first, pair.second))
    except ValueError as error:
        raise InputError(f"the {pairing.images(len(pair.image_ids))} that both runs score: {error}") from None
    return first, second, bootstrap.paired(metric, pair.targets, pair.first, pair.second, pair.cluster)


def _summary(changes: pd.DataFrame) -> list[str]:
    """Count the images whose prediction changed, and list some."""
    lines = []
    for kind in KINDS:
        rows = changes[changes["change"] == kind]
        lines.append(f"{kind}: {pairing.images(len(rows))}")
        for row in rows.head(NAMED).itertuples():
            probabilities = f"{row.first_probability:.2f} -> {row.second_probability:.2f}"
            lines.append(f"  {row.image_id}  is {row.label}; A predicts {row.first}, B {row.second} ({probabilities})")
    return lines


def _draw(changes: pd.DataFrame, first: str, second: str, root: Path, path: Path) -> str:
    """Draw the images whose prediction changed, from the workspace's pixels; return a line that names the files."""
    written = f"{path.parent}: changes.csv"
    path.unlink(missing_ok=True)
    if changes.empty:
        return written
    if not (root / PACK).exists():
        return f"{written}; no pictures, because {PACK} is not in the workspace (`dvc checkout`)"
    pack = pixels.open_pack(root / PACK)
    sections = [_section(kind, changes[changes["change"] == kind], pack) for kind in KINDS]
    shown = [section for section in sections if section.tiles]
    drawing.write(drawing.sheet(f"A: {first}   B: {second}", shown), path)
    return f"{written}, changes.png"


def _section(kind: str, rows: pd.DataFrame, pack: pixels.PixelPack) -> SheetSection:
    shown = rows.head(DRAWN)
    tiles = [
        Tile(
            _picture(pack, row.image_id),
            (
                row.image_id,
                f"label: {row.label}",
                f"A: {row.first} ({row.first_probability:.2f})",
                f"B: {row.second} ({row.second_probability:.2f})",
            ),
        )
        for row in shown.itertuples()
    ]
    counted = pairing.images(len(rows)) if len(rows) == len(shown) else f"{len(shown)} of {pairing.images(len(rows))}"
    return SheetSection(f"{kind}: {counted}; in brackets: the label's probability", tiles)


def _picture(pack: pixels.PixelPack, image_id: str) -> drawing.Pixels | None:
    if image_id not in pack:
        return None
    return pack[image_id]


def _wrapped(line: str) -> Sequence[str]:
    """Wrap a line at WIDTH; continuation lines are indented."""
    indent = len(line) - len(line.lstrip()) + 4
    return textwrap.wrap(line, WIDTH, subsequent_indent=" " * indent, drop_whitespace=True) or [""]


def _safe(name: str) -> str:
    """Return a revision's name with unsafe characters for a path replaced."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", name)[:60]


if __name__ == "__main__":
    cli.run(main)
