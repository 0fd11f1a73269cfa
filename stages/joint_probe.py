"""Stage `joint_probe`: all members' frozen features, data/probe/*.safetensors -> data/joint_probe/predictions.parquet.

One linear classifier on the features of all members side by side is a member of the blend of its own. The classifiers,
models/joint_probe/classifiers.safetensors, are for new images. With a single member there is none, and both files are
empty.
"""

from pathlib import Path

from podium.core import cli, params, tables
from podium.core.errors import some
from podium.probes import classifier_file
from podium.probes.classifier_file import Classifiers


def main(*, root: Path = Path()) -> None:
    """Fit one classifier per fold, and predict."""
    values = params.read(root)
    # the folder is a dependency, and `check` removes what no member owns: it holds the members of params.yaml
    members = sorted(path.stem for path in (root / "data/probe").glob("*.safetensors"))
    fold_names = [str(fold) for fold in params.section(values, "folds")]
    if len(members) < 2:
        tables.write_empty_predictions(root, root / "data/joint_probe/predictions.parquet")
        classifier_file.write(root / classifier_file.JOINT, Classifiers([], {}, {}))
        print("joint_probe: skipped, because a single member has nothing to be joined with")
        return
    from podium.probes import joint_probe  # torch takes seconds to import: not for a single member

    found = joint_probe.run(members, fold_names, root)
    print(f"joint_probe: regularisation: {found.strengths_in_words}")
    print(
        f"joint_probe: a linear classifier on the frozen features of {some(members)}, {found.score.n_images} images"
        f" out of fold: {found.score}"
    )


if __name__ == "__main__":
    cli.run(main)
