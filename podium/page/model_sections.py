"""The sections on models: curves, ablation, members and blend, errors, calibration, suspected labels."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
from markupsafe import Markup, escape

from podium.core.errors import legible
from podium.ensembling.method_registry import METHODS
from podium.page import charts, galleries
from podium.page.page_inputs import PageInputs

WORST_CLASSES = 20  # of the chart of F1
CLASS_ROWS, ERROR_ROWS = 30, 15  # of tables
STEP_ROWS = 60  # of the ablation's chart and table
PHASES = {"pretrain": "phase 1 (mixup)", "finetune": "phase 2 (clean images)", "fixres": "fixres (another size)"}
HELD_OUT = {"held_out_log_loss": "held-out log loss", "held_out_accuracy_score": "held-out accuracy"}
TRAINING = {"train_loss": "train loss"}


def curves(inputs: PageInputs) -> dict[str, Any]:
    """Return held-out log loss and accuracy by epoch, charts of each phase; none where nothing was trained.

    Where they were measured after the last epoch alone (`curves: false`), the train loss is shown instead, and
    `unseen` names the phase.
    """
    drawn, unseen, has_held_out = [], [], False
    for phase, words in PHASES.items():
        rows = inputs.curves[inputs.curves["phase"] == phase]
        held_out = _drawable(rows, HELD_OUT)
        shown = held_out or _drawable(rows, TRAINING)
        has_held_out = has_held_out or bool(held_out)
        if shown and not held_out:
            unseen.append(words)
        for name, values in shown.items():
            title = f"{name.capitalize()} by epoch, {words}: a line per member and fold"
            spec = charts.curves(records(values), name)
            drawn.append(charts.in_two_widths(title, f"{title}; {_ends(values)}", spec))
    return {"charts": drawn, "unseen": unseen, "has_held_out": has_held_out}


def ablation(inputs: PageInputs) -> dict[str, Any]:
    """Return the steps of the ablation study."""
    table = inputs.table("data/ladder/ladder.csv")
    steps = table[(table["verdict"] != "") & (table["member"] != "blend")]
    title = f"Gain of each step in {_metric(inputs)}, out of fold"
    rows = _gains(steps.assign(name=steps["member"] + ": " + steps["step"]))
    return {
        "chart": _gain_chart(title, rows) if rows else None,
        "rows": records(table[table["member"] != "blend"].head(STEP_ROWS)),
        "left_out": max(0, len(table[table["member"] != "blend"]) - STEP_ROWS),
    }


def members(inputs: PageInputs) -> dict[str, Any]:
    """Return the members, the blend compared with each of them, and what each adds."""
    blend, value = inputs.table("data/ensemble/blend.csv"), inputs.table("data/report/members.csv")
    table = inputs.table("data/ensemble/members.csv")
    alone = len(table) == 1
    over = _gains(blend.assign(name="over " + blend["member"]))
    adds = _gains(value.assign(name=value["member"]))
    metric = _metric(inputs)
    return {
        "rows": records(table.sort_values(["log_loss", "member"])),
        "value": {row["member"]: row for row in records(value)},
        "blend": {row["member"]: row for row in records(blend)},
        "methods": records(inputs.table("data/ensemble/methods.csv")),
        "meanings": {name: method.meaning for name, method in METHODS.items()},
        "over": None if alone else _gain_chart(f"Gain of the blend over each member in {metric}", over),
        "adds": None if alone else _gain_chart(f"What each member adds to the equal mean, in {metric}", adds),
    }


def errors(inputs: PageInputs) -> dict[str, Any]:
    """Return the confusions and the scores of classes."""
    plot, by_class = inputs.table("data/report/confusion_plot.csv"), inputs.table("data/report/classes.csv")
    pairs = inputs.table("data/report/confusion.csv")
    wrong = pairs[pairs["label"] != pairs["predicted"]]
    wrong = wrong.sort_values(["images", "label", "predicted"], ascending=[False, True, True])
    n_shown, n_classes = plot["label"].nunique(), len(by_class)
    some = "" if n_shown == n_classes else f": the {n_shown} of {n_classes:,} classes with the most errors"
    title = f"Confusion matrix of the blend, out of fold, in images{some}"
    worst = by_class.sort_values(["f1", "label"], na_position="first")
    scored = worst.dropna(subset=["f1", "f1_low", "f1_high"])
    chart_rows = [
        {"name": row["label"], "value": row["f1"], "low": row["f1_low"], "high": row["f1_high"]}
        for row in records(scored.head(WORST_CLASSES))
    ]
    f1_title = "F1 by class with 95% intervals" + (
        f": the {WORST_CLASSES} worst of {n_classes:,}" if n_classes > WORST_CLASSES else ", the worst first"
    )
    return {
        "heatmap": charts.heatmap(title, f"{title}; {_errors_in_words(wrong)}", records(plot), n_shown),
        "f1": charts.in_two_widths(f1_title, f1_title, charts.shares(chart_rows, "F1")) if chart_rows else None,
        "wrong": records(wrong.head(ERROR_ROWS)),
        "classes": records(worst.head(CLASS_ROWS)),
        "n_classes": n_classes,
        "n_pairs": len(wrong),
    }


def calibration(inputs: PageInputs) -> dict[str, Any]:
    """Return how well probabilities match how often the blend is right."""
    bins, summary = inputs.table("data/report/reliability.csv"), inputs.summary("data/report/calibration.json")
    title = "Accuracy by probability, in bins of equal numbers of images; on the dashed line a model is calibrated"
    rows = records(bins)
    name = f"Reliability diagram: {summary['verdict']}, calibration error {summary['error']:.4f}"
    return {
        "summary": summary,
        "rows": rows,
        "chart": charts.in_two_widths(title, name, charts.reliability(rows)),
    }


def suspects(inputs: PageInputs) -> dict[str, Any]:
    """Return the suspected labels, and the rows to copy into the overrides."""
    overrides = inputs.table("data/review/overrides_to_consider.csv")
    shown = overrides.head(galleries.SUSPECTS)  # in the order of the pictures
    lines = shown.to_csv(index=False, lineterminator="\n").rstrip("\n").split("\n") if len(shown) else []
    return {
        "gallery": galleries.suspects(inputs),
        "summary": inputs.summary("data/review/summary.json"),
        "to_copy": Markup("\n").join(escape(legible(line)) for line in lines),
        "n_copied": len(shown),
        "n_rows": len(overrides),
        "overrides": inputs.overrides,
        "has_overrides": inputs.has_overrides,
    }


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the rows as plain values, with column names as text."""
    rows: list[dict[str, Any]] = table.astype(object).to_dict("records")
    return rows


