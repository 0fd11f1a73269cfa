"""Print the results of the last `dvc repro` and log its score in logs/variants.csv: `python -m tools.results`."""

import math
import textwrap
from pathlib import Path
from typing import Any

import pandas as pd

from demo import score
from podium import contracts
from podium.core import cli, params, tables
from podium.core.errors import InputError
from podium.ensembling.settings import EnsembleSettings
from podium.folds import balance
from podium.page import removal
from podium.predictions.tta import ELSEWHERE, FINETUNE, JOINT_PROBE
from podium.reports import ablation, ablation_steps, diversity
from podium.scoring import scores
from tools import run_page, variants

SUBMISSION = Path("data/ensemble/submission.csv")
MEMBERS = Path("data/ensemble/members.csv")
SUMMARY = Path("metrics/summary.json")
FOLDS = Path("data/split/folds.csv")
LEAKS = Path("data/analyze/leaks.csv")
METHODS = Path("data/ensemble/methods.csv")
WORTH = Path("data/report/members.csv")
LADDER = Path("data/ladder/ladder.csv")
LABELS = Path("data/label/summary.json")
TEST_FACTS = Path("data/prepare/test/facts.csv")
ASIDE = 17  # width of the left column, characters
WIDTH = 100  # of long lines


def main(*, root: Path = Path()) -> None:
    """Print the out-of-fold scores, warnings about optimistic scores, and the path and score of the submission.

    Raises:
        InputError: there are no results yet, or the submission does not fit the demo's private labels.
    """
    needed = (MEMBERS, SUMMARY, SUBMISSION, FOLDS, LEAKS, METHODS, WORTH, LABELS, TEST_FACTS)
    missing = [str(path) for path in needed if not (root / path).exists()]
    if missing:
        raise InputError(f"nothing to show yet: {', '.join(missing)} not found; run `make`")
    summary = tables.read_json(root / SUMMARY)
    members = tables.read(root / MEMBERS, contracts.MEMBERS)
    print(table(members, summary))
    print(f"\n{interval(summary)}")
    values = params.read(root)
    if params.section(values, "distill"):
        for line in students(tables.read(root / LADDER, ablation.ABLATION), members, values):
            print(line)
    settings = params.parse(params.section(values, "ensemble"), "ensemble", EnsembleSettings)
    folds = tables.read(root / FOLDS, tables.FOLDS)
    for line in (
        *method(tables.read(root / METHODS, contracts.METHODS), settings.method),
        *harmful_members(tables.read(root / WORTH, diversity.MEMBER_VALUE), members, values),
        *label_warnings(tables.read_json(root / LABELS)),
        *split_groups(folds),
        *skipped_images(folds, tables.read(root / TEST_FACTS, contracts.FACTS)),
        *leakage(tables.read(root / LEAKS, contracts.LEAKS), summary, settings.leaked_labels),
    ):
        print(line)
    print(variant_count(root, summary))
    print(f"\nsubmission       {SUBMISSION}")
    if page := run_page.write(root):
        print(f"report           {page}  (open it in a browser; without commit and times: {run_page.PAGE})")
    if is_demo(values):
        print(f"private accuracy {_private_accuracy(root):.4f}  (the demo's test labels, which no stage reads)")


def table(members: pd.DataFrame, summary: dict[str, Any]) -> str:
    """Format out-of-fold scores: a row per member, the best first, and the blend below a line."""
    name = str(summary["metric"])
    metric = name.replace("_", " ")
    head = ["out of fold", "image sizes", "weight", metric]
    rows = members.sort_values(["score", "member"], ascending=[scores.is_loss(name), True])
    body = [
        [
            r.member,
            _image_sizes(r.image_sizes, r.phases),
            "-" if math.isnan(r.weight) else f"{r.weight:.2f}",
            f"{r.score:.4f}",
        ]
        for r in rows.itertuples()
    ]
    blend = ["blend", "", "1.00", f"{summary['oof_score']:.4f}"]
    if name != scores.LOG_LOSS:
        head.append("log loss")
        body = [[*cells, f"{r.log_loss:.4f}"] for cells, r in zip(body, rows.itertuples(), strict=True)]
        blend.append(f"{summary['oof_log_loss']:.4f}")
    return _aligned(head, body, blend)


