"""Compare two runs image by image: `python -m tools.compare A [B]`, or `make compare A=... B=...`.

A and B are experiments (`dvc exp list -A`), git revisions, or `workspace` (the default of B). Their out-of-fold
predictions are joined on image_id and compared in the contest's metric and in log loss
(podium/scoring/comparison.py). If the runs have different metrics, they are compared in both. The images that they
predict differently go to logs/compare/, as a table and as a picture.
"""

import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from podium.core import cli, pixels, tables
from podium.core.errors import InputError
from podium.core.wording import counted, counted_of
from podium.pictures import drawing
from podium.pictures.drawing import SheetSection, Tile
from podium.scoring import comparison, scores
from podium.scoring.comparison import Comparison
from podium.scoring.intervals import Evidence
from tools import pairing, revisions
from tools.pairing import KINDS, Pair

WIDTH = 80
NAMED = 3  # images listed in the terminal, per kind of change
DRAWN = 48  # images in the picture, per kind of change
PACK = "data/prepare/train/pixels.arrow"
VERDICTS = {
    comparison.BETTER: "B is better",
    comparison.WORSE: "A is better",
    comparison.MIXED: "each is better in one of them",
    comparison.UNCLEAR: "no clear difference",
    comparison.SAME: "A and B predict the same",
}


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
    judged = judge(pair, [a.metric, b.metric])
    changes = pairing.changes(pair)
    folder = root / "logs/compare" / f"{_safe(first)}..{_safe(second)}"
    tables.write(changes, folder / "changes.csv", pairing.CHANGES)
    print(text(first, second, pair, judged, changes))
    print(_draw(changes, first, second, root, folder / "changes.png"))


@dataclass(frozen=True)
class MetricComparison:
    """Two runs, compared in a metric and in log loss.

    Attributes:
        metric: its name.
        scores: of A and B.
        log_losses: of A and B.
        compared: B with A.
    """

    metric: str
    scores: tuple[float, float]
    log_losses: tuple[float, float]
    compared: Comparison


def judge(pair: Pair, metrics: Sequence[str]) -> list[MetricComparison]:
    """Compare two runs in each of the metrics; log loss needs no comparison of its own beside another metric.

    Raises:
        InputError: a metric is undefined for the images that both score, or for their classes.
    """
    names = [name for name in dict.fromkeys(metrics) if name != scores.LOG_LOSS] or [scores.LOG_LOSS]
    log_losses = _scores(scores.LOG_LOSS, pair)
    found = []
    for name in names:
        of_both = _scores(name, pair)
        compared = comparison.compare(
            scores.named(name, pair.classes),
            pair.targets,
            base=pair.first,
            candidate=pair.second,
            groups=pair.groups,
            n_comparisons=len(names),
        )
        found.append(MetricComparison(name, of_both, log_losses, compared))
    return found


def text(first: str, second: str, pair: Pair, judged: Sequence[MetricComparison], changes: pd.DataFrame) -> str:
    """Format the comparison, no line longer than WIDTH."""
    lines = [f"A  {first}", f"B  {second}", ""]
    lines += [f"{name:8} {note}" for name, note in pair.notes]
    lines += ["", f"{'out of fold':17} {'A':>8} {'B':>8} {'gain':>9}   95% interval"]
    lines += [_row(one.metric, one.scores, one.compared.in_metric) for one in judged if one.metric != scores.LOG_LOSS]
    lines += [_row(scores.LOG_LOSS, judged[0].log_losses, judged[0].compared.in_log_loss)]
    lines += ["", "Gains above 0 favour B, of a loss too.", ""]
    lines += [verdict(one) for one in judged]
    lines += [f"Warning: {caution}." for caution in pair.cautions]
    lines += ["", *_summary(changes)]
    return "\n".join(wrapped for line in lines for wrapped in _wrapped(line))


def verdict(judged: MetricComparison) -> str:
    """Return a sentence on which run is better, if either is; p is adjusted for all comparisons that are printed."""
    names = dict.fromkeys([judged.metric, scores.LOG_LOSS])
    metrics = " and ".join(name.replace("_", " ") for name in names)
    return f"By {metrics}: {VERDICTS[judged.compared.verdict]} (p {judged.compared.p:.3f})."


def _row(name: str, of_both: tuple[float, float], found: Evidence) -> str:
    one, other = of_both
    interval = f"{found.low:+.4f} to {found.high:+.4f}"
    return f"{name.replace('_', ' '):17} {one:8.4f} {other:8.4f} {found.difference:+9.4f}   {interval}"


def _scores(name: str, pair: Pair) -> tuple[float, float]:
    """Return A's and B's score."""
    metric = scores.named(name, pair.classes)
    try:
        return metric.function(pair.targets, pair.first), metric.function(pair.targets, pair.second)
    except ValueError as error:
        raise InputError(f"the {counted(len(pair.image_ids), 'image')} that both runs score: {error}") from None


def _summary(changes: pd.DataFrame) -> list[str]:
    """Count the images whose prediction changed, and list some."""
    lines = []
    for kind in KINDS:
        rows = changes[changes["change"] == kind]
        lines.append(f"{kind}: {counted(len(rows), 'image')}")
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
    pack = pixels.open_rgb(root / PACK)
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
    changed = counted_of(len(shown), len(rows), "image")
    return SheetSection(f"{kind}: {changed}; in brackets: the label's probability", tiles)


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
