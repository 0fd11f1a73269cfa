import numpy as np
import pandas as pd
import pytest

from podium.audit import metadata


def text(*words: str) -> pd.Series:
    return pd.Series(words, dtype="str")


def test_files_give_sizes_shapes_and_compression() -> None:
    facts = pd.DataFrame({"image_id": text("a.png"), "width": 200, "height": 100, "bytes": 5000})
    facts = facts.assign(format=text("PNG"), mode=text("RGB"), sha256=text("0"))
    assert metadata.of_files(facts).loc["a.png"].to_dict() == {
        "width": 200,
        "height": 100,
        "aspect_ratio": 2.0,
        "bytes": 5000,
        "bytes_per_pixel": 0.25,
        "format": "PNG",
        "mode": "RGB",
    }


def test_names_give_order_length_digits_and_words() -> None:
    table = metadata.of_names(["cat_0012.JPG", "x/dog7_3.png", "bird.png"], class_folders=False)
    assert list(table["file_order"]) == [2, 3, 1]
    assert list(table["name_length"]) == [8, 6, 4]
    assert list(table["name_digits"]) == [4, 2, 0]
    assert table["name_number"].tolist() == pytest.approx([12, 3, np.nan], nan_ok=True)
    assert list(table["name_prefix"]) == ["cat_", "dog", "bird"]
    assert list(table["name_ending"]) == [".JPG", ".png", ".png"]
    assert list(table["name_folder"]) == [".", "x", "."]


def test_a_folder_that_is_the_class_is_in_none_of_the_columns() -> None:
    """Not in the order either: sorted by their whole paths, all images of the first class would come first."""
    names = [f"{i:03}.jpg" for i in range(4)]
    table = metadata.of_names([f"{c}/{name}" for c in ("ant", "bee") for name in names], class_folders=True)
    pd.testing.assert_frame_equal(table[:4].reset_index(drop=True), table[4:].reset_index(drop=True))
    deeper = metadata.of_names(["ant/site1/1.jpg", "bee/site2/1.jpg"], class_folders=True)
    assert list(deeper["name_folder"]) == ["site1", "site2"]


def test_a_number_of_any_length_is_finite() -> None:
    table = metadata.of_names(["9" * 200 + ".jpg"], class_folders=False)
    assert np.isfinite(table["name_number"]).all()


def test_colours_are_means_of_the_pixels() -> None:
    pixels = np.zeros((2, 2, 3), dtype=np.uint8)
    pixels[0] = (200, 100, 50)
    (row,) = metadata.of_colours({"a": pixels}, ["a"]).to_numpy()
    assert row.tolist() == pytest.approx([100, 50, 25, 0.299 * 100 + 0.587 * 50 + 0.114 * 25])
    assert metadata.of_colours({}, []).empty


def test_constant_columns_are_left_out_and_texts_become_categories() -> None:
    table = pd.DataFrame({"width": [1, 2, 3], "height": [5, 5, 5], "mode": text("L", "L", "RGB")})
    features = metadata.encode(table)
    assert features.names == ("width", "mode")
    assert features.categorical.tolist() == [False, True]
    assert features.values.tolist() == [[1, 0], [2, 0], [3, metadata.CATEGORIES]]


def test_categories_stay_few_and_do_not_depend_on_the_order_of_rows() -> None:
    words = [f"w{i:03}" for i in range(300) for _ in range(2 + i % 3)] + ["alone"]
    table = pd.DataFrame({"name_prefix": pd.Series(words, dtype="str")})
    codes = metadata.encode(table).values[:, 0]
    assert set(codes) == set(range(metadata.CATEGORIES + 1))
    mixed = table.sample(frac=1, random_state=0)
    assert metadata.encode(mixed).values[:, 0].tolist() == codes[mixed.index].tolist()


def test_nothing_to_tell_images_apart_gives_no_columns() -> None:
    assert metadata.encode(pd.DataFrame({"width": [4, 4]})).values.shape == (2, 0)
