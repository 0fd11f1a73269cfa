"""Stage `external` and podium.contest.external: predictions made elsewhere."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE
from podium.predictions import prediction_files
from stages import external as stage
from tests import tiny

TRAIN = [f"sub/{i:02}.png" for i in range(12)]
TEST = [f"t{i}.png" for i in range(4)]
FOLDS = ["1", "2", "0"] * 4
CLASSES = ["0", "1", "2"]
SCORED = TRAIN[:10]  # one is skipped, one unreadable
OOF, SUBMITTED = "data/contest/oof.csv", "data/contest/test.csv"


def probs(n: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).dirichlet(np.ones(len(CLASSES)), n)


def given(image_ids: list[str], seed: int, **columns: Any) -> pd.DataFrame:
    """A user's CSV: ids without folder and ending, classes spelled as floats, another order of columns."""
    values = probs(len(image_ids), seed)
    table = pd.DataFrame({"id": [Path(i).stem for i in image_ids]})
    return table.assign(**{f"{name}.0": values[:, i] for i, name in reversed([*enumerate(CLASSES)])}, **columns)


def project(root: Path, oof: pd.DataFrame, test: pd.DataFrame | None, fold: str | None = None) -> None:
    label = [CLASSES[i % 3] for i in range(12)]
    folds = pd.DataFrame({"image_id": TRAIN, "label": label, "use": "train", "reason": "", "group": "", "fold": FOLDS})
    folds.loc[10, ["use", "label"]] = ["skip", ""]
    folds.loc[11, ["use", "fold"]] = ["skip", ""]
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    facts = pd.DataFrame({"image_id": TEST, "problem": ["", "", "", "broken"]})
    for column, kind in contracts.FACTS.columns.items():
        if column not in facts:
            facts[column] = 0 if kind == "int" else ""
    tables.write(facts, root / "data/prepare/test/facts.csv", contracts.FACTS)
    tables.write_json({"lost_classes": {"lost": {"unreadable": 1}}}, root / "data/label/summary.json")
    (root / "data/contest").mkdir()
    oof.to_csv(root / OOF, index=False)
    if test is not None:
        test.to_csv(root / SUBMITTED, index=False)
    columns = {"id": "id", "fold": fold}
    tiny.write_params(
        root, {"external": {"e": {"oof": OOF, "test": NO_FILE if test is None else SUBMITTED, "columns": columns}}}
    )


def run(root: Path) -> Path:
    stage.main("e", root=root)
    return root / "data/external/e.parquet"


def test_what_it_writes_is_read_like_a_member_s_whatever_the_order_of_rows(tmp_path: Path) -> None:
    oof, test = given(SCORED, 1), given(TEST[:3], 2)
    project(tmp_path, oof.sample(frac=1, random_state=0), test.sample(frac=1, random_state=1))
    path = run(tmp_path)
    axes: dict[str, Any] = {
        "classes": CLASSES,
        "image_sizes": [contracts.EXTERNAL_IMAGE_SIZE],
        "transforms": [contracts.EXTERNAL_TRANSFORM],
    }
    read = prediction_files.read_train([path], image_ids=SCORED, folds=FOLDS[:10], **axes)
    np.testing.assert_allclose(read.reshape(10, 3), probs(10, 1), rtol=1e-5)
    rows = tables.read(path, tables.PREDICTIONS)
    submitted = rows[(rows["subset"] == "test") & (rows["fold"] == contracts.EXTERNAL_TEST_FOLD)].set_index("image_id")
    np.testing.assert_allclose(submitted.loc[TEST[:3], ["p:0", "p:1", "p:2"]], probs(3, 2), rtol=1e-5)
    assert len(rows) == 10 + 3
    before = path.read_bytes()
    oof.to_csv(tmp_path / OOF, index=False)
    assert run(tmp_path).read_bytes() == before


def test_rows_of_other_images_are_ignored_and_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, given(TRAIN, 1), given(TEST, 2))
    rows = tables.read(run(tmp_path), tables.PREDICTIONS)
    assert list(rows["image_id"]) == SCORED + TEST[:3]
    printed = capsys.readouterr().out
    assert "2 train images that are not scored: sub/10.png, sub/11.png" in printed
    assert "1 unreadable test images: t3.png" in printed


def test_a_column_of_a_class_without_images_is_ignored_and_the_others_are_scaled(tmp_path: Path) -> None:
    """All of a row's probability may have been that class's."""
    parts = {f"{name}.0": 0.0 if name == "2" else 0.25 for name in CLASSES}
    oof = given(SCORED, 1).assign(**parts, lost=0.5)
    oof.loc[0, [*parts, "lost"]] = [0, 0, 0, 1]
    project(tmp_path, oof, given(TEST[:3], 2))
    rows = tables.read(run(tmp_path), tables.PREDICTIONS).set_index("image_id")[["p:0", "p:1", "p:2"]]
    np.testing.assert_allclose(rows.loc[SCORED[1]], [0.5, 0.5, 0])
    np.testing.assert_allclose(rows.loc[SCORED[0]], [1 / 3] * 3, rtol=1e-6)


