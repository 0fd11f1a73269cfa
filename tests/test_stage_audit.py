import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import pixels, tables
from stages import audit

WRITTEN = ("summary.json", "importances.csv", "leaked_labels.csv")
N = 60


def write_inputs(root: Path, ids: list[str], widths: np.ndarray, n_test: int = 24, layout: str = "csv") -> None:
    """Two classes in turn, three folds, an unreadable image; image t00.png of the test subset doubles image 1."""
    random = np.random.default_rng(0)
    facts = {"train": ids, "test": [f"t{i:02}.png" for i in range(n_test)]}
    for subset, names in facts.items():
        with pixels.Writer(root / f"data/prepare/{subset}/pixels.arrow", encoding="raw") as writer:
            for name in names[1:] if subset == "train" else names:
                writer.add(name, random.integers(0, 255, (4, 4, 3), dtype=np.uint8))
        table = pd.DataFrame({"image_id": names, "mode": "RGB", "format": "PNG", "note": "", "problem": ""})
        table["width"] = widths if subset == "train" else random.integers(100, 200, len(names))
        table["height"] = random.integers(100, 200, len(names))
        table["bytes"] = random.integers(1000, 9000, len(names))
        table["sha256"] = [f"{subset}{name}" for name in names]
        if subset == "train":
            table.loc[0, ["width", "height", "problem"]] = [0, 0, "truncated"]
        tables.write(table, root / f"data/prepare/{subset}/facts.csv", contracts.FACTS)
    folds = pd.DataFrame({"image_id": ids, "label": ["a", "b"] * (N // 2), "use": "train", "reason": "", "group": ids})
    folds["fold"] = [str(i // 2 % 3) for i in range(N)]
    folds.loc[0, ["use", "fold"]] = ["skip", ""]
    leaks = [("t00.png", ids[1], "exact", 1.0)] if n_test else []
    tables.write(folds, root / "data/split/folds.csv", tables.FOLDS)
    leaked = pd.DataFrame(leaks, columns=list(contracts.LEAKS.columns))
    tables.write(leaked, root / "data/analyze/leaks.csv", contracts.LEAKS)
    (root / "params.yaml").write_text(yaml.safe_dump({"contest": {"layout": layout}}))


def scrambled_names() -> list[str]:
    return [f"{k:04}.png" for k in np.random.default_rng(1).choice(10_000, N, replace=False)]


def summary(root: Path) -> dict:
    return json.loads((root / "data/audit/summary.json").read_text())


def test_leakage_by_size_is_warned_of_and_named(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_inputs(tmp_path, scrambled_names(), np.array([100, 300] * (N // 2)))
    audit.main(root=tmp_path)
    written = summary(tmp_path)
    assert written["label_from_metadata"]["well_above_chance"]
    assert written["label_from_metadata"]["images"] == N - 1
    assert not written["label_from_colours"]["well_above_chance"]
    importances = tables.read(tmp_path / "data/audit/importances.csv", contracts.IMPORTANCES)
    assert importances.iloc[0][["question", "feature"]].tolist() == ["label_from_metadata", "width"]
    assert set(importances["question"]) == set(audit.QUESTIONS)
    assert "WARNING: leakage: metadata predicts the label above chance, by width. " in capsys.readouterr().out


def test_a_clean_contest_is_not_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    write_inputs(tmp_path, scrambled_names(), np.random.default_rng(2).integers(100, 200, N))
    audit.main(root=tmp_path)
    assert not summary(tmp_path)["label_from_metadata"]["well_above_chance"]
    assert not summary(tmp_path)["test_from_metadata"]["well_above_chance"]
    printed = capsys.readouterr().out
    assert "WARNING" not in printed
    assert printed.count("AUC") == 4


@pytest.mark.parametrize(("layout", "warned"), [("csv", True), ("folders", False)])
def test_a_class_folder_is_no_leakage_if_it_is_the_label(tmp_path: Path, layout: str, warned: bool) -> None:
    ids = [f"{'ab'[i % 2]}/{name}" for i, name in enumerate(scrambled_names())]
    write_inputs(tmp_path, ids, np.random.default_rng(2).integers(100, 200, N), layout=layout)
    audit.main(root=tmp_path)
    assert summary(tmp_path)["label_from_metadata"]["well_above_chance"] == warned


def test_leaked_labels_are_those_of_the_duplicates(tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    ids = scrambled_names()
    write_inputs(tmp_path, ids, np.full(N, 100))
    audit.main(root=tmp_path)
    leaked = tables.read(tmp_path / "data/audit/leaked_labels.csv", contracts.LEAKED)
    assert leaked.to_numpy().tolist() == [["t00.png", ids[1], "exact", "b", "train"]]
    assert "test images with a duplicate in train: 1;" in capsys.readouterr().out


def test_without_test_images_adversarial_validation_is_skipped_with_a_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    write_inputs(tmp_path, scrambled_names(), np.full(N, 100), n_test=0)
    audit.main(root=tmp_path)
    assert summary(tmp_path)["test_from_colours"] == {"skipped": "there is no test image"}
    assert capsys.readouterr().out.count("skipped, there is no test image") == 2
    assert tables.read(tmp_path / "data/audit/leaked_labels.csv", contracts.LEAKED).empty


def test_same_inputs_same_bytes(tmp_path: Path) -> None:
    written = []
    write_inputs(tmp_path, scrambled_names(), np.random.default_rng(2).integers(100, 200, N))
    for _ in range(2):
        audit.main(root=tmp_path)
        written.append([(tmp_path / "data/audit" / name).read_bytes() for name in WRITTEN])
    assert written[0] == written[1]
