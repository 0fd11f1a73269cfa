"""Numbers in sentences."""

import pytest

from podium.core.wording import counted


@pytest.mark.parametrize(
    ("number", "words"), [(0, "0 classes"), (1, "1 class"), (2, "2 classes"), (12345, "12,345 classes")]
)
def test_a_noun_has_the_number_of_what_it_counts(number: int, words: str) -> None:
    assert counted(number, "class", "classes") == words
    assert counted(number, "image") == words.replace("classes", "images").replace("class", "image")
