"""Miniatures of real contests, by the settings of docs/contests.md, from their files to a submission."""

import csv
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.contest.settings import ContestSettings
from podium.core import params, tables, targets
from podium.core.errors import InputError
from podium.ensembling import outputs
from podium.ensembling.inputs import EnsembleInputs
from podium.ensembling.settings import EnsembleSettings
from podium.preflight import input_tables
from podium.preflight.settings import Podium
from podium.scoring import scores
from stages import check, ensemble, label, prepare, split
from tests import miniatures, prediction_tables, tiny
from tests.graph import PROJECT

PAGE = (PROJECT / "docs/contests.md").read_text(encoding="utf-8")
WHOLE: dict[str, dict[str, Any]] = {
    name: yaml.safe_load(body)
    for name, body in re.findall(r"^### (\S+)$.*?^```yaml\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
}
SECTIONS: dict[str, dict[str, Any]] = {name: values["contest"] for name, values in WHOLE.items()}
REFUSED = dict(re.findall(r'^\| (\S+) \| [^|]+ \| "\.\.\. (.+?) \.\.\." \|$', PAGE, re.MULTILINE))
FOLDS = ("0", "1", "2")


def test_the_page_has_35_contests() -> None:
    assert SECTIONS.keys() == miniatures.MAKERS.keys()
    assert REFUSED.keys() == WRONG.keys()
    assert len(SECTIONS) + len(REFUSED) == 35


def write_params(root: Path, contest: dict[str, Any], **prepared: Any) -> None:
    """Write params.yaml, with changes of the section `prepare`."""
    values: dict[str, Any] = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values |= {"contest": contest, "folds": [int(name) for name in FOLDS], "prepare": values["prepare"] | prepared}
    for member in values["members"].values() if "channels" in prepared else ():
        member["model"].setdefault("model_kwargs", {})["in_chans"] = prepared["channels"]
    (root / "params.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    (root / "placeholders/empty").mkdir(parents=True, exist_ok=True)
    (root / "placeholders/none.csv").touch()


def run_to_the_folds(root: Path, contest: dict[str, Any], **prepared: Any) -> pd.DataFrame:
    """Run the stages up to `split`, without a search for duplicates; return the folds."""
    write_params(root, contest, **prepared)
    check.main("settings", root=root)
    for subset in ("train", "test"):
        prepare.main(subset, root=root)
    label.main(root=root)
    none = pd.DataFrame(columns=list(contracts.CLUSTERS.columns), dtype="str")
    tables.write(none, root / "data/analyze/clusters.csv", contracts.CLUSTERS)
    split.main(root=root)
    return tables.read(root / "data/split/folds.csv", tables.FOLDS)


def submitted(root: Path, contest: dict[str, Any], folds: pd.DataFrame, probs: pd.DataFrame) -> list[list[str]]:
    """Write the submission of these probabilities (test images, classes) as `ensemble` does."""
    facts = tables.read(root / "data/prepare/test/facts.csv", contracts.FACTS)
    section = params.parse(contest, "contest", ContestSettings)
    inputs = EnsembleInputs(root, section, EnsembleSettings(), {}, {}, FOLDS, folds, facts, has_students=False)
    table = tables.with_probs(pd.DataFrame({"image_id": inputs.readable}), probs.loc[inputs.readable].to_numpy(),
                              inputs.classes)  # fmt: skip
    outputs._write_submission(inputs, table, root / "submission.csv")
    return list(csv.reader((root / "submission.csv").read_text(encoding="utf-8").splitlines()))


def made_up(truth: dict[str, str], classes: list[str], seed: int = 0) -> pd.DataFrame:
    """Probabilities (images, classes) that are mostly right."""
    raw = np.random.default_rng(seed).dirichlet(np.ones(len(classes)), len(truth))
    right = targets.of_labels(truth.values(), classes)
    if right.ndim == 1:
        right = np.eye(len(classes))[right]
    return pd.DataFrame(0.6 * raw + 0.4 * right, index=list(truth), columns=classes)


@pytest.mark.parametrize("name", miniatures.MAKERS)
def test_a_contest_enters_by_its_settings_alone(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    contest, made = SECTIONS[name], miniatures.MAKERS[name](tmp_path / "data/contest")
    channels = {key: value for key, value in WHOLE[name].get("prepare", {}).items() if key == "channels"}
    folds = run_to_the_folds(tmp_path, contest, **channels)
    assert folds["use"].eq("train").all()
    classes = targets.class_names(folds["label"])
    assert targets.are_sets(classes) == (contest.get("task") == "labels")
    assert targets.names_in(made.truth.values()) <= set(classes)
    probs = made_up(made.truth, classes)
    header, *rows = submitted(tmp_path, contest, folds, probs)
    assert header == made.header
    assert [row[made.id_column] for row in rows] == list(made.ids)
    expected = probs.loc[list(made.ids.values())]
    for own, together in made.together.items():
        expected.loc[made.ids[own]] = probs.loc[together].mean().to_numpy()
    check_cells(contest, rows, expected, [made.truth[image] for image in made.ids.values()], header)


def check_cells(
    contest: dict[str, Any], rows: list[list[str]], probs: pd.DataFrame, truth: list[str], header: list[str]
) -> None:
    """Compare the cells of a submission with the probabilities (rows, classes) behind it."""
    form = contest["submission"]
    if form["values"] == "number":
        means = probs.to_numpy() @ [float(name) for name in probs.columns]
        np.testing.assert_allclose([float(row[-1]) for row in rows], means)
        mean = sum((float(row[-1]) - float(true)) ** 2 for row, true in zip(rows, truth, strict=True)) / len(rows)
        places = np.array([probs.columns.get_loc(true) for true in truth])
        ours = scores.named(contest["metric"], list(probs.columns)).function(places, probs.to_numpy())
        assert ours == pytest.approx(mean**0.5)
    elif "class" in re.compile(form.get("id_pattern") or "").groupindex:
        cells = [re.fullmatch(form["id_pattern"], row[0])["class"] for row in rows]
        expected = [values[name] for name, (_, values) in zip(cells, probs.iterrows(), strict=True)]
        np.testing.assert_allclose([float(row[-1]) for row in rows], expected)
    elif form["values"] == "labels":
        check_micro_f1([row[-1].split(" ") for row in rows], probs, truth, contest["metric"])
    elif form.get("positive"):
        np.testing.assert_allclose([float(row[-1]) for row in rows], probs[form["positive"]])
    elif form["values"] == "probabilities":
        np.testing.assert_allclose([[float(cell) for cell in row[1:]] for row in rows], probs[header[1:]])
    elif form.get("top"):
        check_map_at_5([row[-1].split(" ") for row in rows], probs, truth, contest["metric"])
    else:
        assert [row[-1] for row in rows] == list(probs.idxmax(axis=1))


def check_micro_f1(cells: list[list[str]], probs: pd.DataFrame, truth: list[str], metric: str) -> None:
    """Score the submitted cells label by label, and compare with the metric of the probabilities."""
    classes = targets.LabelNames(probs.columns, fewest=1)
    hits = missed = wrong = 0
    for cell, true, row in zip(cells, map(targets.of_cell, truth), probs.to_numpy(), strict=True):
        above = [name for name, p in zip(classes, row, strict=True) if p > 0.5]
        assert cell == (above or [classes[int(row.argmax())]])
        hits += len(set(cell) & set(true))
        missed, wrong = missed + len(set(true) - set(cell)), wrong + len(set(cell) - set(true))
    rows = targets.as_rows(targets.of_labels(truth, classes)), targets.probs_of_rows(probs.to_numpy(), classes)
    assert scores.named(metric, classes).function(*rows) == pytest.approx(2 * hits / (2 * hits + missed + wrong))


def check_map_at_5(cells: list[list[str]], probs: pd.DataFrame, truth: list[str], metric: str) -> None:
    """Score the submitted cells guess by guess, and compare with the metric of the probabilities."""
    assert {len(set(cell)) for cell in cells} == {5}
    kaggles = sum(1 / (1 + cell.index(true)) if true in cell else 0.0 for cell, true in zip(cells, truth, strict=True))
    targets = np.array([probs.columns.get_loc(true) for true in truth])
    ours = scores.named(metric, list(probs.columns)).function(targets, probs.to_numpy())
    assert ours == pytest.approx(kaggles / len(cells))


def test_the_slices_of_a_study_share_their_labels_probabilities(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cases and sets of labels together, from the images to the submission, with generated predictions of one probe."""
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    made = miniatures.spines(tmp_path / "data/contest")
    folds = run_to_the_folds(tmp_path, SECTIONS["rsna-2022-cervical-spine-fracture-detection"])
    none = {phase: {"epochs": 0} for phase in ("pretrain", "finetune")}
    values = params.read(tmp_path) | {"members": {"a": tiny.member(infer={"image_sizes": [32]}, **none)}}
    tiny.write_params(tmp_path, values | {key: {} for key in ("fixres", "pseudo", "distill", "external")})
    used = [*zip(folds["image_id"], folds["fold"], strict=True)]
    classes = targets.class_names(folds["label"])
    found = []
    for subset, images in (("train", used), ("test", [(one, fold) for one in made.truth for fold in FOLDS])):
        rows = prediction_tables.rows(subset, images, [32], ["identity", "hflip"])
        truth = dict(zip(folds["image_id"], folds["label"], strict=True)) | made.truth
        right = targets.of_labels(rows["image_id"].map(truth), classes)
        noise = np.random.default_rng(len(found)).random(right.shape)
        found.append(tables.with_probs(rows, (0.3 * right + 0.6 * noise).astype(np.float32), classes))
    tables.write(pd.concat(found, ignore_index=True), tmp_path / "data/probe/a.parquet", tables.PREDICTIONS)
    ensemble.main(root=tmp_path)
    columns = [f"p:{name}" for name in classes]
    oof = tables.read(tmp_path / "data/ensemble/oof.parquet", contracts.OOF)
    of_study = oof.groupby(oof["image_id"].str.split("/").str[0])
    assert len(of_study) == len(oof) / 2
    assert of_study["fold"].nunique().eq(1).all()
    np.testing.assert_allclose(of_study[columns].max(), of_study[columns].min())
    test = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST).set_index("image_id")
    header, *rows = csv.reader((tmp_path / "data/ensemble/submission.csv").read_text().splitlines())
    assert header == made.header
    assert [row[0] for row in rows] == list(made.ids)
    for row_id, cell in rows:
        name = row_id.split("_", 1)[1]
        np.testing.assert_allclose(test.loc[made.together[row_id], f"p:{name}"], float(cell), rtol=1e-6)


def test_cases_of_train_images_alone_are_warned_of(tmp_path: Path) -> None:
    name, none = "rsna-breast-cancer-detection", "placeholders/none.csv"
    miniatures.MAKERS[name](tmp_path / "data/contest")
    for lists in (SECTIONS[name]["lists"], {"train": none, "test": none}):
        template = none if lists["test"] == none else SECTIONS[name]["template"]
        write_params(tmp_path, SECTIONS[name] | {"lists": lists, "template": template})
        printed = "\n".join(input_tables.check(params.parse(params.read(tmp_path), "", Podium), tmp_path))
        assert ("no id of a test image has several images" in printed) == (lists["test"] == none)


def test_arrays_of_four_dimensions_are_named_by_check(tmp_path: Path) -> None:
    for i in range(8):
        path = tmp_path / f"data/contest/{'test' if i > 5 else 'train'}/{i}.npy"
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, np.zeros((2, 3, 12, 10), np.uint8))
    miniatures.csv(tmp_path, "data/contest/train.csv", "id,label", *(f"{i},{'xy'[i % 2]}" for i in range(6)))
    write_params(tmp_path, SECTIONS["cassava-leaf-disease-classification"] | {
        "images": {"train": "data/contest/train", "test": "data/contest/test"}, "columns": {"id": "id"},
        "template": "placeholders/none.csv",
    })  # fmt: skip
    with pytest.raises(InputError, match=r"0.npy in .* is an array of shape \(2, 3, 12, 10\)"):
        check.main("settings", root=tmp_path)


def test_a_new_test_image_in_the_folder_of_both_changes_no_train_output(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PODIUM_WORKERS", "1")
    miniatures.apples(tmp_path / "data/contest")
    run_to_the_folds(tmp_path, SECTIONS["plant-pathology-2020-fgvc7"])
    written = ("prepare/train/facts.csv", "prepare/train/pixels.arrow", "label/labels.csv", "split/folds.csv")
    before = [(tmp_path / "data" / name).read_bytes() for name in written]
    miniatures.images(tmp_path / "data/contest", "images/Test_9.jpg")
    for subset in ("train", "test"):
        prepare.main(subset, root=tmp_path)
    label.main(root=tmp_path)
    split.main(root=tmp_path)
    assert [(tmp_path / "data" / name).read_bytes() for name in written] == before
    facts = tables.read(tmp_path / "data/prepare/test/facts.csv", contracts.FACTS)
    assert "Test_9.jpg" in set(facts["image_id"])


def files(ending: str) -> dict[str, str]:
    return {f"{subset}/{i}{ending}": "x" for subset in ("train", "test") for i in range(2)}


SEVERAL = {"train/a.jpg": "", "train/b.jpg": "", "train/c.jpg": "", "test/t.jpg": ""}
WRONG: dict[str, tuple[dict[str, str], dict[str, Any]]] = {
    "statoil-iceberg-classifier-challenge": (files(".json"), {}),
    "the-icml-2013-whale-challenge-right-whale-redux": (files(".aif"), {}),
    "siim-covid19-detection": (files(".dcm") | {"train.csv": "id,label\na_study,0\nb_study,1\n"}, {}),
    "cdiscount-image-classification-challenge": (files(".bson"), {}),
    "hms-harmful-brain-activity-classification": (files(".parquet"), {}),
    "mlsp-2013-birds": (SEVERAL | {"train.csv": "id,label\na,0\nb,1,4,7\nc,2\n"}, {}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_contest_that_cannot_enter_is_refused_before_an_image_is_opened(name: str, tmp_path: Path) -> None:
    there, changes = WRONG[name]
    texts = {"train.csv": "id,label\n0,x\n1,y\n", "t.csv": "id,label\nt,x\n"} | there
    for path, text in texts.items():
        miniatures.csv(tmp_path / "data/contest", path, *text.splitlines())
    home, none = "data/contest", "placeholders/none.csv"
    write_params(tmp_path, {
        "images": {"train": f"{home}/train", "test": f"{home}/test"}, "lists": {"train": none, "test": none},
        "layout": "csv", "labels": f"{home}/train.csv", "columns": {"id": "id", "label": "label"},
        "label_type": "text", "overrides": none, "template": f"{home}/t.csv", "submission": {}, "metric": "accuracy",
        **changes,
    })  # fmt: skip
    with pytest.raises(InputError, match=re.escape(REFUSED[name])):
        check.main("settings", root=tmp_path)


def test_folders_that_are_odd_are_named_by_check(tmp_path: Path) -> None:
    home, none = tmp_path / "data/contest", "placeholders/none.csv"
    miniatures.images(home, *(f"train/animals/{name}/1.jpg" for name in ("cat", "dog")), "test/t.jpg")
    contest = {
        "images": {"train": "data/contest/train", "test": "data/contest/test"}, "layout": "folders", "labels": none,
        "lists": {"train": none, "test": none}, "columns": {}, "label_type": "text", "overrides": none,
        "template": none, "submission": {}, "metric": "accuracy",
    }  # fmt: skip
    write_params(tmp_path, contest)
    with pytest.raises(InputError, match=r"only one class, 'animals'.*holds the folders cat, dog"):
        check.main("settings", root=tmp_path)
    miniatures.images(home, *(f"train/plants/oak/{i}.jpg" for i in range(3)))
    (home / "train/minerals").mkdir()
    p = params.parse(params.read(tmp_path), "", Podium)
    printed = "\n".join(input_tables.check(p, tmp_path))
    assert "classes are missing: minerals" in printed
    assert "there are 2 classes; if it is the second (3 folders, e.g. animals/cat)" in printed
