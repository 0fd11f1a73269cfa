"""Extra images: trained on in every fold, never held out, never scored; e.g. of other data sets, or corrected crops.

They lie in the folder of train images and have labels like all others. `split` sets them aside, so that folds.csv lists
them as skipped. The stage `extra` says from which folds' trainings each one is left out.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from podium.core import params, tables, targets
from podium.core.errors import InputError, some
from podium.folds import assignment
from podium.folds.settings import ExtraSettings

REASON = "extra image: trained on, never scored"


def entries(values: Mapping[str, Any]) -> dict[str, ExtraSettings]:
    """Return the map `extra` of params.yaml's values; {} where there is none."""
    return {
        name: params.parse(entry, f"extra.{name}", ExtraSettings) for name, entry in values.get("extra", {}).items()
    }


def owners(image_ids: pd.Series, extra: Mapping[str, ExtraSettings]) -> pd.Series:
    """Return the name in the map `extra` that each image belongs to, "" for the contest's own; the first one wins."""
    names = pd.Series("", index=image_ids.index, dtype="str")
    for name, settings in extra.items():
        pattern = re.compile(settings.pattern)
        names = names.mask((names == "") & image_ids.map(lambda one, p=pattern: bool(p.search(one))), name)
    return names


def set_aside(labels: pd.DataFrame, extra: Mapping[str, ExtraSettings]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Divide labels (contracts.LABELS) into those of the contest's own images and those of extra images.

    Raises:
        InputError: an entry fits no image; no image is left to score; or extra images have a class that no other has.
    """
    owner = owners(labels["image_id"], extra)
    if idle := [name for name in extra if not (owner == name).any()]:
        raise InputError(f"params.yaml: extra.{idle[0]}.pattern: fits no train image (or entries before it take them)")
    own, others = labels[owner == ""], labels[owner != ""]
    known, new = (targets.names_in(rows.loc[rows["use"] == "train", "label"]) for rows in (own, others))
    if strange := sorted(new - known):
        raise InputError(
            f"params.yaml: extra: no image of the contest has the class {some(list(map(repr, strange)))} of these extra"
            " images; rename it by contest.columns.classes, or drop the images in contest.overrides"
        )
    return own, others


def as_skipped(others: pd.DataFrame) -> pd.DataFrame:
    """Return rows of tables.FOLDS for extra images: nothing but the trainings may use them."""
    return others.assign(use="skip", reason=REASON, group=others["image_id"], fold="")[list(tables.FOLDS.columns)]


def trained_on(
    labels: pd.DataFrame,
    name: str,
    extra: Mapping[str, ExtraSettings],
    *,
    folds: pd.DataFrame,
    clusters: pd.DataFrame,
    copied: Sequence[str],
    unreadable: Sequence[str],
) -> pd.DataFrame:
    """Return the extra images of one entry that are trained on, and without which folds (tables.EXTRA).

    An extra image with a duplicate among held-out images, or of their group, would hand on their labels. So it is left
    out of the training of each fold that holds out an image of its group or cluster, or of one that these lead to.

    Args:
        labels: contracts.LABELS.
        name: of the entry.
        extra: the map.
        folds: tables.FOLDS.
        clusters: contracts.CLUSTERS.
        copied: ids of train images with a duplicate among the test images; no extra image of their groups and clusters
            is trained on.
        unreadable: ids of images without pixels.
    """
    rows = labels[["image_id", "label", "use"]].reset_index(drop=True)
    rows["group"] = assignment.connect(labels.reset_index(drop=True), clusters)
    rows["fold"] = rows["image_id"].map(folds.set_index("image_id")["fold"]).fillna("")
    held_out = {
        group: " ".join(sorted(set(of_group))) for group, of_group in rows[rows["fold"] != ""].groupby("group")["fold"]
    }
    leaking = set(rows.loc[rows["image_id"].isin(list(copied)), "group"])  # LEAKS does not name every duplicate
    chosen = (owners(rows["image_id"], extra) == name) & (rows["use"] == "train")
    chosen &= ~rows["group"].isin(list(leaking)) & ~rows["image_id"].isin(list(unreadable))
    found = rows[chosen].sort_values("image_id", ignore_index=True)
    found["without"] = found["group"].map(held_out).fillna("").astype("str")
    return found.assign(share=extra[name].share)[list(tables.EXTRA.columns)]