@pytest.mark.parametrize("named", [True, False])
def test_folds_of_other_names_are_the_same_folds_and_none_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], named: bool
) -> None:
    own = [{"0": "x", "1": "y", "2": "z"}[fold] for fold in FOLDS[:10]]
    oof = given(SCORED, 1, **({"own_fold": own} if named else {}))
    project(tmp_path, oof, given(TEST[:3], 2), fold="own_fold" if named else None)
    run(tmp_path)
    assert ("WARNING" in capsys.readouterr().out) != named


@pytest.mark.parametrize(
    ("own", "count"),
    [
        (["0", *FOLDS[1:10]], "1 of 10 images"),  # one image elsewhere
        (["0"] * 5 + ["1"] * 5, "of 10 images"),
        ([f"{f}{i // 5}" for i, f in enumerate(FOLDS[:10])], "of 10 images"),  # finer: groups may be split
        (["0" if f == "1" else f for f in FOLDS[:10]], "of 10 images"),  # two of ours in one
    ],
)
def test_other_folds_are_refused(tmp_path: Path, own: list[str], count: str) -> None:
    project(tmp_path, given(SCORED, 1, own_fold=own), given(TEST[:3], 2), fold="own_fold")
    with pytest.raises(InputError, match=rf"oof\.csv: its folds separate .*{count}.*contest\.columns\.fold"):
        run(tmp_path)
    assert not (tmp_path / "data/external").exists()


def test_no_test_images_need_no_file(tmp_path: Path) -> None:
    project(tmp_path, given(SCORED, 1), None)
    facts = tables.read(tmp_path / "data/prepare/test/facts.csv", contracts.FACTS)
    tables.write(facts.iloc[3:], tmp_path / "data/prepare/test/facts.csv", contracts.FACTS)
    assert set(tables.read(run(tmp_path), tables.PREDICTIONS)["subset"]) == {"train"}


def test_rounded_probabilities_are_brought_to_1(tmp_path: Path) -> None:
    oof = given(SCORED, 1)
    oof[["0.0", "1.0", "2.0"]] = 0.333
    project(tmp_path, oof, given(TEST[:3], 2))
    rows = tables.read(run(tmp_path), tables.PREDICTIONS)
    np.testing.assert_allclose(rows[["p:0", "p:1", "p:2"]].sum(axis=1), 1, atol=1e-6)


def _cell(row: int, column: str, value: str) -> Any:
    def change(table: pd.DataFrame) -> pd.DataFrame:
        return table.astype("str").assign(
            **{column: [*table[column].astype("str")[:row], value, *table[column].astype("str")[row + 1 :]]}
        )

    return change


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda t: t.iloc[1:], ["no row for 1 of 10 scored train images: sub/00.png"]),
        (lambda t: pd.concat([t, t.iloc[:1]]), ["several rows", "row 2 sub/00.png", "row 12 sub/00.png"]),
        (_cell(3, "id", "99"), ["no such image", "row 5 '99'"]),
        (_cell(3, "id", "../03"), ["row 5", "may leave the image folder"]),
        (_cell(2, "1.0", "nan"), ["not finite numbers", "sub/02.png"]),
        (_cell(2, "1.0", "inf"), ["not finite numbers", "sub/02.png"]),
        (_cell(2, "1.0", "much"), ["not finite numbers", "sub/02.png", "much"]),
        (_cell(2, "1.0", ""), ["not finite numbers", "sub/02.png"]),
        (_cell(2, "1.0", "-0.1"), ["negative", "sub/02.png"]),
        (_cell(2, "1.0", "0.99"), ["not of sum 1", "sub/02.png"]),
        (lambda t: t.drop(columns="1.0"), ["missing ['1']"]),
        (lambda t: t.assign(**{"3": 0}), ["unknown ['3']"]),
        (lambda t: t.assign(**{"1": 0}), ["repeated ['1']"]),
        (lambda t: t.rename(columns={"id": "image"}), ["missing ['id']", "unknown ['image']"]),
        (lambda t: t.iloc[:0], ["no row for 10 of 10"]),
    ],
)
def test_mistakes_are_named_and_nothing_is_written(tmp_path: Path, change: Any, words: list[str]) -> None:
    project(tmp_path, change(given(SCORED, 1)), given(TEST[:3], 2))
    with pytest.raises(InputError) as raised:
        run(tmp_path)
    assert all(word in str(raised.value) for word in ["oof.csv", *words]), str(raised.value)
    assert not (tmp_path / "data/external").exists()


def test_a_column_of_folds_that_is_a_class_is_refused(tmp_path: Path) -> None:
    project(tmp_path, given(SCORED, 1), given(TEST[:3], 2), fold="1")
    with pytest.raises(InputError, match=r"oof\.csv: 1 is a class and a column"):
        run(tmp_path)


def test_a_test_image_without_a_row_and_a_row_without_a_fold_are_refused(tmp_path: Path) -> None:
    project(tmp_path, given(SCORED, 1, own_fold=[*FOLDS[:9], " "]), given(TEST[1:], 2), fold="own_fold")
    with pytest.raises(InputError, match=r"oof\.csv: images without a fold: sub/09\.png"):
        run(tmp_path)
    given(SCORED, 1, own_fold=FOLDS[:10]).to_csv(tmp_path / OOF, index=False)
    with pytest.raises(InputError, match=r"test\.csv: no row for 1 of 3 readable test images: t0\.png"):
        run(tmp_path)
