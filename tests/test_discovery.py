"""`make new`: what it finds in contests' folders, and the params.yaml that it writes."""

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from podium.contest import label_sources
from podium.contest.settings import ContestSettings
from podium.core import params
from podium.core.errors import InputError
from podium.discovery import contest_guess, label_table, params_text
from podium.discovery.contest_guess import ContestGuess
from podium.inference.settings import MemberSettings
from podium.preflight import cpu, input_paths, input_tables
from podium.preflight.settings import Podium
from tests import miniatures
from tests.graph import PROJECT
from tests.test_contests import SECTIONS, write_params
from tools import new, new_members, speed

REAL = PROJECT.parent / "shared/data"
METRICS_NO_FILE_NAMES = {"rmse", "mae", "macro_f1", "micro_f1", "quadratic_kappa", "weighted_auc", "column_auc", "pf1"}
NOT_FOUND = ("rsna-2022-cervical-spine-fracture-detection",)  # the template's ids hold a folder and a label
GROUPS_ALL_THE_SAME = (
    "siim-isic-melanoma-classification",
    "iwildcam-2020-fgvc7",
    "alaska2-image-steganalysis",
    "rsna-breast-cancer-detection",
    "rsna-miccai-brain-tumor-radiogenomic-classification",
)


def written(guess: ContestGuess) -> dict[str, Any]:
    """The section as it would be read from params.yaml."""
    section: dict[str, Any] = yaml.safe_load(params_text.write(guess.section, guess.why))["contest"]
    assert section == guess.section
    return section


def look(root: Path, contest: str = "data/contest") -> ContestGuess:
    return contest_guess.guess(root / contest, root)


def labels(root: Path, section: dict[str, Any]) -> dict[str, tuple[str, str]]:
    """Label and group of each image, by its path in the project."""
    c = params.parse(section, "contest", ContestSettings)
    files = input_tables.subset_files(c, "train", root)
    found = label_sources.read(label_sources.TrainFiles(files.images, files.others, files.left_out), c, root).table
    rows = zip(found["image_id"], found["label"], found["group"], strict=True)
    return {f"{c.images.train}/{image_id}": (label, group) for image_id, label, group in rows}


def checked(root: Path, section: dict[str, Any]) -> list[str]:
    p = params.parse(params.read(root), "", Podium)
    assert p.contest == params.parse(section, "contest", ContestSettings)
    input_paths.require(p, root)
    return input_tables.check(p, root)


@pytest.mark.parametrize("name", [name for name in miniatures.MAKERS if name not in NOT_FOUND])
def test_a_contest_is_found_as_a_person_would_write_it(name: str, tmp_path: Path) -> None:
    miniatures.MAKERS[name](tmp_path / "data/contest")
    guess = look(tmp_path)
    section = written(guess)
    write_params(tmp_path, section, **({"channels": guess.channels} if guess.channels != 3 else {}))
    assert not [text for text in checked(tmp_path, section) if "names no" in text]
    ours, by_hand = labels(tmp_path, section), labels(tmp_path, SECTIONS[name])
    assert {image: label for image, (label, _) in ours.items()} == {i: label for i, (label, _) in by_hand.items()}
    assert section.get("task") == SECTIONS[name].get("task")
    for key in ("case", "test_pattern"):
        for part in ("columns", "lists"):
            found, theirs = section[part].get(key), SECTIONS[name][part].get(key)
            assert (found is None) == (theirs is None)
    if name in GROUPS_ALL_THE_SAME:
        assert ours == by_hand
    for key in ("values", "top"):
        assert section["submission"].get(key) == SECTIONS[name]["submission"].get(key)
    metrics = {section["metric"], SECTIONS[name]["metric"]}
    assert len(metrics) == 1 or metrics & METRICS_NO_FILE_NAMES or metrics == {"roc_auc", "log_loss"}


@pytest.mark.parametrize(("name", "n"), [("antbee", 2), ("weather", 4), ("flower17", 17)])
def test_a_real_contest_is_found(name: str, n: int) -> None:
    if not (REAL / name).is_dir():
        pytest.skip("the photos are not here")
    guess = contest_guess.guess(REAL / name, PROJECT)
    section = written(guess)
    recipe = yaml.safe_load((PROJECT / f"recipes/{name}.yaml").read_text())["contest"]
    assert [section["columns"][key] for key in ("id", "label")] == [recipe["columns"][key] for key in ("id", "label")]
    assert (section["metric"], section["submission"]["values"], len(guess.classes)) == ("accuracy", "label", n)
    assert not guess.warnings


def test_a_table_of_what_was_found_shows_an_id_with_its_file_and_what_looks_wrong(tmp_path: Path) -> None:
    miniatures.cassava(tmp_path / "data/contest")
    miniatures.csv(tmp_path, "data/contest/train.csv", "image_id,label", "a00,0", "a00,3", "a01,4", "a02,0", "a03,3",
                   "gone,4")  # fmt: skip
    guess = look(tmp_path)
    assert ("ids", "train.csv: image_id", "id `a00` -> train_images/a00.jpg") in guess.rows
    problems = "\n".join(guess.warnings)
    assert "1 ids have several labels, e.g. a00" in problems
    assert "14 train images have no label" in problems
    assert "17% of the ids name no train image" in problems


