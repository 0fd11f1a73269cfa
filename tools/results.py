"""Print what came out of the last `dvc repro`: `python -m tools.results`; note it in logs/variants.csv."""

import math
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

from demo import score
from podium import contracts
from podium.core import cli, params, tables
from podium.core.errors import InputError
from podium.ensembling import selection, tta_selection
from podium.ensembling.method_registry import BASELINE
from podium.ensembling.settings import EnsembleSettings
from podium.folds import balance
from podium.reports import diversity
from tools import variants

SUBMISSION = Path("data/ensemble/submission.csv")
MEMBERS = Path("data/ensemble/members.csv")
SUMMARY = Path("metrics/summary.json")
FOLDS = Path("data/split/folds.csv")
LEAKS = Path("data/analyze/leaks.csv")
METHODS = Path("data/ensemble/methods.csv")
WORTH = Path("data/report/members.csv")
TEST_FACTS = Path("data/prepare/test/facts.csv")
ASIDE = 17  # characters before what a line says


def main(*, root: Path = Path()) -> None:
    """Print all out-of-fold scores, what flatters them or the board's, where the submission lies, and how good it is.

    Raises:
        InputError: nothing is built yet, or the submission does not fit the demo's private labels.
    """
    needed = (MEMBERS, SUMMARY, SUBMISSION, FOLDS, LEAKS, METHODS, WORTH, TEST_FACTS)
    missing = [str(path) for path in needed if not (root / path).exists()]
    if missing:
        raise InputError(f"nothing to show yet: {', '.join(missing)} not found; run `make`")
    summary = tables.read_json(root / SUMMARY)
    members = tables.read(root / MEMBERS, contracts.MEMBERS)
    print(table(members, summary))
    print(f"\n{honesty(summary)}")
    values = params.read(root)
    settings = params.parse(params.section(values, "ensemble"), "ensemble", EnsembleSettings)
    folds = tables.read(root / FOLDS, tables.FOLDS)
    for line in (
        *blended_by(tables.read(root / METHODS, contracts.METHODS), settings.method),
        *harmful(tables.read(root / WORTH, diversity.MEMBERS), members, values),
        *parted(folds),
        *left_out(folds, tables.read(root / TEST_FACTS, contracts.FACTS)),
        *leaked(tables.read(root / LEAKS, contracts.LEAKS), summary, settings.leaked_labels),
    ):
        print(line)
    print(tried(root, summary))
    print(f"\nsubmission       {SUBMISSION}")
    if is_demo(values):
        print(f"private accuracy {_private_accuracy(root):.4f}  (the demo's test labels, which no stage reads)")


def table(members: pd.DataFrame, summary: dict[str, Any]) -> str:
    """Lay out out-of-fold scores as text: a row per member, the best first, and the blend below a line."""
    metric = str(summary["metric"]).replace("_", " ")
    head = ["out of fold", "image sizes", "weight", metric]
    rows = members.sort_values(["score", "member"], ascending=[metric == "log loss", True])
    body = [
        [r.member, _looks(r.image_sizes, r.phase), "-" if math.isnan(r.weight) else f"{r.weight:.2f}", f"{r.score:.4f}"]
        for r in rows.itertuples()
    ]
    blend = ["blend", "", "1.00", f"{summary['oof_score']:.4f}"]
    if metric != "log loss":
        head.append("log loss")
        body = [[*cells, f"{r.log_loss:.4f}"] for cells, r in zip(body, rows.itertuples(), strict=True)]
        blend.append(f"{summary['oof_log_loss']:.4f}")
    return _aligned(head, body, blend)


def honesty(summary: dict[str, Any]) -> str:
    """Say how sure the blend's score is, and how much its own choices would have flattered it."""
    return (
        f"blend            95% interval {summary['oof_score_low']:.4f} to {summary['oof_score_high']:.4f}; chosen and"
        f" scored on the\n                 same images it would be {summary['oof_score_naive']:.4f}"
    )


def blended_by(methods: pd.DataFrame, asked: str) -> list[str]:
    """Say which method blends, and why, in a line; none for an only member.

    Args:
        methods: contracts.METHODS.
        asked: ensemble.method.
    """
    if asked != "auto":
        return [f"{'method':{ASIDE}}{asked}: asked for (ensemble.method)"]
    others = methods[~methods["method"].isin([BASELINE, selection.DECIDED])]
    if others.empty:
        return []
    taken = others.loc[others["verdict"] == tta_selection.CHOSEN, "method"]
    why = f"surely better than the equal mean ({METHODS})" if len(taken) else f"no other is surely better ({METHODS})"
    return [f"{'method':{ASIDE}}{taken.iloc[0] if len(taken) else BASELINE}: {why}"]


