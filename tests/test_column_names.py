"""Classes and folds may be called like a column of the project's tables."""

import importlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from podium.contest import external, ids, submission
from podium.core import tables
from podium.core.placeholders import NO_FILE
from podium.folds import assignment, balance
from podium.pictures import plot_tables
from podium.reports import confusion
from tests import graph, prediction_tables
from tests import test_data_stages as data_stages
from tests import test_stage_report as reporting


def contracts_of(name: str) -> list[tables.Contract]:
    return [value for value in vars(importlib.import_module(name)).values() if isinstance(value, tables.Contract)]


FILES = sorted(path for path in (graph.PROJECT / "podium").rglob("*.py") if "Contract(" in path.read_text())
MODULES = [".".join(path.relative_to(graph.PROJECT).with_suffix("").parts) for path in FILES]
NAMES = sorted({column for module in MODULES for contract in contracts_of(module) for column in contract.columns})
CLASSES = sorted({*NAMES, "p:fold", "index", "level_0", "variable", "0", "nan", "None", "train", "skip", "all"})


def test_the_columns_are_found() -> None:
    assert {"fold", "label", "image_id", "images", "value", "row", "predicted", "member", "subset"} < set(NAMES)


def folds(labels: list[str]) -> pd.DataFrame:
    ids_ = [f"{i:04}.png" for i in range(len(labels))]
    table = pd.DataFrame({"image_id": ids_, "label": labels, "use": "train", "reason": "", "group": ids_})
    return table.assign(fold=[str(i // len(CLASSES)) for i in range(len(labels))])


def test_tables_of_folds_and_classes(tmp_path: Path) -> None:
    table = folds(CLASSES * 2)
    nothing = pd.DataFrame({"image_id": [], "cluster": []}, dtype="str")
    for names, labels in ((["0", "1"], CLASSES), (["label", "images", "fold"], CLASSES[:4])):
        given = folds(labels * len(names)).assign(group="", fold="")
        drawn = assignment.assign(given, clusters=nothing, unreadable=[], names=names, seed=0).table
        counted = balance.counts(drawn)
        assert list(counted.columns) == ["fold", "label", "images"]
        assert set(counted["images"]) == {1}
        assert set(counted["label"]) == set(labels)
        assert set(counted["fold"]) == set(names) == balance.summary(drawn)["images_per_fold"].keys()
        assert balance.deviations(drawn)["deviation"].eq(0).all()
    counts = plot_tables.class_counts(table, {})
    assert list(counts["images"]) == [2] * len(CLASSES)
    predicted = np.arange(len(CLASSES))
    pairs = confusion.table(predicted, predicted[::-1].copy(), CLASSES)
    assert set(confusion.plot_table(pairs, CLASSES).columns) == set(confusion.CONFUSION.columns)
    assert set(confusion.by_class(predicted, predicted, CLASSES, predicted)["label"]) == set(CLASSES)


def test_tables_of_predictions(tmp_path: Path) -> None:
    rows = prediction_tables.rows("test", [(f"{i}.png", "0") for i in range(3)], [32], ["identity"])
    probs = np.random.default_rng(0).dirichlet(np.ones(len(CLASSES)), 3)
    table = tables.with_probs(rows, probs, CLASSES)
    for name in ("a.parquet", "a.csv"):
        tables.write(table, tmp_path / name, tables.PREDICTIONS)
        assert tables.class_names(tables.read(tmp_path / name, tables.PREDICTIONS)) == CLASSES
    test_ids = list(rows["image_id"])
    submitted = tmp_path / "submission.csv"
    columns = [tables.PROBABILITY + name for name in CLASSES]
    submission.write(
        submitted,
        test_probs=table[["image_id", *columns]],
        prior=dict.fromkeys(CLASSES, 1 / len(CLASSES)),
        template=None,
        test_ids=test_ids,
        id_column="the id",
        label_column="label",
        values="probabilities",
        header=True,
        labels="given",
        positive=None,
    )
    assert submission.read_template(submitted, test_ids, CLASSES) is not None
    read = external.read(submitted, images=ids.ImageIndex(test_ids), classes=CLASSES, id_column="the id")
    np.testing.assert_allclose(read[columns].to_numpy(), probs)


def test_a_class_called_like_the_column_of_ids_is_named_otherwise(tmp_path: Path) -> None:
    options = {"labels": "template", "values": "probabilities", "positive": None, "absent": (), "id_column": "fold"}
    none = tmp_path / NO_FILE
    with pytest.raises(submission.InputError, match=r'names: \{"fold": "class fold"\}'):
        submission.check_classes(none, ["fold", "x"], names={}, **options)
    assert submission.check_classes(none, ["fold", "x"], names={"fold": "class fold"}, **options) == []


def test_the_data_stages(tmp_path: Path) -> None:
    few = ["fold", "label", "image_id", "use", "images", "group", "value", "row"]
    data_stages.contest(tmp_path, few * 2)
    assert set(data_stages.run(tmp_path)["label"]) == set(few)


def test_the_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reporting, "CLASSES", ["fold", "image_id", "label"])
    reporting.write_inputs(tmp_path)
    reporting.report.main(root=tmp_path)
    assert set(pd.read_csv(tmp_path / "data/report/classes.csv")["label"]) == {"fold", "image_id", "label"}
