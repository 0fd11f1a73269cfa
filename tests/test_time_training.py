"""docs.measure.time_training on a tiny recipe: one row a member, and a member that fails is not the others'."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from docs.measure import time_training
from podium.core.errors import InputError
from tests import tiny


def recipe(root: Path, **members: dict[str, Any]) -> str:
    path = root / "recipe.yaml"
    path.write_text(yaml.safe_dump({"torch": {"threads": 1, "device": "cpu"}, "members": members}, sort_keys=False))
    return str(path)


def test_a_member_that_fails_is_named_and_the_next_is_timed_and_trained_to_the_same_bytes_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    wrong = {"backbone": "vit_tiny_patch16_224", "model_kwargs": {}, "image_size": 48}
    path = recipe(tmp_path, small=tiny.member(model=wrong), fine=tiny.member())
    with pytest.raises(SystemExit, match="1"):
        time_training.main(path, "--images", "8", "--again")
    printed = capsys.readouterr().out.splitlines()
    assert printed[1].startswith("small pretrain: AssertionError: Input height (48)")
    assert printed[2].startswith("fine pretrain fp32: ")
    assert " ms per step of 4, " in printed[2]
    assert "images/s at 32, " in printed[2]
    assert printed[2].endswith("again: the same bytes")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--members", "nosuch"], r"recipe\.yaml: members\.nosuch"),
        (["--members", "bad"], r"recipe\.yaml: members\.bad"),
    ],
)
def test_mistakes_are_named_before_the_first_training(tmp_path: Path, words: list[str], message: str) -> None:
    path = recipe(tmp_path, fine=tiny.member(), bad=tiny.member(pretrain={"typo": 1}))
    with pytest.raises(InputError, match=message):
        time_training.main(path, *words, "fine")


def test_a_recipe_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nosuch\.yaml: cannot be read"):
        time_training.main(str(tmp_path / "nosuch.yaml"))
