"""The user's files and folders that params.yaml names."""

from pathlib import Path

from podium.contest import external, paths
from podium.core.errors import InputError
from podium.preflight import pruning
from podium.preflight.settings import Podium

MADE_LATER = ("demo/images",)  # a stage of the same graph draws these images


def by_key(p: Podium) -> dict[str, str]:
    """Return the paths of all files and folders that the user supplies, by their keys in params.yaml."""
    c = p.contest
    given = {
        "contest.images.train": c.images.train,
        "contest.images.test": c.images.test,
        "contest.lists.train": c.lists.train,
        "contest.lists.test": c.lists.test,
        "contest.labels": c.labels,
        "contest.overrides": c.overrides,
        "contest.template": c.template,
    }
    given |= {f"members.{name}.model.weights_file": member.model.weights_file for name, member in p.members.items()}
    for name, predictions in p.external.items():
        given |= {f"external.{name}.oof": predictions.oof, f"external.{name}.test": predictions.test}
    return given


def refuse_inputs_among_outputs(p: Podium, root: Path) -> None:
    """Refuse an input where stages write, because pruning would remove it, and a path that no file can have.

    Raises:
        InputError: names the key and the path.
    """
    for key, path in by_key(p).items():
        try:
            (root / path).exists()
            is_output = pruning.is_among_outputs(root, path)
        except (OSError, ValueError) as error:  # too long, holds a NUL, or lies in a folder that may not be searched
            raise InputError(f"params.yaml: {key}: {path}: no usable path ({error}): correct it") from None
        if is_output:
            raise InputError(
                f"params.yaml: {key}: {path} lies where stages write and clean up; move it to data/contest/"
            )


def require(p: Podium, root: Path) -> None:
    """Refuse paths of params.yaml that do not exist or are of the wrong kind.

    Raises:
        InputError: names the key and the path.
    """
    c = p.contest
    for name, member in p.members.items():
        if member.model.weights == "file" and not (root / member.model.weights_file).is_file():
            raise InputError(
                f"params.yaml: members.{name}.model.weights_file: {member.model.weights_file} is no file; name a"
                " .safetensors or .pth file"
            )
    for name, given in p.external.items():
        for key, path in (("oof", given.oof), ("test", given.test)):
            external.check_path(root, path, f"external.{name}.{key}", [c.images.train, c.images.test])
    paths.check_paths(
        root,
        train=c.images.train,
        test=c.images.test,
        layout=c.layout,
        labels=c.labels,
        overrides=c.overrides,
        template=c.template,
        id_column=c.columns.id,
        label_column=c.columns.label,
        group_column=c.columns.group,
        fold_column=c.columns.fold,
        pattern=c.columns.pattern,
        lists=c.lists,
        made_later=MADE_LATER,
    )