def test_labels_in_file_names_and_one_folder_for_all(tmp_path: Path) -> None:
    miniatures.images(tmp_path, *(f"c/pics/patient{i // 4}_{i}_{('sick', 'well')[i % 2]}.png" for i in range(16)))
    section = written(look(tmp_path, "c"))
    assert (section["layout"], section["images"]["test"]) == ("names", "placeholders/empty")
    assert {label for label, _ in labels(tmp_path, section).values()} == {"sick", "well"}


def test_class_folders_without_any_table(tmp_path: Path) -> None:
    miniatures.images(tmp_path, *(f"c/{name}/{i}.png" for name in ("cat", "dog") for i in range(3)))
    guess = look(tmp_path, "c")
    section = written(guess)
    assert (section["layout"], section["images"]["train"], guess.classes) == ("folders", "c", ["cat", "dog"])


@pytest.mark.parametrize(
    ("header", "row", "key"),
    [("id,probability", "t_{i}_{c},0.5", "id_pattern"), ("id,kind,value", "t_{i},{c},0.5", "class_column")],
)
def test_a_long_template_is_a_row_per_image_and_class(tmp_path: Path, header: str, row: str, key: str) -> None:
    miniatures.images(tmp_path, *(f"c/train/{i}.png" for i in range(6)), "c/test/t_1.png", "c/test/t_2.png")
    miniatures.csv(tmp_path, "c/train.csv", "id,label", *(f"{i},{'xy'[i % 2]}" for i in range(6)))
    miniatures.csv(tmp_path, "c/sample_submission.csv", header, *(row.format(i=i, c=c) for i in (1, 2) for c in "xy"))
    section = written(look(tmp_path, "c"))
    assert section["submission"].keys() >= {"values", key}
    write_params(tmp_path, section)
    checked(tmp_path, section)


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    miniatures.csv(tmp_path, "c/train.zip", "x")
    with pytest.raises(InputError, match=r"unpack train\.zip"):
        look(tmp_path, "c")
    with pytest.raises(InputError, match="is no folder"):
        look(tmp_path, "d")


