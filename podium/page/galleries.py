"""Which images the page shows, with captions: duplicates, odd images, the surest mistakes, suspected labels."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import pandas as pd

from podium.activation_maps import mistakes as surest_mistakes
from podium.activation_maps.map_file import MistakeMaps
from podium.page import thumbnails
from podium.page.page_inputs import PageInputs
from podium.page.thumbnails import Thumbnail

LEAKS, CLUSTERS, CLUSTER_IMAGES, CHECK_IMAGES = 8, 8, 4, 6
SUSPECTS = 48  # as many as suspects.png has at most
FACTS_ONLY = ("near_duplicate", "same_file", "same_pixels")  # checks that the duplicates show better


@dataclass(frozen=True)
class Gallery:
    """Images under a heading.

    Attributes:
        heading: what they are.
        images: in order.
        total: how many there are in all.
    """

    heading: str
    images: list[Thumbnail]
    total: int


def leaked(inputs: PageInputs) -> list[Gallery]:
    """Return test images beside their most similar duplicate in train, and the label that it has."""
    leaks = inputs.table("data/analyze/leaks.csv")
    best = leaks.sort_values(["similarity", "test_image_id", "train_image_id"], ascending=[False, True, True])
    best = best.drop_duplicates("test_image_id").head(LEAKS)
    label_of = _labels(inputs)
    pairs = []
    for row in best.itertuples():
        label = label_of.get(row.train_image_id) or "no label"
        test = thumbnails.of_image(inputs.packs["test"], row.test_image_id, lines=("test",))
        train = thumbnails.of_image(inputs.packs["train"], row.train_image_id, lines=(f"train: {label}", row.kind))
        pairs.append(Gallery(f"{row.test_image_id} is also a train image", [test, train], 2))
    return pairs


def duplicates(inputs: PageInputs) -> list[Gallery]:
    """Return clusters of duplicates in train; those whose labels differ come first."""
    clusters = inputs.table("data/analyze/clusters.csv")
    label_of = _labels(inputs)
    conflicting = set(inputs.table("data/split/conflicts.csv")["cluster"])
    members = {str(name): sorted(ids) for name, ids in clusters.groupby("cluster")["image_id"]}
    order = sorted(members, key=lambda name: (name not in conflicting, -len(members[name]), name))
    galleries = []
    for name in order[:CLUSTERS]:
        marked = name in conflicting
        shown = [
            thumbnails.of_image(inputs.packs["train"], i, lines=(label_of.get(i) or "no label",), marked=marked)
            for i in _by_label(members[name], label_of)[:CLUSTER_IMAGES]
        ]
        heading = f"{len(members[name])} duplicates" + (", labels differ" if marked else "")
        galleries.append(Gallery(heading, shown, len(members[name])))
    return galleries


def odd_images(inputs: PageInputs) -> list[Gallery]:
    """Return images of each check of `analyze`, train images first; a sample by id where there are more."""
    findings = inputs.table("data/analyze/findings.csv")
    findings = findings[~findings["check"].isin(FACTS_ONLY)]
    galleries = []
    for check, rows in findings.groupby("check"):
        chosen = rows.sort_values(["subset", "image_id"], ascending=[False, True]).head(CHECK_IMAGES)
        shown = [
            thumbnails.of_image(inputs.packs[row.subset], row.image_id, lines=(f"{row.subset}: {_value(row)}",))
            for row in chosen.itertuples()
        ]
        galleries.append(Gallery(str(check).replace("_", " "), shown, len(rows)))
    return galleries


def mistakes(inputs: PageInputs) -> Gallery:
    """Return the images that the blend is surest about and gets wrong, out of fold, with their maps."""
    used = inputs.used
    suspected = set(inputs.flagged["image_id"])
    predicted = inputs.probs.argmax(1)
    order = surest_mistakes.surest(inputs.probs, inputs.targets)
    shown = []
    for i in order[: surest_mistakes.MOST]:
        image_id, classes = str(used["image_id"].iloc[i // inputs.n_labels]), inputs.row_names(i)
        p, p_label = inputs.probs[i, predicted[i]], inputs.probs[i, inputs.targets[i]]
        lines = (
            f"label {classes[inputs.targets[i]]} (p {p_label:.2f})",
            f"predicted {classes[predicted[i]]} (p {p:.2f})",
            *(["suspected label"] if image_id in suspected else []),
        )
        plain = thumbnails.of_image(inputs.packs["train"], image_id, lines=lines)
        shown.append(_with_map(plain, inputs.maps, (image_id, classes[predicted[i]])))
    return Gallery("The surest mistakes", shown, len(order))


def _with_map(plain: Thumbnail, maps: MistakeMaps, mistake: tuple[str, str]) -> Thumbnail:
    found = maps.by_mistake.get(mistake)
    if found is None or maps.network is None:
        return plain
    image_id, predicted = mistake
    return replace(
        plain,
        map_uri=thumbnails.data_uri(found.overlay),
        map_alt=f"Map of {maps.network.member} for {predicted} in {image_id}",
        lines=(*plain.lines, f"map: {maps.network.member} (p {found.p:.2f})"),
    )


def suspects(inputs: PageInputs) -> Gallery:
    """Return the suspected labels that have a row to copy, the flagged ones first."""
    offered = inputs.table("data/review/overrides_to_consider.csv")["image_id"]
    rows = inputs.table("data/review/suspects.csv")
    rows = rows[rows["image_id"].isin(offered)]
    shown = [
        thumbnails.of_image(
            inputs.packs["train"],
            row.image_id,
            lines=(
                f"label {row.given} (p {row.p_given:.2f})",
                f"suggested {row.suggested} (p {row.p_suggested:.2f})",
                f"{row.members_agreeing} of {row.members_asked} members agree",
                "flagged" if row.flagged == "yes" else "not flagged",
            ),
        )
        for row in rows.head(SUSPECTS).itertuples()
    ]
    return Gallery("Suspected labels", shown, len(rows))


def _labels(inputs: PageInputs) -> dict[str, str]:
    folds = inputs.table("data/split/folds.csv")
    return dict(zip(folds["image_id"], folds["label"], strict=True))


def _by_label(image_ids: Sequence[str], label_of: dict[str, str]) -> list[str]:
    """Order images so that the first ones have as many different labels as possible."""
    rows = pd.DataFrame({"image_id": image_ids, "label": [label_of.get(i, "") for i in image_ids]})
    rows["turn"] = rows.groupby("label").cumcount()
    return list(rows.sort_values(["turn", "image_id"])["image_id"])


def _value(row: object) -> str:
    value, threshold = getattr(row, "value", ""), getattr(row, "threshold", "")
    return f"{value} (threshold {threshold})" if threshold else str(value)
