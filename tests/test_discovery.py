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
from tests.graph import PROJECT, run_git
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
    assert "ids with several labels: 1, e.g. a00" in problems
    assert "train images without a label: 14" in problems
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


def test_class_folders_beside_a_folder_of_images_are_named(tmp_path: Path) -> None:
    """Train photos in class folders beside test photos, in folders that say neither train nor test."""
    classes = [f"photos/{name}/{i}.png" for name in ("ant", "bee") for i in range(3)]
    miniatures.images(tmp_path / "data/contest", *classes, *(f"unknown/{i}.png" for i in range(3)))
    section = look(tmp_path).section
    write_params(tmp_path, section)
    printed = "\n".join(checked(tmp_path, section))
    assert "photos holds the folders ant, bee" in printed
    assert "contest.images.train: data/contest/photos" in printed


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


def test_a_file_that_git_keeps_is_overwritten_unless_the_user_says_no(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fresh clone has the demo's params.yaml: after `make new` and Enter, `make` must not run the demo."""
    (project / "params.yaml").write_text("demo\n")
    run_git(project, "init", "-q")
    asked = []
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: asked.append(question) or "")

    def told_where() -> list[bool]:
        new.main(str(project / "data/contest"), "--recipe", "quick", root=project)
        found = [(project / name).exists() for name in ("params.yaml", new.OTHER)]
        (project / new.OTHER).unlink(missing_ok=True)
        return [(project / "params.yaml").read_text() == "demo\n", *found]

    assert told_where() == [True, True, True], "git does not know the file"
    run_git(project, "add", "params.yaml")
    run_git(project, "-c", "user.name=a", "-c", "user.email=a@example.invalid", "commit", "-qm", "demo")
    assert told_where() == [False, True, False]
    assert "[Y/n]" in asked[-2]
    assert told_where() == [False, True, True], "it differs from git's"


def test_a_misspelt_recipe_is_refused_before_any_question(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: pytest.fail(f"asked: {question}"))
    (project / "params.yaml").write_text("demo\n")
    with pytest.raises(InputError, match=r"no recipe quikc; there are .*quick"):
        new.main(str(project / "data/contest"), "--recipe", "quikc", root=project)


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


@pytest.mark.parametrize(("sizes", "noted"), [([64, 80], False), ([64], True)])
def test_a_recipe_with_crops_and_no_higher_size_is_said(
    project: Path, capsys: pytest.CaptureFixture[str], sizes: list[int], noted: bool
) -> None:
    (project / "recipes").unlink()
    values = yaml.safe_load((PROJECT / "recipes/quick.yaml").read_text())
    values["members"]["small"]["finetune"]["augmentation"] = [{"RandomResizedCrop": {"size": [64, 64]}}]
    values["members"]["small"]["infer"]["image_sizes"] = sizes
    (project / "recipes").mkdir()
    (project / "recipes/own.yaml").write_text(yaml.safe_dump(values, sort_keys=False))
    new.main(str(project / "data/contest"), "--yes", "--recipe", "own", root=project)
    assert ("trained on random crops" in capsys.readouterr().out) == noted


def test_links_to_folders_are_named(tmp_path: Path) -> None:
    (tmp_path / "contest").mkdir()
    (tmp_path / "contest/train").symlink_to(tmp_path)
    with pytest.raises(InputError, match=r"links to folders .*train"):
        contest_guess.guess(tmp_path / "contest", tmp_path, contest_guess.take_defaults)


@pytest.mark.parametrize("recipe", ["cpu", "quick", "strong_8gb", "antbee", "weather"])
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


KINDS = ("cat", "dog", "owl")


