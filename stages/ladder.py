"""Stage `ladder`: cached predictions -> data/ladder/ladder.csv: what each step of the recipe bought on this contest.

Per member: frozen features with a logistic regression, then the mixup phase, the clean phase, the views, the looks that
were chosen; last, the blend over picking the best member. Every step is held against the one below it, on images that
chose nothing about it. Nothing depends on it.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from stages.lib import blended, cli, intervals, params, predictions, rungs, scored, scores, sources, tables
from stages.lib.rungs import Rung
from stages.lib.settings.contest import ContestSettings
from stages.lib.settings.members import MemberSettings

FOLDER = "data/ensemble"
IDENTITY = "identity"


@dataclass(frozen=True)
class Inputs:
    """Settings and tables; `folds` and `oof` are sorted by image_id."""

    root: Path
    members: dict[str, MemberSettings]
    sources: dict[str, sources.Source]
    fold_names: list[str]
    folds: pd.DataFrame
    classes: list[str]
    scored: scored.Scored

    @property
    def used(self) -> pd.DataFrame:
        """Return the train images that are scored."""
        return self.folds[self.folds["use"] == "train"]


def main(*, root: Path = Path()) -> None:
    """Climb every member's ladder, and the blend's step; say what held."""
    inputs = _load(root)
    ladders, short = [], []
    for name in sorted(inputs.members):
        ladder = _ladder(inputs, name)
        ladders.append(ladder)
        if not rungs.beats(ladder[-1].probs, ladder[0].probs, inputs.scored):
            short.append(name)
    best, blend = (_read_whole(inputs, f"{FOLDER}/{name}.parquet") for name in ("best_single", "oof"))
    ladders.append([Rung("blend", "best member", "picked on other images", best), _blend_rung(inputs, blend)])
    table = rungs.judge(ladders, inputs.scored)
    tables.write(table, root / "data/ladder/ladder.csv", rungs.LADDER)
    tables.write(_picture(table), root / "data/ladder/steps.csv", STEPS)
    _tell(table, short)


STEPS = tables.Contract(  # of the plot
    {"rung": "text", "difference": "float", "low": "float", "high": "float", "verdict": "text"}, key=("rung",)
)


def _load(root: Path) -> Inputs:
    values = params.read(root)
    contest = params.parse(params.section(values, "contest"), "contest", ContestSettings)
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS).sort_values("image_id", ignore_index=True)
    used = folds[folds["use"] == "train"]
    classes = sorted(used["label"].unique())
    fold_names = [str(fold) for fold in params.section(values, "folds")]
    fold = np.asarray(pd.Index(fold_names).get_indexer(used["fold"]), np.int64)
    groups = intervals.dense(used["group"].to_numpy(str))
    images = scored.Scored(
        np.asarray(pd.Index(classes).get_indexer(used["label"]), np.int64),
        fold,
        groups,
        scored.in_parts(fold, groups),
        scores.named(contest.metric, classes),
    )
    members = blended.members_of(values)
    return Inputs(root, members, blended.sources_of(values, root), fold_names, folds, classes, images)


def _ladder(inputs: Inputs, name: str) -> list[Rung]:
    """Return a member's rungs, from the lowest up; phases without epochs and single views have none."""
    member, source = inputs.members[name], inputs.sources[name]
    size, path = member.model.image_size, inputs.root / "data/probe" / f"{name}.parquet"
    predicted = inputs.folds[inputs.folds["fold"] != ""]
    probe = _read(inputs, [path], predicted, size)[(predicted["use"] == "train").to_numpy()]
    ladder = [Rung(name, "probe", f"logistic regression on frozen features at {size} pixels", probe)]
    for phase, settings in (("pretrain", member.pretrain), ("finetune", member.finetune)):
        if settings.epochs > 0:
            paths = [inputs.root / f"data/{phase}/{name}/{fold}.parquet" for fold in inputs.fold_names]
            ladder.append(Rung(name, phase, _words(phase, member), _read(inputs, paths, inputs.used, size)))
    if len(source.views) > 1 and source.usual.image_sizes == (size,):
        flipped = sources.plain(source, source.usual, inputs.folds, inputs.classes)
        ladder.append(Rung(name, "flip", f"mean over {' and '.join(source.usual.views)}", flipped))
    looks = _read_whole(inputs, f"{FOLDER}/singles/{name}.parquet")
    ladder.append(Rung(name, "resolution", "sizes and views by evidence of other images", looks))
    return ladder


def _words(phase: str, member: MemberSettings) -> str:
    if phase == "pretrain":
        return (
            f"{member.pretrain.epochs} epochs with mixup {member.pretrain.mixup:g}, cutmix {member.pretrain.cutmix:g}"
        )
    more = "" if member.pretrain.epochs == 0 else " more"
    return f"{member.finetune.epochs}{more} epochs on clean images"


def _blend_rung(inputs: Inputs, probs: predictions.Probs) -> Rung:
    return Rung("blend", "ensemble", f"of {len(inputs.sources)} members, chosen on other images", probs)


def _read(inputs: Inputs, paths: list[Path], rows: pd.DataFrame, size: int) -> predictions.Probs:
    """Read out-of-fold predictions at one size in the identity view: (rows, classes)."""
    probs = predictions.read_train(
        paths,
        image_ids=list(rows["image_id"]),
        folds=list(rows["fold"]),
        classes=inputs.classes,
        image_sizes=[size],
        views=[IDENTITY],
    )
    return np.asarray(probs[0, 0], np.float32)


def _read_whole(inputs: Inputs, path: str) -> predictions.Probs:
    """Read a table of tables.OOF: (scored images, classes)."""
    table = tables.read(inputs.root / path, tables.OOF).set_index("image_id").loc[list(inputs.used["image_id"])]
    return np.asarray(table[[tables.PROBABILITY + name for name in inputs.classes]], np.float32)


def _picture(table: pd.DataFrame) -> pd.DataFrame:
    steps = table[table["verdict"] != ""]
    return steps.assign(rung=steps["member"] + ": " + steps["step"])[list(STEPS.columns)]


def _tell(table: pd.DataFrame, short: list[str]) -> None:
    shown = table[["member", "step", "score", "difference", "low", "high", "log_loss", "verdict"]]
    print(shown.to_string(index=False, na_rep="", float_format="{:.4f}".format))
    for name in short:
        print(f"ladder: WARNING: {name} does not surely beat a logistic regression on its own frozen features")


if __name__ == "__main__":
    cli.run(main)
