import numpy as np
import pandas as pd
import pytest

from podium.core.errors import InputError
from podium.pictures import measures


def facts_of(*image_ids: str) -> pd.DataFrame:
    return pd.DataFrame({"image_id": image_ids, "width": 400, "height": 300, "bytes": 2500, "problem": ""})


def plain(*rgb: int) -> np.ndarray:
    return np.full((6, 5, 3), rgb, np.uint8)


def test_sizes_come_from_facts_and_colours_from_pixels() -> None:
    table = measures.of_images(
        facts_of("b", "other", "a"), {"a": plain(200, 100, 0), "b": plain(0, 0, 255)}, ["a", "b"]
    )
    assert list(table["image_id"]) == ["a", "b"]
    assert table.loc[0, ["width", "height", "megapixels", "kilobytes"]].tolist() == [400, 300, 0.12, 2.5]
    assert table["aspect_ratio"].tolist() == pytest.approx([4 / 3, 4 / 3])
    assert table["red_minus_blue"].tolist() == [200, -255]
    assert table["colour"].tolist() == ["#c86400", "#0000ff"]


@pytest.mark.parametrize("level", [0, 1, 127, 255])
def test_grey_has_the_brightness_of_its_level_and_no_colour(level: int) -> None:
    table = measures.of_images(facts_of("a"), {"a": plain(level, level, level)}, ["a"])
    assert table["brightness"].tolist() == pytest.approx([level])
    assert table["red_minus_blue"].tolist() == [0]


def test_brightness_is_the_mean_over_all_pixels() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (37, 53, 3), dtype=np.uint8)
    table = measures.of_images(facts_of("a"), {"a": noise}, ["a"])
    assert table["brightness"].tolist() == pytest.approx([(noise @ [0.299, 0.587, 0.114]).mean()])


def test_without_images_the_columns_are_still_numbers() -> None:
    table = measures.of_images(facts_of("a"), {}, [])
    assert table.empty
    for column in ("aspect_ratio", "megapixels", "kilobytes", "brightness", "red_minus_blue"):
        assert pd.api.types.is_float_dtype(table[column])


def test_an_image_without_facts_is_named() -> None:
    with pytest.raises(InputError, match=r"facts\.csv has no row for b\b"):
        measures.of_images(facts_of("a"), {"a": plain(1, 2, 3), "b": plain(1, 2, 3)}, ["a", "b"])
