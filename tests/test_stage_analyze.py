import hashlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.analysis import image_checks
from podium.core import pixels, tables
from podium.core.errors import InputError
from stages import analyze

FILES = ["findings.csv", "clusters.csv", "leaks.csv", "summary.json"]


def photo(seed: int, height: int = 80, width: int = 100) -> np.ndarray:
    """Coarse coloured blocks with noise: (height, width, 3)."""
    rng = np.random.default_rng(seed)
    blocks = np.kron(rng.integers(20, 230, (8, 10, 3)), np.ones((10, 10, 1)))[:height, :width]
    return (blocks + rng.integers(0, 20, blocks.shape)).astype(np.uint8)


def write_part(root: Path, subset: str, images: dict[str, np.ndarray], changes: dict[str, dict] | None = None) -> None:
    """Write the outputs of `prepare` for a subset; `changes` of an image's facts, or facts of images without pixels."""
    rows = {}
    for image_id in sorted({*images, *(changes or {})}):
        image = images.get(image_id, np.zeros((0, 0, 3), np.uint8))
        rows[image_id] = {
            "image_id": image_id, "width": image.shape[1], "height": image.shape[0], "mode": "RGB", "format": "PNG",
            "bytes": 9, "sha256": hashlib.sha256(image.tobytes()).hexdigest(), "problem": "", "note": "",
        } | (changes or {}).get(image_id, {})  # fmt: skip
    table = pd.DataFrame(list(rows.values()), columns=list(contracts.FACTS.columns))
    tables.write(table, root / f"data/prepare/{subset}/facts.csv", contracts.FACTS)
    with pixels.Writer(root / f"data/prepare/{subset}/pixels.arrow", encoding="raw") as writer:
        for image_id in sorted(images):
            writer.add(image_id, images[image_id])


def train_images() -> dict[str, np.ndarray]:
    flat = np.full((90, 90, 3), 200, np.uint8)
    return {
        "a.png": photo(1), "b.png": photo(1)[:, ::-1].copy(), "c.png": photo(2), "d.png": photo(2), "e.png": photo(3),
        "flat.png": flat, "small.png": photo(4, 40, 60), "sub/wide.png": photo(5, 20, 100),
    }  # fmt: skip


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"analyze": {"max_hash_distance": 6, "min_similarity": 0.97}}))
    lost = {"problem": "empty file", "sha256": "0"}
    changes = {"lost.png": lost, "lost2.png": lost, "d.png": {"sha256": "1"}, "e.png": {"note": "rotated by EXIF 6"}}
    write_part(tmp_path, "train", train_images(), changes)
    write_part(tmp_path, "test", {"a.png": photo(1), "t.png": photo(9)})
    return tmp_path


def run(root: Path) -> dict[str, bytes]:
    analyze.main(root=root)
    return {name: (root / "data/analyze" / name).read_bytes() for name in FILES}


def test_odd_images_are_found(root: Path) -> None:
    run(root)
    table = tables.read(root / "data/analyze/findings.csv", contracts.FINDINGS)
    found = {
        (i, subset, check): (value, threshold) for i, subset, check, value, threshold in table.itertuples(index=False)
    }
    assert {key: value for key, value in found.items() if key[2] != "near_duplicate"} == {
        ("a.png", "train", "same_file"): ("test/a.png", ""),
        ("a.png", "test", "same_file"): ("train/a.png", ""),
        ("c.png", "train", "same_pixels"): ("train/d.png", ""),
        ("d.png", "train", "same_pixels"): ("train/c.png", ""),
        ("e.png", "train", "note"): ("rotated by EXIF 6", ""),
        ("flat.png", "train", "near_uniform"): ("0", "4"),
        ("flat.png", "train", "low_information"): ("0.0000", "0.3"),
        ("flat.png", "train", "grayscale"): ("stored as RGB", ""),
        ("lost.png", "train", "same_file"): ("train/lost2.png", ""),
        ("lost.png", "train", "unusable"): ("empty file", ""),
        ("lost2.png", "train", "same_file"): ("train/lost.png", ""),
        ("lost2.png", "train", "unusable"): ("empty file", ""),
        ("small.png", "train", "small"): ("40", "64"),
        ("small.png", "train", "odd_size"): ("49.0", "89.4 to 90.0"),
        ("sub/wide.png", "train", "odd_size"): ("44.7", "89.4 to 90.0"),
        ("sub/wide.png", "train", "odd_aspect_ratio"): ("0.2000", "0.35"),
        ("sub/wide.png", "train", "small"): ("20", "64"),
    }
    near = {key[:2] for key in found if key[2] == "near_duplicate"}
    assert near == {("a.png", "train"), ("b.png", "train"), ("a.png", "test")}
    assert list(table["image_id"]) == sorted(table["image_id"])