def write_contest(root: Path, train: str, row: str, template: str, *, cell: str, folder: str = "") -> None:
    """Write 12 train and 4 test images, a label table and a template.

    Args:
        train: header of the label table.
        row: of the label table; {i} is the image's id, {n} its number, {c} its class, {d} 0 or 1, {m} 1 to 4.
        template: its header.
        cell: what follows the id in each row.
        folder: of all images; "" for train/ and test/.
    """
    names, tests = [f"a{n:02}" for n in range(12)], [f"t{n}" for n in range(4)]
    miniatures.images(root, *(f"c/{folder or 'train'}/{name}.png" for name in names),
                      *(f"c/{folder or 'test'}/{name}.png" for name in tests))  # fmt: skip
    rows = [row.format(i=name, n=n, c=KINDS[n % 3], d=n % 2, m=n % 4 + 1) for n, name in enumerate(names)]
    miniatures.csv(root, "c/train.csv", train, *rows)
    miniatures.csv(root, "c/sample_submission.csv", template, *(f"{name}{cell}" for name in tests))


def found_in(root: Path) -> tuple[dict[str, Any], ContestGuess, list[str]]:
    """What a folder was found to be, and what `check` says of it."""
    guess = look(root, "c")
    section = written(guess)
    write_params(root, section)
    return section, guess, checked(root, section)


@pytest.mark.parametrize(("mark", "what"), [(";", "semicolons"), ("\t", "tabs")])
def test_a_template_that_cannot_be_used_is_named(tmp_path: Path, mark: str, what: str) -> None:
    write_contest(tmp_path, "id,label", "{i},{c}", f"id{mark}label", cell=f"{mark}cat")
    section, guess, _ = found_in(tmp_path)
    assert section["template"] == "placeholders/none.csv"
    assert any("sample_submission.csv looks like the template" in text and what in text for text in guess.warnings)


