"""What to do next, the most important first: each advice in a sentence, with the section that shows the reason."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pandas as pd

from podium.core import placeholders
from podium.core.errors import some
from podium.core.wording import counted
from podium.folds import balance
from podium.page import removal
from podium.page.page_inputs import PageInputs
from podium.scoring import scores

MOST_HARMFUL = 3  # members that are named
MOST_REMOVED = 6  # members in a command


@dataclass(frozen=True)
class Advice:
    """One thing to do.

    Attributes:
        text: what was found and what to do.
        section: id of the page's section that shows it.
        command: to copy, or "".
    """

    text: str
    section: str
    command: str = ""


def all_advice(inputs: PageInputs) -> list[Advice]:
    """Return everything that is worth doing, the most important first, and the submission last."""
    found = [advice for rule in RULES for advice in rule(inputs)]
    return [*found, Advice(_submission(inputs), "reproduce")]


def _submission(inputs: PageInputs) -> str:
    if not len(inputs.facts["test"]):
        return "No test images, so nothing to submit. To predict new images, see docs/predict.md."
    if inputs.contest.template == placeholders.NO_FILE:
        return "Submit data/ensemble/submission.csv; it has all test images, in the form of contest.submission."
    return "Submit data/ensemble/submission.csv; it is complete and in your template's form."


def _chance(inputs: PageInputs) -> Iterator[Advice]:
    if inputs.all_at_chance:
        text = "No member is better than chance. Check that ids and labels belong together before anything else."
        yield Advice(text, "members")


def _split_groups(inputs: PageInputs) -> Iterator[Advice]:
    crossing = balance.crossing_groups(inputs.table("data/split/folds.csv"))
    if len(crossing):
        yield Advice(
            f"The score is optimistic: your own folds split {crossing['group'].nunique()} groups or sets of"
            f" duplicates ({len(crossing)} images). Give all images of a group the same fold.",
            "folds",
        )


def _wrong_labels(inputs: PageInputs) -> Iterator[Advice]:
    n_flagged = len(inputs.flagged)
    if n_flagged and len(inputs.table("data/review/overrides_to_consider.csv")):
        named = "" if inputs.has_overrides else f", and set contest.overrides: {inputs.overrides} in params.yaml"
        yield Advice(
            f"Look at {counted(n_flagged, 'label')} that may be wrong, and copy the rows you agree with into"
            f" {inputs.overrides}{named}.",
            "suspects",
        )


def _conflicts(inputs: PageInputs) -> Iterator[Advice]:
    conflicts = inputs.table("data/split/conflicts.csv")
    if len(conflicts):
        n_clusters = conflicts["cluster"].nunique()
        yield Advice(
            f"{counted(n_clusters, 'set')} of duplicates {_has(n_clusters)} different labels. Correct them in the"
            " overrides, or set split.conflicting_duplicates.",
            "data",
        )


def _metadata(inputs: PageInputs) -> Iterator[Advice]:
    verdict = inputs.summary("data/audit/summary.json").get("label_from_metadata", {})
    if verdict.get("well_above_chance"):
        yield Advice(
            f"File metadata predicts the label (AUC {verdict['auc']:.2f}, chance 0.5), by"
            f" {', '.join(verdict['telling'][:3])}. Check that the classes were collected in the same way: a model may"
            " learn that difference instead of the content.",
            "data",
        )


def _shift(inputs: PageInputs) -> Iterator[Advice]:
    audit = inputs.summary("data/audit/summary.json")
    for question, by in (("test_from_metadata", "metadata"), ("test_from_colours", "mean colours")):
        if audit.get(question, {}).get("well_above_chance"):
            yield Advice(
                f"Test images differ from train images in their {by} (AUC {audit[question]['auc']:.2f}, chance 0.5). "
                "The score may not hold on them.",
                "data",
            )


def _leaks(inputs: PageInputs) -> Iterator[Advice]:
    n_leaks = inputs.summary("data/analyze/summary.json")["test_images_with_a_train_duplicate"]
    if n_leaks:
        n_test = inputs.summary("metrics/summary.json")["n_test_images"]
        yield Advice(
            f"{n_leaks:,} of {counted(n_test, 'test image')} {_has(n_leaks)} a duplicate in train. A leaderboard score"
            f" is optimistic on {'it' if n_leaks == 1 else 'them'}. If the rules allow it, ensemble.leaked_labels uses"
            f" {'its label' if n_leaks == 1 else 'their labels'}.",
            "data",
        )


def _unusable(inputs: PageInputs) -> Iterator[Advice]:
    unreadable = sum(int((facts["problem"] != "").sum()) for facts in inputs.facts.values())
    if unreadable:
        yield Advice(f"{counted(unreadable, 'image')} cannot be read. Replace or remove them.", "data")
    problems = len(inputs.table("data/label/problems.csv"))
    if problems:
        yield Advice(f"The label table has {counted(problems, 'problem')}: data/label/problems.csv.", "data")


def _harmful(inputs: PageInputs) -> Iterator[Advice]:
    members = inputs.table("data/ensemble/members.csv")
    weightless = set(members.loc[members["weight"] == 0, "member"])
    value = inputs.table("data/report/members.csv")
    harmful = value[(value["effect"] == "harms") & ~value["member"].isin(weightless)].sort_values("log_loss_gain")
    for name in harmful["member"].head(MOST_HARMFUL):
        if command := removal.command(inputs.values, [name]):  # the joint probe cannot be removed
            yield Advice(f"{name} harms the equal mean of the members. Try without it.", "members", command)


def _worse_steps(inputs: PageInputs) -> Iterator[Advice]:
    steps = inputs.table("data/ladder/ladder.csv")
    worse = steps[(steps["verdict"] == "worse") & (steps["member"] != "blend")]
    if len(worse):
        named = some([f"{row.member}: {row.step}" for row in worse.itertuples()])
        yield Advice(f"{counted(len(worse), 'step')} made a member worse ({named}). Try without.", "ablation")


def _confused(inputs: PageInputs) -> Iterator[Advice]:
    pairs = inputs.table("data/report/confusion.csv")
    wrong = pairs[pairs["label"] != pairs["predicted"]]
    if len(wrong):
        worst = wrong.sort_values(["images", "label", "predicted"], ascending=[False, True, True]).iloc[0]
        yield Advice(
            f"The most frequent mistake is {worst['label']} predicted as {worst['predicted']}"
            f" ({counted(int(worst['images']), 'image')}, {worst['share']:.0%} of the class). Look at them first.",
            "mistakes",
        )


def _member_ahead(inputs: PageInputs) -> Iterator[Advice]:
    """Answer whether to submit a member that has a better score than the blend."""
    table = inputs.table("data/ensemble/blend.csv")
    behind = table[((table["gain"] < 0) | (table["log_loss_gain"] < 0)) & ~(table["low"] > 0)]
    if not len(behind):
        return
    ordered = behind.assign(unclear=~behind["verdict"].isin(["worse", "mixed"]))
    first = ordered.sort_values(["unclear", "gain", "log_loss_gain", "member"]).iloc[0]
    name, ahead = str(first["member"]), _better_in(inputs, first)
    if first["unclear"]:
        but = ""
        if first["verdict"] == "better":
            but = f", and the blend is clearly better in {'log loss' if first['gain'] < 0 else 'the metric'}"
        yield Advice(
            f"{name} alone has {ahead}, but the difference is not clear{but}. The blend is as good a choice: its method"
            " was chosen by left-out cost, and the score of a member that you pick by its score is optimistic.",
            "members",
        )
        return
    others = [other for key in ("members", "external") for other in inputs.values.get(key, {}) if other != name]
    yield Advice(
        f"{name} alone has {ahead}, and their comparison is clear (the blend: {first['verdict']}). First try"
        " without the other members, or without those that harm the blend.",
        "members",
        removal.command(inputs.values, others) if len(others) <= MOST_REMOVED else "",
    )


def _better_in(inputs: PageInputs, row: pd.Series) -> str:
    """Say in which scores a member of contracts.BLEND is better than the blend."""
    summary, found = inputs.summary("metrics/summary.json"), []
    metric = str(summary["metric"])
    if row["gain"] < 0:
        word = "lower" if scores.is_loss(metric) else "higher"
        numbers = f"{row['score']:.4f}; the blend {summary['oof_score']:.4f}"
        found.append(f"a {word} {metric.replace('_', ' ')} ({numbers})")
    if row["log_loss_gain"] < 0 and metric != scores.LOG_LOSS:
        found.append(f"a lower log loss ({row['log_loss']:.4f}; the blend {summary['oof_log_loss']:.4f})")
    return " and ".join(found)


def _has(number: int) -> str:
    return "has" if number == 1 else "have"


RULES: tuple[Callable[[PageInputs], Iterator[Advice]], ...] = (
    _chance,
    _split_groups,
    _wrong_labels,
    _conflicts,
    _metadata,
    _shift,
    _leaks,
    _unusable,
    _harmful,
    _worse_steps,
    _confused,
    _member_ahead,
)
