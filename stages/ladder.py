"""Stage `ladder`, the ablation study: cached predictions -> data/ladder/, what each step of the recipe gained.

Per member: the probe, phase 1 (mixup), phase 2 (clean images), the flip, the choice of TTA and phase; phases `fixres`
and `pseudo` after the phase before them; the blend after each single member; last, each student of `distill`. Every
step is compared with the step before it. steps.csv is the plot's. Nothing depends on this stage.
"""

from pathlib import Path

import pandas as pd

from podium.core import cli, tables
from podium.reports import ablation, ablation_steps


def main(*, root: Path = Path()) -> None:
    """Compare all steps, and print them."""
    inputs = ablation_steps.load(root)
    series = [ablation_steps.of_member(inputs, name) for name in inputs.members]
    trained = [steps for steps in series if inputs.members[steps[0].member].is_trained]
    short = [steps[0].member for steps in trained if not ablation.is_better(steps[-1], steps[0], inputs.images)]
    later = [(one, phase) for one in inputs.predictions.values() for phase in ablation_steps.LATER]
    series += [steps for one, phase in later if (steps := ablation_steps.of_later_phase(inputs, one, phase))]
    if len(inputs.predictions) > 1:
        series += ablation_steps.of_blend(inputs)
    series += [steps for name in inputs.students for steps in ablation_steps.of_student(inputs, name)]
    table = ablation.table(series, inputs.images)
    tables.write(table, root / "data/ladder/ladder.csv", ablation.ABLATION)
    tables.write(ablation_steps.steps_for_plot(table), root / "data/ladder/steps.csv", ablation_steps.STEPS)
    _show(table, short, inputs.images.metric.name)


def _show(table: pd.DataFrame, short: list[str], metric: str) -> None:
    names = {"low": "from", "high": "to", "log_loss_low": "from ", "log_loss_high": "to "}
    columns = ["member", "step", "score", "gain", "low", "high", "log_loss_gain", "log_loss_low", "log_loss_high"]
    shown = table[[*columns, "verdict"]].rename(columns=names)
    print(shown.to_string(index=False, na_rep="", float_format="{:.4f}".format))
    print(
        f"ladder: score and gain are in {metric}; gains above 0 are better, also for log loss. The intervals hold"
        " together at 95%; a step is better where one of its two intervals lies above 0 and the other not below"
    )
    for name in short:
        print(
            f"ladder: WARNING: {name} is not clearly better than a linear classifier on its own frozen features (its"
            " probe)"
        )
    print(f"ladder: {ablation.summary(table, metric)}")  # last, because `make` shows a stage's last line


if __name__ == "__main__":
    cli.run(main)