def test_clusters_and_leaks(root: Path) -> None:
    run(root)
    clusters = tables.read(root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    assert dict(clusters.itertuples(index=False)) == {
        "a.png": "a.png",
        "b.png": "a.png",
        "c.png": "c.png",
        "d.png": "c.png",
    }
    leaks = tables.read(root / "data/analyze/leaks.csv", contracts.LEAKS)
    assert [tuple(row[:3]) for row in leaks.itertuples(index=False)] == [
        ("a.png", "a.png", "exact"),
        ("a.png", "b.png", "mirrored"),
    ]
    summary = tables.read_json(root / "data/analyze/summary.json")
    assert summary["usable_images"] == {"train": 8, "test": 2}
    assert summary["train_images_in_clusters"] == 4
    assert summary["test_images_with_a_train_duplicate"] == 1
    assert summary["findings"]["train"]["unusable"] == 2


def test_same_inputs_same_bytes_and_a_test_image_changes_no_cluster(root: Path) -> None:
    first = run(root)
    assert run(root) == first
    write_part(root, "test", {"a.png": photo(1), "new.png": photo(3), "between.png": photo(2)})
    second = run(root)
    assert second["clusters.csv"] == first["clusters.csv"]
    assert second["leaks.csv"] != first["leaks.csv"]


def test_a_test_image_changes_no_finding_on_a_train_image(root: Path) -> None:
    def on_train() -> pd.DataFrame:
        run(root)
        table = tables.read(root / "data/analyze/findings.csv", contracts.FINDINGS)
        return table[(table["subset"] == "train") & table["check"].isin(image_checks.CHECKS)].reset_index(drop=True)

    before = on_train()
    write_part(root, "test", {f"{k}.png": photo(k, 80 - k, 100) for k in range(20, 40)})
    pd.testing.assert_frame_equal(on_train(), before)
    assert set(before["check"]) >= {"odd_size", "low_information"}


def test_thresholds_are_settings_and_a_mistyped_one_is_refused(root: Path) -> None:
    def checks(**thresholds: object) -> set[str]:
        (root / "params.yaml").write_text(yaml.safe_dump({"analyze": {"thresholds": thresholds}}))
        run(root)
        return set(tables.read(root / "data/analyze/findings.csv", contracts.FINDINGS)["check"])

    assert checks(low_information=0) == checks() - {"low_information"}
    with pytest.raises(InputError, match=r"analyze\.thresholds\.grayscale: unknown key"):
        checks(grayscale=1)
    with pytest.raises(InputError, match=r"analyze\.thresholds\.dark: .*less than or equal to 1"):
        checks(dark=32)


def test_works_without_test_images_and_without_usable_ones(root: Path) -> None:
    clusters = run(root)["clusters.csv"]
    write_part(root, "test", {})
    assert run(root)["clusters.csv"] == clusters
    write_part(root, "train", {}, {"lost.png": {"problem": "not an image"}})
    run(root)
    assert len(tables.read(root / "data/analyze/clusters.csv", contracts.CLUSTERS)) == 0
    assert tables.read_json(root / "data/analyze/summary.json")["largest_train_cluster"] == 0


def test_facts_that_do_not_fit_the_pixels_are_refused(root: Path) -> None:
    facts = tables.read(root / "data/prepare/train/facts.csv", contracts.FACTS)
    tables.write(facts[facts["image_id"] != "e.png"], root / "data/prepare/train/facts.csv", contracts.FACTS)
    with pytest.raises(InputError, match=r"train/pixels\.arrow.*e\.png.*dvc repro"):
        analyze.main(root=root)


def test_near_duplicates_that_folds_may_split_are_reported(root: Path, capsys: pytest.CaptureFixture) -> None:
    run(root)
    assert "WARNING" not in capsys.readouterr().out
    first, last = photo(1).astype(float), photo(2).astype(float)
    steps = {f"{k:02}.png": np.round(first + (last - first) * k / 30).astype(np.uint8) for k in range(31)}
    write_part(root, "train", steps)
    run(root)
    assert "pairs of near duplicates lie in different clusters" in capsys.readouterr().out


def test_pairs_that_leaks_csv_does_not_name_are_counted(
    root: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(root)
    assert "left out" not in capsys.readouterr().out
    monkeypatch.setattr(contracts, "MAX_DUPLICATES_NAMED", 1)
    run(root)
    leaks = tables.read(root / "data/analyze/leaks.csv", contracts.LEAKS)
    assert list(leaks["train_image_id"]) == ["a.png"]
    assert tables.read_json(root / "data/analyze/summary.json")["leaks_left_out"] == 1
    assert (
        "names the 1 most similar train images of each test image; 1 more pairs are left out" in capsys.readouterr().out
    )
