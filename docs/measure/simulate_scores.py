"""Measure bias and coverage of the nested score on simulated contests: `python -m docs.measure.simulate_scores FOLDER`.

The true scores of simulated contests are known. Each contest adds a row to FOLDER/<condition>.csv, so an interrupted
run continues where it stopped. The same draws give the same rows. The table is printed at the end
(docs/honest_scores.md has it):

- nested, naive: mean of the estimate minus the true score of the chosen blend, with its standard error, in points
  (score x 100; for log loss hundredths of a nat). Optimistic is a positive difference of a score, a negative one of a
  loss
- coverage: share of contests whose 95% interval contains the true score
"""

import argparse
import csv
import math
import time
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from docs.measure import simulated
from docs.measure.simulated import Condition
from podium.core import cli
from podium.ensembling import nested_cv
from podium.scoring import intervals

FIELDS = ("draw", "truth", "folds_mean_truth", "nested", "naive", "low", "high", "method", "moved")
PLAIN = ("equal", "logits", "weighted")
CONDITIONS = (
    Condition("5 members, 200 images", "accuracy", 200, 5, 1.6),
    Condition("5 members", "accuracy", 700, 5, 1.6),
    Condition("near perfect, 200 images", "accuracy", 200, 5, 2.8),
    Condition("near perfect, groups of 4, 200 images", "accuracy", 200, 5, 2.8, group_size=4),
    Condition("groups of 5", "accuracy", 700, 5, 1.6, group_size=5),
    Condition("log loss, 200 images", "log_loss", 200, 5, 1.6),
    Condition("log loss, near perfect, 200 images", "log_loss", 200, 5, 2.8),
    Condition("log loss, groups of 5", "log_loss", 700, 5, 1.6, group_size=5),
    Condition("trained, 200 images", "accuracy", 200, 5, 1.6, n_sizes=2, trained=True),
    Condition("trained, log loss, 200 images", "log_loss", 200, 5, 1.6, n_sizes=2, trained=True),
    Condition("trained, groups of 5, 600 images", "accuracy", 600, 10, 1.6, group_size=5, n_sizes=2, trained=True),
    Condition("AUC, 2 classes", "roc_auc", 300, 3, 1.2, n_classes=2, n_sizes=2, methods=("equal", "ranks", "weighted")),
    Condition("macro F1", "macro_f1", 300, 3, 1.6, n_sizes=2, methods=PLAIN),
    Condition(
        "balanced accuracy, 9% rare",
        "balanced_accuracy",
        330,
        3,
        1.8,
        n_classes=2,
        n_sizes=2,
        methods=("equal", "greedy", "weighted"),
        shares=(0.91, 0.09),
    ),
    Condition("2 members", "accuracy", 700, 2, 1.6),
    Condition("5 alike members", "accuracy", 700, 5, 1.6, correlation=0.9),
    Condition("20 members", "accuracy", 700, 20, 1.3, n_sizes=2, methods=PLAIN),
    Condition("20 members, 2000 images", "accuracy", 2000, 20, 1.3, n_sizes=2, methods=PLAIN),
    Condition("log loss, 20 members, 2000 images", "log_loss", 2000, 20, 1.3, n_sizes=2, methods=PLAIN),
)


def main(*words: str) -> None:
    """Draw what is missing, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.simulate_scores", description="Bias and coverage.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--draws", type=int, default=600, help="contests per condition")
    parser.add_argument(
        "--seconds", type=float, default=math.inf, help="time limit per condition; contests beyond it are not drawn"
    )
    parser.add_argument("--only", nargs="*", help="run the conditions whose names contain one of these words")
    asked = parser.parse_args(words)
    asked.folder.mkdir(parents=True, exist_ok=True)
    conditions = [c for c in CONDITIONS if not asked.only or any(word in c.name for word in asked.only)]
    for condition in conditions:
        fill(condition, _path(asked.folder, condition), draws=asked.draws, seconds=asked.seconds)
    print(table(conditions, asked.folder))


def fill(condition: Condition, path: Path, *, draws: int, seconds: float) -> None:
    """Append contests to a file until it has `draws`, or the time limit is reached."""
    begun = time.monotonic()
    done = len(pd.read_csv(path)) if path.exists() else 0
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if done == 0:
            writer.writerow(FIELDS)
        for number in range(done, draws):
            if time.monotonic() - begun > seconds:
                break
            writer.writerow(row(condition, number))
            file.flush()
            if (number + 1) % 50 == 0:
                print(f"{condition.name}: {number + 1} of {draws}, {time.monotonic() - begun:.0f} s", flush=True)


def row(condition: Condition, number: int) -> list[object]:
    """Draw a contest, choose a blend, and return its estimates and its true scores: the cells of FIELDS."""
    contest = simulated.draw(condition, number)
    held_out = nested_cv.held_out_sets(contest.scored, len(condition.methods))
    chosen = [nested_cv.choose_member(member, held_out) for member in contest.members]
    nest = nested_cv.NestedCv(contest.scored, chosen, condition.methods)
    outcome = nest.outcome()
    truth, of_mean = contest.truths(nest, outcome)
    metric, targets = contest.scored.metric, contest.scored.targets
    low, high = intervals.score_interval(metric, targets, outcome.oof, contest.scored.groups)
    nested, naive = metric.function(targets, outcome.oof), metric.function(targets, outcome.naive)
    pairs = zip(chosen, contest.members, strict=True)
    moved = sum(member.choices[nested_cv.NONE_HELD_OUT].tta != drawn.default for member, drawn in pairs)
    return [number, truth, of_mean, nested, naive, low, high, outcome.selection.method, moved / len(chosen)]


def table(conditions: Sequence[Condition], folder: Path) -> str:
    """Summarise the files as a Markdown table."""
    head = "condition | metric | images | members | truth | nested - truth | naive - truth | coverage, % | contests"
    lines = [head, " | ".join(["---"] * 9)]
    for condition in conditions:
        rows = pd.read_csv(_path(folder, condition))
        covered = 100 * ((rows["low"] <= rows["truth"]) & (rows["truth"] <= rows["high"])).mean()
        cells = [condition.name, condition.metric, condition.n_images, condition.n_members]
        cells += [f"{100 * rows['truth'].mean():.2f}", _bias(rows["nested"] - rows["truth"])]
        cells += [_bias(rows["naive"] - rows["truth"]), f"{covered:.1f}", len(rows)]
        lines.append(" | ".join(map(str, cells)))
    return "\n".join(f"| {line} |" for line in lines)


def _bias(errors: pd.Series) -> str:
    return f"{100 * errors.mean():+.2f} ± {100 * errors.std() / math.sqrt(len(errors)):.2f}"


def _path(folder: Path, condition: Condition) -> Path:
    return folder / f"{condition.name.replace(',', '').replace(' ', '_')}.csv"


if __name__ == "__main__":
    cli.run(main)