def interval(summary: dict[str, Any]) -> str:
    """Report the interval of the blend's score, and the optimistic score without nested cross-validation."""
    return (
        f"blend            95% interval {summary['oof_score_low']:.4f} to {summary['oof_score_high']:.4f}; chosen and"
        f" scored on the\n                 same images it would be {summary['oof_score_naive']:.4f}"
    )


def method(methods: pd.DataFrame, asked: str) -> list[str]:
    """Report the blending method and the reason for it in a line; no line for a single member.

    Args:
        methods: contracts.METHODS.
        asked: ensemble.method.
    """
    if asked != "auto":
        return [f"{'method':{ASIDE}}{asked}: set in ensemble.method"]
    if methods.empty:
        return []
    chosen = methods.loc[methods["chosen"] == "yes", "method"].iloc[0]
    return [f"{'method':{ASIDE}}{chosen}: the smallest left-out cost ({METHODS})"]


def students(ladder: pd.DataFrame, members: pd.DataFrame, values: dict[str, Any]) -> list[str]:
    """Report the scores and speeds of the blend's students beside the blend's, in lines.

    Args:
        ladder: ablation.ABLATION.
        members: contracts.MEMBERS.
        values: of params.yaml.
    """
    from tools import speed  # torch takes seconds to import: only where there is a student

    speeds = speed.images_per_second(members, values)
    rows, lines = ladder[ladder["member"] == ablation_steps.DISTILL].set_index("step"), []
    for name in params.section(values, "distill"):
        for row, who in ((f"{name} over the blend", name), (f"blend for {name}", "blend")):
            lines.append(
                f"{'distilled' if who == name else '':{ASIDE}}{who} {rows.loc[row, 'score']:.4f}, log loss"
                f" {rows.loc[row, 'log_loss']:.4f}, {speeds[who]:,.1f} images per second here"
            )
        lines.append(f"{'':{ASIDE}}{name} over the blend: {rows.loc[f'{name} over the blend', 'verdict']} ({LADDER})")
    return lines


def harmful_members(worth: pd.DataFrame, members: pd.DataFrame, values: dict[str, Any]) -> list[str]:
    """List the members that harm the equal mean, and the commands that try without them, in lines.

    Args:
        worth: diversity.MEMBER_VALUE.
        members: contracts.MEMBERS; members of weight 0 harm nothing and are not listed.
        values: of params.yaml.
    """
    weightless = set(members.loc[members["weight"] == 0, "member"])
    lines = []
    for row in worth[(worth["effect"] == "harms") & ~worth["member"].isin(weightless)].itertuples():
        lines += [
            f"{'warning':{ASIDE}}{row.member} harms the equal mean: with it {row.gain:+.4f} in the metric",
            f"{'':{ASIDE}}({row.low:+.4f} to {row.high:+.4f}) and {row.log_loss_gain:+.4f} in log loss",
            f"{'':{ASIDE}}({row.log_loss_low:+.4f} to {row.log_loss_high:+.4f}, {WORTH})",
        ]
        if without := removal.command(values, [row.member]):  # the joint probe is in no map
            lines.append(f"{'':{ASIDE}}try without it: {without}")
    return lines


def label_warnings(summary: dict[str, Any]) -> list[str]:
    """Repeat in lines what `label` warned of; no line if there was nothing.

    Args:
        summary: of data/label/summary.json.
    """
    lines = []
    for warning in summary.get("warnings", []):
        wrapped = textwrap.wrap(warning, WIDTH - ASIDE, break_long_words=False, break_on_hyphens=False)
        lines += [f"{'' if index else 'warning':{ASIDE}}{line}" for index, line in enumerate(wrapped)]
    return lines


def split_groups(folds: pd.DataFrame) -> list[str]:
    """Warn in lines if the user's own folds split groups or duplicates; else no line."""
    rows = balance.crossing_groups(folds)
    if rows.empty:
        return []
    n_groups = rows["group"].nunique()
    return [
        f"{'warning':{ASIDE}}scores are optimistic: your own folds split {n_groups} groups or sets of duplicates",
        f"{'':{ASIDE}}({len(rows)} of {(folds['use'] == 'train').sum()} images), see group and fold in {FOLDS}",
    ]