def test_a_template_of_a_header_alone_is_refused_by_check_alone(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label", "{i},{c}", "id,label", cell=",cat")
    miniatures.csv(tmp_path, "c/test.csv", "number,file", *(f"{n},t{n}.png" for n in range(4)))
    miniatures.csv(tmp_path, "c/sample_submission.csv", "id,label")
    assert ("template", "sample_submission.csv: id, label", "id no rows") in look(tmp_path, "c").rows
    with pytest.raises(InputError, match="has a header and no rows"):
        found_in(tmp_path)


def test_ids_with_blanks_are_ids_and_ids_with_another_ending_are_shown(tmp_path: Path) -> None:
    write_contest(tmp_path / "blanks", "id,label", " {i} ,{c}", "id,label", cell=" ,cat")
    assert not found_in(tmp_path / "blanks")[1].warnings
    write_contest(tmp_path / "endings", "id,label", "{i}.jpg,{c}", "id,label", cell=".jpg,cat")
    guess = look(tmp_path / "endings", "c")
    assert "id_pattern" not in guess.section["submission"]
    assert any("train images are e.g. a00.png, but train.csv has id 'a00.jpg'" in text for text in guess.warnings)


def test_a_table_of_labels_comes_before_one_with_a_column_that_repeats(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,age,sex", "{i},{n},s{d}", "id,label", cell=",cat")
    miniatures.csv(tmp_path, "c/train_labels.csv", "id,label", *(f"a{n:02},{KINDS[n % 3]}" for n in range(12)))
    section, _, printed = found_in(tmp_path)
    assert (section["labels"], section["columns"]["label"]) == ("c/train_labels.csv", "label")
    assert not any("are no classes" in text for text in printed)


def test_class_folders_come_before_a_column_that_repeats(tmp_path: Path) -> None:
    miniatures.images(tmp_path, *(f"c/train/{name}/{name}{n}.png" for name in KINDS for n in range(4)))
    rows = [f"{name}{n}.png,{n % 2}" for name in KINDS for n in range(4)]
    miniatures.csv(tmp_path, "c/meta.csv", "file,width", *rows)
    guess = look(tmp_path, "c")
    assert (guess.section["layout"], guess.classes) == ("folders", list(KINDS))


def test_the_column_that_holds_the_templates_one_label_is_the_label(tmp_path: Path) -> None:
    for value in ("prediction", "label"):
        write_contest(tmp_path, "id,label,label_name", "{i},{m},big {c}", f"id,{value}", cell=",big cat")
        assert found_in(tmp_path)[0]["columns"]["label"] == "label_name"


def test_columns_of_a_template_may_have_a_beginning_that_classes_lack(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label", "{i},{d}", "id,class_0,class_1", cell=",0.5,0.5")
    assert found_in(tmp_path)[0]["submission"]["names"] == {"0": "class_0", "1": "class_1"}


def test_a_comma_at_the_end_of_each_line_is_no_column_of_values(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label,", "{i},{c},", "id,label,", cell=",cat,")
    section, _, _ = found_in(tmp_path)
    assert (section["submission"]["values"], section["submission"]["value"]) == ("label", "label")


def test_numbers_of_rows_are_no_labels_though_they_hold_the_templates_columns(tmp_path: Path) -> None:
    write_contest(tmp_path, "number,id,kind", "{n},{i},{d}", "id,0,1", cell=",0.5,0.5")
    assert found_in(tmp_path)[0]["columns"]["label"] == "kind"


def test_numbers_that_all_differ_are_told_to_be_rounded(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,weight", "{i},0.1{n}", "id,weight", cell=",0.5")
    assert any("12 different numbers in 12 rows" in text for text in look(tmp_path, "c").warnings)
    with pytest.raises(InputError, match=r"too few groups.*no regression: round them"):
        found_in(tmp_path)


def test_groups_in_another_table_are_named(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label", "{i},{c}", "id,label", cell=",cat")
    miniatures.csv(tmp_path, "c/patients.csv", "id,patient_id", *(f"a{n:02},p{n // 2}" for n in range(12)))
    assert any("patients.csv: patient_id looks like groups" in text for text in look(tmp_path, "c").warnings)


def test_a_label_table_without_a_header_is_refused(tmp_path: Path) -> None:
    write_contest(tmp_path, "a99.png,cat", "{i}.png,{c}", "id,label", cell=",cat")
    miniatures.images(tmp_path, "c/train/a99.png")
    with pytest.raises(InputError, match=r"first line, a99.png,cat, is an image and its label.*no header"):
        found_in(tmp_path)


@pytest.mark.parametrize(
    ("row", "mark", "classes"),
    [
        ('{i},"{c}, x"', ",", [*KINDS, "x"]),
        ("{i},{c};x", ";", [*KINDS, "x"]),
        ("{i},{c} found|x", "|", [*(f"{name} found" for name in KINDS), "x"]),
    ],
)
def test_the_submission_separates_labels_as_the_table_does(
    tmp_path: Path, row: str, mark: str, classes: list[str]
) -> None:
    write_contest(tmp_path, "id,labels", row, "id,labels", cell=",x")
    lines = (tmp_path / "c/train.csv").read_text().splitlines()
    lines[-4:] = [f"a{8 + n:02},{name}" for n, name in enumerate(classes)]  # alone
    miniatures.csv(tmp_path, "c/train.csv", *lines)
    section, guess, _ = found_in(tmp_path)
    assert guess.classes == classes
    assert (section["columns"]["separator"], section["submission"]["separator"]) == (mark, mark)


def test_fractions_in_the_template_of_numbers_ask_for_a_number(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,score", "{i},{m}", "id,score", cell=",4.25")
    lines = (tmp_path / "c/sample_submission.csv").read_text().splitlines()
    miniatures.csv(tmp_path, "c/sample_submission.csv", *lines[:-1], lines[-1].replace("4.25", "7.5"))
    assert found_in(tmp_path)[0]["submission"]["values"] == "number"


def test_ranked_labels_between_commas(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,kind", "{i},{c}", "id,kind", cell=',"cat,dog"')
    assert found_in(tmp_path)[0]["submission"] == {"values": "label", "top": 2, "separator": ","}


@pytest.mark.parametrize("with_numbers", [False, True])
def test_one_folder_whose_tables_call_the_ids_differently(tmp_path: Path, *, with_numbers: bool) -> None:
    write_contest(tmp_path, "breed,img", "{c},{i}", "id,breed", cell=",cat", folder="images")
    if with_numbers:
        miniatures.csv(tmp_path, "c/test.csv", "number,img", *(f"{n},t{n}" for n in range(4)))
        miniatures.csv(tmp_path, "c/sample_submission.csv", "number,breed", *(f"{n},cat" for n in range(4)))
    section, _, printed = found_in(tmp_path)
    assert section["lists"]["train_id"] == "img"
    assert {"contest.lists: names 12 train images", "contest.lists: names 4 test images"} <= set(printed)


def test_ids_of_the_template_may_begin_with_the_folder(tmp_path: Path) -> None:
    write_contest(tmp_path, "path,label", "train/{i}.png,{c}", "path,label", cell=".png,cat")
    lines = (tmp_path / "c/sample_submission.csv").read_text().splitlines()
    miniatures.csv(tmp_path, "c/sample_submission.csv", lines[0], *(f"test/{line}" for line in lines[1:]))
    _, guess, _ = found_in(tmp_path)
    assert not guess.warnings


@pytest.mark.parametrize(
    ("template", "cell"), [("id,labels", ",A B"), ("id,p", ",0.5"), ("id,labels", ",A|B"), ("id,labels", ',"A, B"')]
)
def test_columns_of_0_and_1_that_the_templates_cells_or_rows_name(tmp_path: Path, template: str, cell: str) -> None:
    write_contest(tmp_path, "id,A,B,C", "{i},1,{d},1", template, cell=cell)
    lines = [line.replace(",1,0,1", ",0,0,0") for line in (tmp_path / "c/train.csv").read_text().splitlines()]
    miniatures.csv(tmp_path, "c/train.csv", *lines)
    if template == "id,p":
        rows = [f"t{n}_{name},0.5" for n in range(4) for name in "ABC"]
        miniatures.csv(tmp_path, "c/sample_submission.csv", template, *rows)
    section, _, _ = found_in(tmp_path)
    assert (section["task"], section["columns"]["label"][:2]) == ("labels", ["A", "B"])
    assert section["submission"]["values"] == ("labels" if template == "id,labels" else "probabilities")
    assert section["submission"].get("separator") == next((mark for mark in "|," if mark in cell[1:]), None)


def test_one_hot_columns_of_true_and_false(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,cat,dog", "{i},{d},{d}", "id,cat,dog", cell=",0.5,0.5")
    lines = (tmp_path / "c/train.csv").read_text().splitlines()
    flags = [line.replace(",0,0", ",True,False").replace(",1,1", ",False,True") for line in lines]
    miniatures.csv(tmp_path, "c/train.csv", *flags)
    (tmp_path / "c/sample_submission.csv").rename(tmp_path / "c/sample_sub.csv")
    section, guess, _ = found_in(tmp_path)
    assert (section["columns"]["label"], guess.classes) == (["cat", "dog"], ["cat", "dog"])
    assert section["template"] == "c/sample_sub.csv"
    (tmp_path / "c/sample_sub.csv").unlink()
    assert found_in(tmp_path)[0]["columns"]["label"] == ["cat", "dog"]
    assert set(labels(tmp_path, section).values()) == {("cat", ""), ("dog", "")}


def test_a_group_of_one_value_a_class_is_left_out(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label,site", "{i},{c},of {c}", "id,label", cell=",cat")
    section, guess, _ = found_in(tmp_path)
    assert section["columns"]["group"] is None
    assert "site has one value for each class" in "\n".join(guess.warnings)


def test_a_column_that_is_called_label_comes_before_one_whose_name_holds_it(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label_group,label", "{i},g{n},{c}", "id,Predicted", cell=",cat")
    assert found_in(tmp_path)[0]["columns"]["label"] == "label"


def test_columns_of_a_template_that_differ_in_signs_are_the_classes(tmp_path: Path) -> None:
    write_contest(tmp_path, "id,label", "{i},big-{c}", "id,big_cat,big_dog,Big Owl,none", cell=",0,0,0,1")
    form = found_in(tmp_path)[0]["submission"]
    assert form["names"] == {"big-cat": "big_cat", "big-dog": "big_dog", "big-owl": "Big Owl"}
    assert form["absent"] == ["none"]


def test_texts_that_begin_like_numbers_are_quoted() -> None:
    section = {"columns": {"id": "1e3", "label": ["0o7", ".5", "x"]}, "labels": "2019/train.csv"}
    text = params_text.write(section, {})
    assert text.splitlines()[2:] == ["    id: '1e3'", "    label: ['0o7', '.5', x]", "  labels: '2019/train.csv'"]
