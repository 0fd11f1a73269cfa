"""Texts that look alike: which are refused, which are warned of, and how they are named."""

import pytest

from podium.contest import lookalikes


@pytest.mark.parametrize("other", ["Cat", "\u0441at", "c\u0430t", "\uff43at", "CAT", "\u217dat"])
def test_classes_that_look_alike_are_warned_of_with_their_code_points(other: str) -> None:
    (warning,) = lookalikes.warnings(["cat", other, "dog"])
    for text in ("cat", other):
        assert f"{text!r} ({' '.join(f'U+{ord(c):04X}' for c in text)})" in warning
    assert "dog" not in warning


@pytest.mark.parametrize("pair", [("\u0421\u041e\u041c", "COM"), ("Erik\u2019s", "Erik's"), ("a\u2013b", "a-b")])
def test_whole_words_of_another_script_and_punctuation_look_alike(pair: tuple[str, str]) -> None:
    assert lookalikes.groups(pair, lookalikes.skeleton) == [sorted(pair)]
    assert lookalikes.groups(pair, lookalikes.visible) == []


def test_what_looks_different_is_no_pair() -> None:
    assert (
        lookalikes.warnings(["cafe", "caf\u00e9", "caff\u00e8", "\u798f", "\u5fa9", "0", "O", "rust", "rust scab"])
        == []
    )


def test_of_a_long_label_only_what_differs_is_listed() -> None:
    long = "a very long name of a class"
    (warning,) = lookalikes.warnings([long, long.replace("v", "\u0475")])
    assert "(U+0475)" in warning
    assert "(U+0076)" in warning


def test_a_hint_names_the_known_text() -> None:
    assert "'False' (U+" in lookalikes.hint("FALSE", ["False", "True"])
    assert lookalikes.hint("cow", ["cat"]) == lookalikes.hint("cat", ["cat"]) == ""
