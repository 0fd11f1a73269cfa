"""Stage `activation_maps`: the blend's surest mistakes -> data/activation_maps/, where one member saw the wrong class.

The member with the most weight in the blend is asked: of each image, the network of the fold that held it out. The file
is for `page`, which has no torch.
"""

from collections.abc import Iterator
from pathlib import Path

from podium import contracts
from podium.activation_maps import map_file, mistakes, network_choice
from podium.activation_maps.map_file import MistakeMaps
from podium.core import cli, params, tables, targets
from podium.predictions import prediction_files


def main(*, root: Path = Path()) -> None:
    """Write the maps, or why there are none."""
    found = _find(root)
    map_file.write(root / map_file.PATH, found)
    asked = found.network
    if found.reason or asked is None:
        print(f"activation_maps: none, because {found.reason}")
        return
    print(
        f"activation_maps: {len(found.by_mistake)} mistakes, by {asked.member} ({asked.phase}) at"
        f" {asked.image_size} pixels"
    )


def _find(root: Path) -> MistakeMaps:
    folds = tables.read(root / "data/split/folds.csv", tables.FOLDS)
    used = folds[folds["use"] == "train"].sort_values("image_id", ignore_index=True)
    classes = targets.class_names(used["label"])
    probs = prediction_files.read_oof(root / "data/ensemble/oof.parquet", used, classes)
    rows = mistakes.surest(probs, targets.as_rows(targets.of_labels(used["label"], classes)))[: mistakes.MOST]
    members = tables.read(root / "data/ensemble/members.csv", contracts.MEMBERS)
    choice = network_choice.choose(members, params.section(params.read(root), "members"))
    if choice is None or not len(rows):
        return MistakeMaps(choice, "no member has a network" if choice is None else "the blend makes no mistake")
    from podium.activation_maps import mistake_maps  # torch takes seconds to import: not without a mistake

    n_labels = targets.rows_per_image(classes)

    def described() -> Iterator[mistake_maps.Mistake]:
        for row in rows:
            predicted, image = int(probs[row].argmax()), used.iloc[row // n_labels]
            output, sign, names = predicted, 1, classes
            if n_labels > 1:
                output, sign = int(row % n_labels), 1 if predicted else -1
                names = targets.two_classes(classes[output])
            yield mistake_maps.Mistake(image["image_id"], image["fold"], names[predicted], output, sign)

    return mistake_maps.find(root, choice, list(described()), classes)


if __name__ == "__main__":
    cli.run(main)