def skipped_images(folds: pd.DataFrame, test_facts: pd.DataFrame) -> list[str]:
    """Count skipped train images and unreadable test images in lines; no line if there are none.

    Args:
        folds: tables.FOLDS.
        test_facts: contracts.FACTS of the test images.
    """
    skipped, is_other = (folds["use"] == "skip").sum(), test_facts["problem"].str.startswith(contracts.NOT_AN_IMAGE)
    unreadable = (test_facts.loc[~is_other, "problem"] != "").sum()
    lines = []
    if skipped:
        lines.append(f"{skipped} of {len(folds)} train images (reasons: {FOLDS})")
    if unreadable:
        lines += [
            f"{unreadable} of {(~is_other).sum()} test images cannot be read and get the training prior",
            f"(reasons: {TEST_FACTS})",
        ]
    if is_other.any():
        lines.append(f"{is_other.sum()} files in the test folder that are no images ({TEST_FACTS})")
    return [f"{'' if index else 'skipped':{ASIDE}}{line}" for index, line in enumerate(lines)]


def leakage(leaks: pd.DataFrame, summary: dict[str, Any], setting: str) -> list[str]:
    """Report test images with a duplicate in train, and whether their labels are used, in lines; else no line.

    Args:
        leaks: contracts.LEAKS.
        summary: of metrics/summary.json.
        setting: ensemble.leaked_labels.
    """
    if leaks.empty:
        return []
    exact = leaks.loc[leaks["kind"] == "exact", "test_image_id"].nunique()
    usage = {
        "ignore": "the submission ignores their labels",
        "exact": "the submission uses labels if exact ones agree",
        "near": "the submission uses labels if they agree",
    }
    return [
        f"{'test images':{ASIDE}}{leaks['test_image_id'].nunique()} of {summary['n_test_images']} have a duplicate in"
        f" train, {exact} an exact one;",
        f"{'':{ASIDE}}{usage[setting]} (ensemble.leaked_labels: {setting})",
    ]


def variant_count(root: Path, summary: dict[str, Any]) -> str:
    """Count the variants of this contest that were run: choosing the best of them makes its score optimistic."""
    found = list(variants.of_this_contest(root, summary).values())
    greater_is_better = not scores.is_loss(str(summary["metric"]))
    bounds = summary["oof_score_low"], summary["oof_score_high"]
    text = variants.summary_text(found, greater_is_better=greater_is_better, interval=bounds)
    return f"{'tried':{ASIDE}}" + textwrap.indent(text, " " * ASIDE).lstrip()


def is_demo(values: dict[str, object]) -> bool:
    """Return whether the contest is the demo, whose private labels can score the submission."""
    contest = params.section(values, "contest")
    return str(params.section(contest, "images.train")).startswith("demo/") and (
        str(params.section(contest, "images.test")).startswith("demo/")
    )


def _image_sizes(image_sizes: str, phases: str) -> str:
    """Describe a TTA; predictions made elsewhere and the joint probe have no size of their own."""
    without_size = {ELSEWHERE: "elsewhere", JOINT_PROBE: "all members'"}
    cell = f"{image_sizes} ({phases.replace(' ', ' + ')})"
    return {FINETUNE: image_sizes, **without_size}.get(phases, cell)


def _private_accuracy(root: Path) -> float:
    try:
        return score.accuracy(root / SUBMISSION, root / score.PRIVATE_LABELS)
    except (ValueError, FileNotFoundError) as error:
        raise InputError(f"the demo's private score cannot be computed: {error}") from None


def _aligned(head: list[str], body: list[list[str]], foot: list[str]) -> str:
    """Align the first two columns to the left and the others to the right."""
    widths = [max(len(row[column]) for row in (head, *body, foot)) for column in range(len(head))]

    def line(row: list[str]) -> str:
        cells = [cell.ljust(w) if k < 2 else cell.rjust(w) for k, (cell, w) in enumerate(zip(row, widths, strict=True))]
        return "  ".join(cells).rstrip()

    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    return "\n".join([line(head), rule, *map(line, body), rule, line(foot)])


if __name__ == "__main__":
    cli.run(main)