def _gains(table: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the compared rows for a chart of intervals; those that are compared with nothing are left out."""
    compared = table.dropna(subset=["gain", "low", "high"]).head(STEP_ROWS)
    return records(compared.rename(columns={"gain": "value"})[["name", "value", "low", "high", "verdict"]])


def _gain_chart(title: str, rows: list[dict[str, Any]]) -> charts.Chart | None:
    if not rows:
        return None
    described = "; ".join(f"{row['name']} {row['value']:+.4f}, {row['verdict']}" for row in rows[:10])
    return charts.in_two_widths(title, f"{title}: {described}", charts.intervals(rows, "gain, right is better"))


def _metric(inputs: PageInputs) -> str:
    return str(inputs.summary("metrics/summary.json")["metric"]).replace("_", " ")


def _drawable(rows: pd.DataFrame, series: Mapping[str, str]) -> dict[str, pd.DataFrame]:
    """Return the series that have values at several epochs: name -> member, fold, epoch (from 1), value."""
    found = {}
    for column, name in series.items():
        if column in rows:
            values = rows.rename(columns={column: "value"})[["member", "fold", "epoch", "value"]].dropna()
            if values["epoch"].nunique() > 1:
                found[name] = values.assign(epoch=values["epoch"] + 1)
    return found


def _ends(curve: pd.DataFrame) -> str:
    """Name the mean over folds of each member's last epoch."""
    last = curve[curve["epoch"] == curve["epoch"].max()].groupby("member")["value"].mean()
    return "; ".join(f"{member} ends at {value:.3f}" for member, value in list(last.items())[:10])


def _errors_in_words(wrong: pd.DataFrame) -> str:
    described = [f"{row.label} as {row.predicted} {row.images}" for row in wrong.head(5).itertuples()]
    return f"most frequent errors: {', '.join(described)}" if described else "no errors"