def harmful(worth: pd.DataFrame, members: pd.DataFrame, values: dict[str, Any]) -> list[str]:
    """Name the members that the equal blend is better without, and how to try it, in lines.

    Args:
        worth: differences.MEMBERS.
        members: contracts.MEMBERS; those that weigh nothing harm nothing.
        values: of params.yaml.
    """
    weightless = set(members.loc[members["weight"] == 0, "member"])
    lines = []
    for row in worth[(worth["verdict"] == "harmful") & ~worth["member"].isin(weightless)].itertuples():
        maps = [key for key in ("members", "fixres", "external") if row.member in params.section(values, key)]
        without = " ".join(f"-S '~{key}.{row.member}'" for key in maps)
        lines += [
            f"{'careful':{ASIDE}}{row.member} harms the equal mean: {row.difference:+.4f} with it",
            f"{'':{ASIDE}}({row.low:+.4f} to {row.high:+.4f}, {WORTH})",
        ]
        if "members" not in maps or len(params.section(values, "members")) > 1:  # one there must be
            lines.append(f"{'':{ASIDE}}try without it: dvc exp run {without}")
    return lines


def parted(folds: pd.DataFrame) -> list[str]:
    """Say that a person's own folds subset groups or duplicates, in lines; none where they subset nothing."""
    rows = balance.crossing_groups(folds)
    if rows.empty:
        return []
    n_groups = rows["group"].nunique()
    return [
        f"{'careful':{ASIDE}}scores flatter: your own folds split {n_groups} groups or sets of duplicates",
        f"{'':{ASIDE}}({len(rows)} of {(folds['use'] == 'train').sum()} images), see group and fold in {FOLDS}",
    ]


def left_out(folds: pd.DataFrame, test_facts: pd.DataFrame) -> list[str]:
    """Say how many images were not trained on, and how many could not be predicted, in lines; none where none.

    Args:
        folds: tables.FOLDS.
        test_facts: contracts.FACTS of the test images.
    """
    skipped, unreadable = (folds["use"] == "skip").sum(), (test_facts["problem"] != "").sum()
    lines = []
    if skipped:
        lines.append(f"{skipped} of {len(folds)} train images ({FOLDS} says why)")
    if unreadable:
        lines += [
            f"{unreadable} of {len(test_facts)} test images cannot be read and get the training prior",
            f"({TEST_FACTS} says why)",
        ]
    return [f"{'' if index else 'left out':{ASIDE}}{line}" for index, line in enumerate(lines)]


def leaked(leaks: pd.DataFrame, summary: dict[str, Any], setting: str) -> list[str]:
    """Say what became of labels that test images' duplicates in train leak, in lines; none where there are none.

    Args:
        leaks: contracts.LEAKS.
        summary: of metrics/summary.json.
        setting: ensemble.leaked_labels.
    """
    if leaks.empty:
        return []
    exact = leaks.loc[leaks["kind"] == "exact", "test_image_id"].nunique()
    done = {
        "ignore": "the submission uses no label of theirs",
        "exact": "the submission takes labels where exact ones agree",
        "near": "the submission takes labels where they agree",
    }
    return [
        f"{'test images':{ASIDE}}{leaks['test_image_id'].nunique()} of {summary['n_test_images']} have a duplicate in"
        f" train, {exact} an exact one;",
        f"{'':{ASIDE}}{done[setting]} (ensemble.leaked_labels: {setting})",
    ]


def tried(root: Path, summary: dict[str, Any]) -> str:
    """Say how many variants of this contest were run: what was chosen among them flatters even an honest score."""
    scores = list(variants.of_this_contest(root, summary).values())
    said = variants.words(scores, greater_is_better=summary["metric"] != "log_loss")
    return f"{'tried':{ASIDE}}" + textwrap.indent(said, " " * ASIDE).lstrip()


def is_demo(values: dict[str, object]) -> bool:
    """Tell whether params.yaml's contest is the demo, in whose labels the submission can be scored."""
    contest = params.section(values, "contest")
    return str(params.section(contest, "images.train")).startswith("demo/") and (
        str(params.section(contest, "images.test")).startswith("demo/")
    )


def _looks(image_sizes: str, phase: str) -> str:
    return {"finetune": image_sizes, "elsewhere": "elsewhere"}.get(phase, f"{image_sizes} ({phase})")


def _private_accuracy(root: Path) -> float:
    try:
        return score.accuracy(root / SUBMISSION, root / score.PRIVATE_LABELS)
    except (ValueError, FileNotFoundError) as error:
        raise InputError(f"the demo's private score cannot be taken: {error}") from None


def _aligned(head: list[str], body: list[list[str]], foot: list[str]) -> str:
    """Align text to the left in the first two columns and numbers to the right in the others."""
    widths = [max(len(row[column]) for row in (head, *body, foot)) for column in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(head), rule, *map(line, body), rule, line(foot)])


if __name__ == "__main__":
    cli.run(main)
