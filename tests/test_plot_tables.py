import numpy as np
import pandas as pd
import pytest

from podium.core import tables
from podium.pictures import plot_tables


def images(classes: dict[str, int], seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [(f"{label}/{k:05}", label) for label, n in classes.items() for k in range(n)]
    table = pd.DataFrame(rows, columns=["image_id", "label"]).astype({"image_id": "str", "label": "str"})
    table["width"], table["height"] = rng.integers(1, 900, (2, len(table)))
    table["brightness"] = rng.uniform(0, 255, len(table))
    return table.assign(colour="#123456")


def spread_of(train: pd.DataFrame, test: pd.DataFrame) -> pd.DataFrame:
    return plot_tables.spread(plot_tables.stack(train, test.drop(columns="label")), "brightness")


NONE = images({})


@pytest.mark.parametrize(("classes", "each"), [(1, 1), (2, 3), (2, 900), (200, 1), (200, 40), (1000, 7)])
def test_tables_fit_a_browser_and_their_contract(tmp_path, classes: int, each: int) -> None:
    train = images({f"c {k}": each for k in range(classes)})
    spread, sizes = spread_of(train, images({"": 2000})), plot_tables.sizes(train)
    tables.write(spread, tmp_path / "spread.csv", plot_tables.SPREAD)
    tables.write(sizes, tmp_path / "sizes.csv", plot_tables.SIZES)
    assert len(spread) <= plot_tables.MAX_POINTS + 2 * plot_tables.MAX_ROW_POINTS
    assert len(sizes) <= plot_tables.MAX_POINTS
    assert spread["row"].nunique() == 2 + min(classes, plot_tables.MAX_CLASSES)


def test_rows_are_the_subsets_then_the_classes_by_median() -> None:
    train = images({"dark": 3, "bright": 5})
    train["brightness"] = np.where(train["label"] == "dark", 10.0, 200.0)
    rows = spread_of(train, images({"": 4}))[["row", "order"]].drop_duplicates()
    assert rows["row"].tolist() == ["all of train: 8", "all of test: 4", "dark (3)", "bright (5)"]
    assert rows["order"].tolist() == [0, 1, 2, 3]


def test_a_class_may_have_the_name_of_another_row() -> None:
    names = {"all of train: 6": 2, "a": 2, "a (2)": 2}
    rows = spread_of(images(names), NONE).groupby("row").size()
    assert rows.to_dict() == {"all of train: 6": 6, "all of train: 6 (2)": 2, "a (2)": 2, "a (2) (2)": 2}


def test_quartiles_are_of_all_images_and_extremes_are_always_shown() -> None:
    train = images({"a": 5000})
    rows = spread_of(train, NONE)
    shown = rows[rows["order"] == 1]
    assert len(shown) == plot_tables.MAX_ROW_POINTS < len(train)
    quartiles = np.quantile(train["brightness"], [0.25, 0.5, 0.75])
    assert shown[["q25", "median", "q75"]].drop_duplicates().to_numpy().tolist() == [pytest.approx(quartiles, abs=1e-6)]
    assert shown["value"].agg(["min", "max"]).tolist() == pytest.approx(
        train["brightness"].agg(["min", "max"]), abs=1e-6
    )
    assert "at most 300" in shown["shown"].iloc[0]


def test_shown_names_no_limit_where_everything_is_shown() -> None:
    train = images({"a": 3, "b": 1})
    assert set(spread_of(train, NONE)["shown"]) == {"2 classes; a mark per image"}
    assert set(plot_tables.sizes(train)["shown"]) == {"every size"}
    assert len(spread_of(train, NONE)) == 8


def test_of_many_classes_those_of_extreme_medians_are_shown() -> None:
    train = images({f"{k:04}": 1 for k in range(1000)})
    train["brightness"] = np.arange(1000.0)
    rows = spread_of(train, NONE)
    medians = rows.loc[rows["order"] > 0, "median"]
    assert sorted(medians) == [*range(100), *range(900, 1000)]
    assert rows["shown"].iloc[0].startswith("200 of 1000 classes, those of the lowest and of the highest medians")


def test_the_sample_does_not_depend_on_order_and_changes_little() -> None:
    train, more = images({"a": 1000}), images({"a": 1001})
    more["brightness"] = [*train["brightness"], 100.0]
    first = spread_of(train, NONE)
    pd.testing.assert_frame_equal(first, spread_of(train.sample(frac=1, random_state=0), NONE))
    assert len(set(first["image_id"]) - set(spread_of(more, NONE)["image_id"])) <= 1


def test_sizes_count_every_image_and_hold_the_extremes() -> None:
    train = images({"a": 6000, "b": 3})
    train["width"], train["height"] = np.arange(1, 6004), 70
    sizes = plot_tables.sizes(train)
    assert sizes["width"].agg(["min", "max"]).tolist() == [1, 6003]
    assert sizes["shown"].iloc[0] == "4000 of 6003 sizes, by chance"
    train["width"] = 50
    counted = plot_tables.sizes(train)
    assert dict(zip(counted["label"], counted["images"], strict=True)) == {"a": 6000, "b": 3}
    assert counted["image_id"].tolist() == ["a/00000", "b/00000"]


def test_few_classes_have_a_colour_each_and_of_many_the_largest_do() -> None:
    few = plot_tables.sizes(images({"a": 1, "b": 2}))
    assert (few["hue"] == few["label"]).all()
    many = plot_tables.sizes(images({f"{k:02}": 30 - k for k in range(20)}))
    assert set(many["hue"]) == {"", *(f"{k:02}" for k in range(8))}
    assert many["shown"].iloc[0].startswith("the 8 largest of 20 classes in colour")


def labels_of(classes: dict[str, int], use: str = "train") -> pd.DataFrame:
    return images(classes)[["image_id", "label"]].assign(use=use)


def test_class_counts_separate_used_from_skipped() -> None:
    labels = pd.concat([labels_of({"b": 2}), labels_of({"a": 1, "b": 1, "": 3}, use="skip")])
    counts = plot_tables.class_counts(labels, {"b": "b.png"})
    assert counts.to_dict("list") == {
        "label": ["a", "b"],
        "images": [0, 2],
        "skipped": [1, 1],
        "sheet": ["", "b.png"],
        "shown": ["2 classes", "2 classes"],
    }


def test_all_classes_are_counted_and_the_largest_and_rarest_shown() -> None:
    counts = plot_tables.class_counts(labels_of({f"{k:03}": k + 1 for k in range(300)}), {})
    assert counts["images"].tolist() == list(range(1, 301))
    shown = counts.loc[counts["shown"] != "", "images"].tolist()
    assert shown == [*range(1, 101), *range(201, 301)]
    assert set(counts["shown"]) == {"", "200 of 300 classes, those of most and of fewest images"}


def facts_of(sizes: list[int], problem: str = "", file_format: str = "PNG") -> pd.DataFrame:
    return pd.DataFrame({"bytes": sizes, "problem": problem, "format": file_format})


def test_every_file_is_in_one_bin_and_no_bin_is_missing() -> None:
    train = pd.concat([facts_of([1000, 1400, 1500, 64000]), facts_of([0, 900], problem="empty file", file_format="")])
    table = plot_tables.file_sizes({"train": train, "test": facts_of([])})
    assert set(table["subset"]) == {"train: 6 files"}
    assert table["images"].sum() == 6
    assert table.groupby("format")["images"].sum().to_dict() == {"PNG": 4, "unusable": 2}
    png = table[table["format"] == "PNG"]
    assert png["order"].tolist() == list(range(-1, 13))
    assert dict(zip(png["kilobytes"], png["images"], strict=True)) == {
        **{"below 1": 0, "1": 2, "1.41": 1, "64": 1},
        **dict.fromkeys(["2", "2.83", "4", "5.66", "8", "11.3", "16", "22.6", "32", "45.3"], 0),
    }


def test_empty_tables_fit_their_contracts(tmp_path) -> None:
    for table, contract in [
        (spread_of(NONE, NONE), plot_tables.SPREAD),
        (plot_tables.sizes(NONE), plot_tables.SIZES),
        (plot_tables.class_counts(labels_of({}), {}), plot_tables.CLASS_COUNTS),
        (plot_tables.file_sizes({"train": facts_of([])}), plot_tables.FILE_SIZES),
    ]:
        assert table.empty
        tables.write(table, tmp_path / "a.csv", contract)