def test_folds_are_as_many_as_most_images_classes_have_groups() -> None:
    assert new_members.n_folds([50, 60], 5) == 5
    assert new_members.n_folds([50, 60, 1, 2], 5) == 5
    assert new_members.n_folds([3, 3, 4], 5) == 3
    assert new_members.n_folds([1, 1, 1], 5) == 2


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with a contest; no network is timed."""
    miniatures.cactus(tmp_path / "data/contest")
    (tmp_path / "placeholders/empty").mkdir(parents=True)
    (tmp_path / "placeholders/none.csv").touch()
    (tmp_path / "recipes").symlink_to(PROJECT / "recipes")
    monkeypatch.setattr(speed, "seconds_per_image", lambda model, size, device: 0.01)
    monkeypatch.setattr(sys, "stdin", io.StringIO())
    return tmp_path


def test_the_file_is_whole_and_each_value_has_a_comment(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    new.main(str(project / "data/contest"), "--yes", root=project)
    text = (project / "params.yaml").read_text()
    p = params.parse(params.read(project), "", Podium)
    assert (p.contest.metric, len(p.folds)) == ("roc_auc", 5)
    above = ""
    for line in text.splitlines():
        is_value = line[:1] not in ("#", "") and not line.endswith(":") and not line.lstrip().startswith("- ")
        if is_value and "backbone:" not in line:
            assert "  # " in line or above.lstrip().startswith("#"), line
        above = line
    printed = capsys.readouterr().out
    assert "id `a00.jpg` -> train/a00.jpg" in printed
    assert "recipes/cpu.yaml" in printed


def test_an_existing_file_stays_unless_the_user_says_so(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "params.yaml").write_text("mine\n")
    new.main(str(project / "data/contest"), "--yes", "--recipe", "quick", root=project)
    assert (project / "params.yaml").read_text() == "mine\n"
    assert "small" in params.parse(params.read(project, new.OTHER), "", Podium).members
    with pytest.raises(InputError, match=new.OTHER):
        new.main(str(project / "data/contest"), "--yes", root=project)
    answers = answering("y", "wrong", "log_loss")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: next(answers))
    new.main(str(project / "data/contest"), root=project)
    assert params.read(project)["contest"]["metric"] == "log_loss"


def answering(*answers: str) -> Iterator[str]:
    yield from answers


def test_a_question_that_no_file_answers_is_asked(tmp_path: Path) -> None:
    miniatures.histopathologic(tmp_path / "data/contest")
    asked = []

    def ask(question: str, default: bool) -> bool:
        asked.append(question)
        return True

    section = contest_guess.guess(tmp_path / "data/contest", tmp_path, ask).section
    assert (len(asked), section["submission"], section["metric"]) == (1, {"values": "label"}, "accuracy")


def test_a_larger_contest_takes_longer_and_a_gpu_gets_the_recipe_that_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(speed, "seconds_per_image", lambda model, size, device: 0.001)
    monkeypatch.setattr(new_members, "_fitting", lambda device, root: (["strong_24gb", "strong_8gb"], "24 GB"))
    monkeypatch.setattr(new_members, "_precision", lambda members, device: (None, ""))
    device: Any = None
    small = new_members.propose(new_members.RunSize(1000, 100, [500, 500], 0.01), device, PROJECT)
    assert (small.recipe, yaml.safe_load(small.text)["folds"]) == ("strong_24gb", [0, 1, 2, 3, 4])
    loaded = [False, True]
    monkeypatch.setattr(speed, "is_loaded", lambda: loaded[0])
    large = new_members.propose(new_members.RunSize(1_000_000, 100, [500_000] * 2, 0.01), device, PROJECT)
    assert (large.recipe, yaml.safe_load(large.text)["folds"]) == ("strong_8gb", [0, 1, 2])
    assert sum(large.hours.values()) > 10 * sum(small.hours.values())
    loaded.pop(0)  # timings beside other programs say too little about folds
    busy = new_members.propose(new_members.RunSize(1_000_000, 100, [500_000] * 2, 0.01), device, PROJECT)
    assert yaml.safe_load(busy.text)["folds"] == [0, 1, 2, 3, 4]


@pytest.mark.parametrize(
    ("recipe", "emulated", "seconds", "wanted"),
    [
        ("quick", False, {"fp32": 1.0, "bf16": 0.5}, "bf16"),
        ("quick", False, {"fp32": 1.0, "bf16": 0.99}, "fp32"),
        ("quick", True, {}, "fp32"),
        ("winner", True, {}, "fp32"),  # asks for bf16, which would take ten times as long here
        ("winner", False, {}, None),  # as the recipe says
    ],
)
def test_the_precision_is_the_one_that_this_cpu_is_faster_with(
    monkeypatch: pytest.MonkeyPatch, recipe: str, emulated: bool, seconds: dict[str, float], wanted: str | None
) -> None:
    monkeypatch.setattr(cpu, "emulates_bf16", lambda: emulated)
    monkeypatch.setattr(speed, "seconds_per_image", lambda model, size, device: seconds[model.precision])
    values = yaml.safe_load((PROJECT / f"recipes/{recipe}.yaml").read_text())["members"]
    members = {name: MemberSettings.model_validate(value) for name, value in values.items()}
    precision, reason = new_members._precision(members, torch.device("cpu"))
    assert (precision, bool(reason)) == (wanted, wanted is not None)


def test_a_named_recipe_keeps_its_folds_and_overrides_that_exist_are_named(project: Path) -> None:
    (project / contest_guess.OVERRIDES).write_text("image_id,action,reason\n")
    new.main(str(project / "data/contest"), "--yes", "--recipe", "quick", root=project)
    text = (project / "params.yaml").read_text()
    assert params.read(project)["folds"] == yaml.safe_load((PROJECT / "recipes/quick.yaml").read_text())["folds"]
    assert params.read(project)["contest"]["overrides"] == contest_guess.OVERRIDES
    assert text.count("yaml-language-server") == 1


def test_links_to_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "contest").mkdir()
    (tmp_path / "contest/train").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"links to folders .*train"):
        contest_guess.guess(tmp_path / "contest", tmp_path, contest_guess.take_defaults)


@pytest.mark.parametrize("recipe", ["cpu", "quick", "strong_8gb", "antbee"])
def test_members_take_the_channels_of_the_images(monkeypatch: pytest.MonkeyPatch, recipe: str) -> None:
    monkeypatch.setattr(speed, "seconds_per_image", lambda model, size, device: 0.001)
    monkeypatch.setattr(new_members, "_precision", lambda members, device: (None, ""))
    device: Any = None
    size = new_members.RunSize(100, 10, [50, 50], 0.01, channels=6)
    values = yaml.safe_load(new_members.propose(size, device, PROJECT, recipe).text)
    assert values["prepare"]["channels"] == 6
    for member in values["members"].values():
        assert member["model"]["model_kwargs"]["in_chans"] == 6
        assert not {"ColorJitter", "TrivialAugment", "RandAugment"} & {
            name for op in member["finetune"].get("augmentation", ()) for name in op
        }


@pytest.mark.parametrize(
    ("cells", "mark"),
    [
        (["rust", "scab", "rust scab", "scab rust mould", "mould"], " "),
        (["1|2", "2", "3|2", "3", "1"], "|"),
        (["Common wheat", "Black-grass", "Sugar beet"], None),
        (["red fox", "red panda", "giant panda", "giant fox"], None),
        (["a", "b", "c d"], None),
    ],
)
def test_a_column_of_sets_is_told_from_names_with_blanks(cells: list[str], mark: str | None) -> None:
    assert label_table._separator(cells * 3) == mark
