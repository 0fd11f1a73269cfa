"""Stage check: every mistake is named before anything is removed or trained."""

import functools
import itertools
import os
import re
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import timm
import torch
import yaml

from podium.core import params, targets
from podium.core.errors import InputError
from podium.core.placeholders import NO_FILE
from podium.inference.settings import MemberSettings
from podium.models import backbones
from podium.preflight import cpu, git_checks, input_tables, member_checks, memory, pruning, random_crops, training_sizes
from podium.preflight.settings import Podium
from podium.training.settings import DistillSettings, FixresSettings, PhaseSettings, PseudoSettings
from stages import check
from tests import tiny

ROOT = Path(__file__).parents[1]


def project(root: Path, **changes: Any) -> dict[str, Any]:
    """A valid params.yaml with one member, changed at dotted keys (with __ for the dots); and its contest."""
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["contest"] |= {
        "images": {"train": "c/train", "test": "c/test"},
        "labels": "c/train.csv",
        "overrides": "c/overrides.csv",
        "template": "c/template.csv",
        "columns": {"id": "image_id", "label": "label", "group": None, "fold": None},
    }
    values |= {"members": {"a": tiny.member()}, "folds": [0, 1], "torch": {"threads": 1, "device": "cpu"}}
    for key, value in changes.items():
        *steps, last = key.split("__")
        place = values
        for step in steps:
            place = place[step]
        place[last] = value
    for subset in ("train", "test"):
        (root / "c" / subset).mkdir(parents=True)
        for i in range(4 if subset == "train" else 2):
            (root / "c" / subset / f"{i}.png").write_bytes(b"")
    (root / "c/train.csv").write_text("image_id,label\n0.png,x\n1.png,y\n2.png,x\n3.png,y\n")
    (root / "c/overrides.csv").write_text("image_id,action,reason\n")
    (root / "c/template.csv").write_text("image_id,label\n1.png,x\n0.png,x\n")
    tiny.write_params(root, values)
    return values


def test_a_valid_project_passes_and_its_cost_is_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, members__b=tiny.member(pretrain={"epochs": 0}))
    check.main(root=tmp_path)
    assert (tmp_path / "data/check/ok.txt").read_text() == "ok\n"
    assert "2 members x 2 folds: 6 trainings, 2 probes" in capsys.readouterr().out


def test_a_demo_that_was_stopped_while_it_drew_is_drawn_by_the_next_run(tmp_path: Path) -> None:
    """Found by a killed `make`: each later one refused the tables that only the stage `draw` can make."""
    drawn = yaml.safe_load((ROOT / "params.yaml").read_text())["contest"]
    project(tmp_path, contest=drawn | {"overrides": "c/overrides.csv"})
    for subset in ("train", "test"):
        (tmp_path / "demo/images" / subset).mkdir(parents=True)
    (tmp_path / "demo/images/train/0.png").write_bytes(b"")
    check.main("settings", root=tmp_path)


@functools.cache
def n_values(member: str, **phases: str) -> int:
    """The number of values of a member that can be built and trained; once of members that recipes share."""
    own = MemberSettings.model_validate_json(member)
    maps = {"fixres": FixresSettings, "pseudo": PseudoSettings, "distill": DistillSettings}
    optional: dict[str, PhaseSettings] = {key: maps[key].model_validate_json(text) for key, text in phases.items()}
    return member_checks.check("a", own, optional, torch.device("cpu"), ROOT)


@pytest.mark.parametrize("file", sorted((ROOT / "recipes").rglob("*.yaml")), ids=lambda file: file.stem)
def test_the_members_of_a_recipe_can_be_built_and_trained(file: Path) -> None:
    p = params.parse(yaml.safe_load(file.read_text()), "", Podium)
    for name, settings in p.members.items():
        none = {"weights": "none", "weights_file": NO_FILE}
        here = none if settings.model.weights == "file" else {}  # its files are not here
        largest = settings.infer.model_copy(update={"image_sizes": (max(settings.infer.image_sizes),)})
        model = settings.model.model_copy(update=here)
        own = settings.model_copy(update={"model": model, "infer": largest})  # each size in between takes seconds
        phases = {key: part.model_dump_json(exclude_unset=True) for key, part in p.optional_phases(name).items()}
        assert n_values(own.model_dump_json(exclude_unset=True), **phases) > 0


def test_the_settings_alone_are_read_without_torch_and_nothing_is_removed(tmp_path: Path) -> None:
    project(tmp_path, members__a=tiny.member(model={"backbone": "no_such_net"}))
    orphan = tmp_path / "models/finetune/gone/0.safetensors"
    orphan.parent.mkdir(parents=True)
    orphan.write_bytes(b"")
    program = "import sys; from stages import check; check.main('settings'); assert 'torch' not in sys.modules"
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert orphan.exists()
    assert not (tmp_path / "data/check").exists()
    assert (tmp_path / "models/soup").is_dir()  # DVC refuses a dependency that is missing
    with pytest.raises(InputError, match="no_such_net"):
        check.main(root=tmp_path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"folds": 5}, "folds"),
        ({"contest__template": None}, "template"),
        ({"ensembel": {}}, "ensembel"),
        ({"contest__labels": "c/none.csv"}, "c/none.csv"),
        (
            {
                "members__a": tiny.member(
                    model={"weights": "file", "weights_file": "w.pth", "mean": [0.5] * 3, "std": [0.5] * 3}
                )
            },
            "w.pth is no file",
        ),
        ({"contest__labels": "c/\0"}, "contest.labels: .* no usable path"),
        ({"contest__images__train": "x" * 300}, "contest.images.train: .* no usable path"),
    ],
    ids=["folds", "null", "key", "path", "weights", "NUL", "long"],
)
def test_the_settings_check_reports_mistakes_for_which_dvc_has_unhelpful_messages(
    tmp_path: Path, changes: dict[str, Any], message: str
) -> None:
    project(tmp_path, **changes)
    with pytest.raises(InputError, match=message):
        check.main("settings", root=tmp_path)


def test_the_settings_check_reads_a_changed_table(tmp_path: Path) -> None:
    """The stage itself is skipped while params.yaml stays as it is, and a template is used after all training."""
    project(tmp_path)
    check.main("settings", root=tmp_path)
    (tmp_path / "c/template.csv").write_text("image_id,label\n1.png,x\n2.png,x\n")
    with pytest.raises(InputError, match=r"2\.png"):
        check.main("settings", root=tmp_path)


def test_an_unknown_argument_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="setings"):
        check.main("setings", root=tmp_path)


def test_the_cost_includes_fixres_and_external_predictions(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    oof, test = "c/oof.csv", "c/test.csv"
    project(tmp_path, fixres__a={"image_size": 48, "epochs": 1, "lr": 0.1}, external__e={"oof": oof, "test": test})
    for name in (oof, test):
        (tmp_path / name).write_text("image_id,x,y\n0.png,0.5,0.5\n1.png,0.25,0.75\n")
    check.main(root=tmp_path)
    assert "1 member (and 1 external) x 2 folds: 6 trainings, 2 of them fixres" in capsys.readouterr().out


def test_the_cost_includes_pseudo_labels_and_students(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path, pseudo__a={"epochs": 1, "lr": 0.1}, distill__a={"epochs": 1, "lr": 0.1})
    check.main(root=tmp_path)
    assert "8 trainings, 2 of them pseudo, 2 of them distill" in capsys.readouterr().out
    assert (tmp_path / "data/external").is_dir()  # ensemble depends on it, empty or not


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"typo": 1}, ["typo", "unknown key"]),
        ({"members__a__model__backbone": "resnet10x"}, ["members.a.model", "resnet10x", "near names"]),
        ({"members__a__model__model_kwargs": {"nope": 1}}, ["members.a.model", "nope"]),
        ({"members__a__model__precision": "fp16"}, ["members.a.model", "fp16"]),
        ({"torch": {"device": "auto", "devices": 99}}, ["torch.devices: 99", "GPUs"]),
        ({"torch__device": "cpu", "torch__devices": 8}, ["torch.devices: 8", "members.a.pretrain.batch_size"]),
        ({"members__a__finetune__optimizer": "adamx"}, ["members.a.finetune", "adamx"]),
        ({"members__a__pretrain__momentum": 0.9}, ["members.a.pretrain", "momentum"]),
        ({"members__a__finetune__augmentation": [{"Flip": {}}]}, ["members.a.finetune.augmentation.0.Flip"]),
        (
            {
                "members__a__finetune__drop_path": 0.1,
                "members__a__model__backbone": "inception_v4",
                "members__a__model__model_kwargs": {},
                "members__a__model__image_size": 75,
                "members__a__infer__image_sizes": [75],
            },
            ["members.a.model", "drop_path_rate"],
        ),
        (
            {
                "members__a__finetune__drop_path": 0.1,
                "members__a__model__backbone": "mobilenetv1_100",
                "members__a__model__model_kwargs": {},
            },
            ["members.a.finetune.drop_path has no effect", "mobilenetv1_100"],
        ),
        (
            {"members__a__model__backbone": "inception_v4", "members__a__model__model_kwargs": {}},
            ["members.a.model.image_size", "cannot take images of 32"],
        ),
        (
            {"members__a__model__backbone": "vit_tiny_patch16_224", "members__a__model__model_kwargs": {}},
            ["members.a.model.image_size", "dynamic_img_size"],
        ),
        (
            {
                "members__a__model__weights": "hub",
                "members__a__model__backbone": "resnet10t",
                "members__a__model__image_size": 64,
                "members__a__pretrain__epochs": 0,
                "members__a__finetune__head_init": "probe",
                "contest__labels": "c/none.csv",
            },
            ["contest.labels"],
        ),
        ({"members__a__pretrain__head_init": "probe"}, ["members.a.pretrain.head_init", "weights: none"]),
        (
            {"members__a__model__weights": "hub", "members__a__finetune__head_init": "probe"},
            ["members.a.finetune.head_init", "pretrain"],
        ),
        (
            {
                "members__a__model__weights": "hub",
                "members__a__model__backbone": "dpn68",
                "members__a__model__model_kwargs": {},
                "members__a__pretrain__head_init": "probe",
            },
            ["members.a.pretrain.head_init", "one linear classifier"],
        ),
        (
            {
                "members__a__model__weights": "hub",
                "members__a__model__backbone": "efficientnet_lite1",
                "members__a__model__model_kwargs": {},
            },
            ["members.a.model.weights", "efficientnet_lite1"],
        ),
        ({"members__a__model__weights": "file", "members__a__model__weights_file": "w.pth"}, ["w.pth"]),
        ({"members__a__model__model_kwargs": {"checkpoint_path": "x.pth"}}, ["members.a.model", "checkpoint_path"]),
        ({"members__a__finetune__augmentation": [{"Normalize": {}}]}, ["members.a.finetune.augmentation", "float32"]),
        (
            {
                "members__a__finetune__frozen": "batch_norms",
                "members__a__model__backbone": "vit_tiny_patch16_224",
                "members__a__model__model_kwargs": {"dynamic_img_size": True},
                "members__a__infer__image_sizes": [32],
            },
            ["members.a.finetune.frozen", "has none"],
        ),
        (
            {"fixres__a": {"image_size": 48, "epochs": 1, "lr": 1, "optimizer": "adamx"}},
            ["fixres.a: optimizer: ", "adamx"],
        ),
        (
            {"fixres__a": {"image_size": 48, "epochs": 1, "lr": 1, "augmentation": [{"Flip": {}}]}},
            ["fixres.a.augmentation.0.Flip"],
        ),
        (
            {
                "fixres__a": {"image_size": 40, "epochs": 1, "lr": 1},
                "members__a__model__backbone": "vit_tiny_patch16_224",
                "members__a__model__model_kwargs": {"dynamic_img_size": True},
                "members__a__infer__image_sizes": [32],
            },
            ["fixres.a.image_size", "cannot take images of 40"],
        ),
        (
            {
                "members__a__pretrain__image_size": 24,
                "members__a__model__backbone": "vit_tiny_patch16_224",
                "members__a__model__model_kwargs": {"dynamic_img_size": True},
                "members__a__infer__image_sizes": [32],
            },
            ["members.a.pretrain.image_size", "cannot take images of 24"],
        ),
        (
            {
                "members__a__finetune__frozen": "all_but_norms",
                "members__a__model__backbone": "vgg11",
                "members__a__model__model_kwargs": {},
            },
            ["members.a.finetune.frozen", "no norms"],
        ),
        ({"external__e": {"oof": "c/no.csv", "test": "c/template.csv"}}, ["external.e.oof", "no.csv is no file"]),
        ({"external__e": {"oof": "c/train.csv", "test": "c/train/0.png"}}, ["external.e.test", "among the images"]),
        ({"external__e": {"oof": "c/train.csv", "test": "c/template.csv"}}, ["c/train.csv", "missing ['x', 'y']"]),
        ({"contest__images__test": "c/train"}, ["contest.images"]),
        ({"contest__images__test": None}, ["contest.images.test: is null", "say placeholders/empty"]),
        ({"contest__labels": None}, ["contest.labels: is null", "say placeholders/none.csv"]),
        ({"contest__template": None}, ["contest.template: is null", "say placeholders/none.csv"]),
        ({"contest__overrides": None}, ["contest.overrides: is null", "say placeholders/none.csv"]),
        ({"members__a__model__weights_file": None}, ["weights_file: is null", "say placeholders/none.csv"]),
        ({"external__e": {"oof": "c/oof.csv", "test": None}}, ["external.e.test: is null", "placeholders/none.csv"]),
        ({"members__a__infer__image_sizes": 32}, ["members.a.infer.image_sizes: must be a list: [32]"]),
        ({"contest__labels": "c/train/labels.csv"}, ["contest.labels"]),
        ({"contest__columns__label": "klass"}, ["klass", "label"]),
        ({"contest__submission": {"values": "probabilities"}}, ["submission", "template.csv"]),
        ({"contest__metric": "quadratic_kappa"}, ["contest.metric", "not distinct numbers: x, y"]),
    ],
)
def test_mistakes_are_named(tmp_path: Path, changes: dict[str, Any], words: list[str]) -> None:
    project(tmp_path, **changes)
    with pytest.raises(InputError) as raised:
        check.main(root=tmp_path)
    assert all(word in str(raised.value) for word in words), str(raised.value)
    assert not (tmp_path / "data/check/ok.txt").exists()


CROP: list[dict[str, Any]] = [{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}]


@pytest.mark.parametrize(
    ("ops", "sizes", "noted"),
    [
        (CROP, [32], True),
        ([{"OneOf": {"transforms": CROP}}], [24, 32], True),
        (CROP, [32, 40], False),
        ([{"HorizontalFlip": None}], [32], False),
    ],
)
def test_a_training_on_random_crops_without_a_larger_size_is_noted(
    ops: list[dict[str, Any]], sizes: list[int], noted: bool
) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["members"] = {"a": tiny.member(finetune={"augmentation": ops}, infer={"image_sizes": sizes})}
    assert ("a: trained on random crops" in random_crops.note(params.parse(values, "", Podium))) == noted
    values["fixres"] = {"a": {"image_size": 40, "epochs": 1, "lr": 0.1}}
    assert random_crops.note(params.parse(values, "", Podium)) == ""


@pytest.mark.parametrize(("sizes", "epochs", "noted"), [([40, 24], 1, True), ([40, 32], 1, False), ([40], 0, False)])
def test_a_training_at_a_size_that_is_not_predicted_is_noted(sizes: list[int], epochs: int, noted: bool) -> None:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    phases = {"pretrain": {"epochs": 0}, "finetune": {"epochs": epochs}}
    values["members"] = {"a": tiny.member(infer={"image_sizes": sizes}, **phases)}
    assert training_sizes.note(params.parse(values, "", Podium)).startswith("a (trained at 32, first size 40)") == noted


def test_weights_of_another_backbone_are_refused(tmp_path: Path) -> None:
    model = {"weights": "file", "weights_file": "w.safetensors", "mean": [0.5] * 3, "std": [0.5] * 3}
    project(tmp_path, members__a=tiny.member(model=model))
    other = timm.create_model("resnet10t", channels=[16, 8, 8, 8], stem_width=8)
    safetensors.torch.save_file(other.state_dict(), str(tmp_path / "w.safetensors"))
    with pytest.raises(InputError, match=r"weights_file w\.safetensors: these weights do not fit"):
        check.main(root=tmp_path)


def test_a_value_that_dvc_reads_differently_is_refused(tmp_path: Path) -> None:
    project(tmp_path)
    path = tmp_path / "params.yaml"
    text = path.read_text()
    text = text.replace("folds:\n- 0\n- 1\n", "folds: [010, 1]\n").replace("lr: 0.01", "lr: 1e-2")
    assert "010" in text
    assert "1e-2" in text  # text for PyYAML, and the same number for both in the end
    path.write_text(text)
    with pytest.raises(InputError) as raised:
        check.main(root=tmp_path)
    assert str(raised.value).startswith("params.yaml: folds.0: DVC reads 10 here and Python 8")
    assert str(raised.value).count("params.yaml") == 1


def test_a_duplicate_key_is_refused_with_its_line(tmp_path: Path) -> None:
    project(tmp_path)
    path = tmp_path / "params.yaml"
    path.write_text("external: {}\n" + path.read_text())
    line = 1 + path.read_text().splitlines().index("external: {}", 1)
    with pytest.raises(
        InputError, match=f'params.yaml: line {line}: DVC cannot read it: found duplicate key "external"'
    ):
        check.main(root=tmp_path)


@pytest.mark.parametrize(
    ("labels", "changes", "words"),
    [
        ("0.png,x\n1.png,x\n2.png,x\n", {}, "only one class, 'x'"),
        (
            "0.png,x\n1.png,y\n2.png,x\n3.png,y\n",
            {"folds": list(range(12))},
            r"every class .* 12 folds: 'x' \(2 images",
        ),
        ("0.png,x\n1.png,y\n2.png,x\n3.png,y\n" + "".join(f"q{i},z\n" for i in range(5)), {}, "max_missing .* to 0.56"),
    ],
)
def test_a_contest_that_cannot_be_trained_on_is_refused(tmp_path, labels, changes, words) -> None:
    project(tmp_path, **changes)
    (tmp_path / "c/train.csv").write_text(f"image_id,label\n{labels}")
    with pytest.raises(InputError, match=words):
        check.main("settings", root=tmp_path)


def test_files_that_are_no_images_need_no_label_and_no_row(tmp_path: Path) -> None:
    form = {"values": "probabilities"}
    project(tmp_path, contest__layout="folders", contest__labels="placeholders/none.csv", contest__submission=form)
    (tmp_path / "placeholders").mkdir()
    (tmp_path / "placeholders/none.csv").touch()
    for name in ("x", "y"):
        (tmp_path / "c/train" / name).mkdir()
    for i in range(4):
        (tmp_path / f"c/train/{i}.png").rename(tmp_path / f"c/train/{'xy'[i % 2]}/{i}.png")
    (tmp_path / "c/train/notes").mkdir()
    (tmp_path / "c/train/notes/README.txt").write_text("classes: x and y")
    (tmp_path / "c/template.csv").write_text("image_id,y,x\n1,0,0\n0,0,0\n")
    (tmp_path / "c/test/0.json").write_text("{}")
    messages = input_tables.check(params.parse(params.read(tmp_path), "", Podium), tmp_path)
    folders, template = messages
    assert folders.endswith("these classes are missing: notes")
    assert template == "template template.csv: header image_id,y,x, 2 rows"


@pytest.mark.parametrize(
    ("folds", "message"),
    [("0120", "not in the list `folds`"), ("0000", "is in fold 1"), (["0", "1", "", "0"], "2.png")],
)
def test_folds_of_the_users_own_are_checked_before_any_image(
    tmp_path: Path, folds: Sequence[str], message: str
) -> None:
    project(tmp_path, contest__columns={"id": "image_id", "label": "label", "group": None, "fold": "fold"})
    rows = [f"{i}.png,{'xy'[i % 2]},{fold}" for i, fold in enumerate(folds)]
    (tmp_path / "c/train.csv").write_text("\n".join(["image_id,label,fold", *rows]) + "\n")
    with pytest.raises(InputError, match=re.escape(message)):
        check.main("settings", root=tmp_path)


def test_a_rare_class_is_kept_and_may_be_dropped(tmp_path: Path) -> None:
    project(tmp_path, contest__submission={"values": "probabilities"})
    (tmp_path / "c/train.csv").write_text("image_id,label\n0.png,x\n1.png,y\n2.png,x\n3.png,rare\n")
    for row in [f"{n}.png,{'xy'[n % 2]}" for n in range(4, 14)]:
        (tmp_path / "c/train" / row.split(",")[0]).write_bytes(b"")
        with (tmp_path / "c/train.csv").open("a") as opened:
            opened.write(f"{row}\n")
    (tmp_path / "c/template.csv").write_text("image_id,rare,x,y\n1.png,0,0,0\n0.png,0,0,0\n")
    (warning, _) = input_tables.check(params.parse(params.read(tmp_path), "", Podium), tmp_path)
    assert "(kept all the same): 'rare' (1 image in 1 group)" in warning
    (tmp_path / "c/overrides.csv").write_text("image_id,action,reason\n3.png,drop,too rare\n")
    with pytest.raises(InputError, match=r'contest\.submission\.absent: \["rare"\]'):
        check.main("settings", root=tmp_path)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    values["contest"]["submission"]["absent"] = ["rare"]
    tiny.write_params(tmp_path, values)
    check.main("settings", root=tmp_path)


@pytest.mark.parametrize(("metric", "warned"), [("average_precision", True), ("kappa", False)])
def test_a_submission_of_labels_for_a_metric_of_probabilities_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], metric: str, warned: bool
) -> None:
    project(tmp_path, contest__metric=metric)
    check.main(root=tmp_path)
    assert ("will hold labels" in capsys.readouterr().out) == warned


def test_a_range_of_values_without_arrays_or_dicom_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path, prepare__value_range=[0, 4095])
    check.main(root=tmp_path)
    assert "prepare.value_range is for arrays (.npy) and DICOM" in capsys.readouterr().out


def test_a_metric_of_ones_own_is_tried_by_check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "tried_by_check.py").write_text("def f(targets, probs):\n    return 1.0\n")
    project(tmp_path, contest__metric="max tried_by_check:f")
    with pytest.raises(InputError, match="tried_by_check:f fails: TypeError"):
        check.main("settings", root=tmp_path)


def test_bf16_on_a_cpu_without_bf16_instructions_is_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for precision, emulated in itertools.product(["bf16", "fp32"], [True, False]):
        root = tmp_path / f"{precision} {emulated}"
        project(root, members__a__model__precision=precision)
        monkeypatch.setattr(cpu, "emulates_bf16", lambda emulated=emulated: emulated)
        check.main(root=root)
        warned = "precision bf16 (a) takes" in capsys.readouterr().out
        assert warned == (precision == "bf16" and emulated)


@pytest.mark.skipif(torch.cuda.is_available(), reason="it has an effect here")
def test_what_speeds_training_up_elsewhere_or_not_at_all_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    project(tmp_path / "fast", torch={"reproducible": "fast"})
    check.main(root=tmp_path / "fast")
    assert "torch.reproducible: fast has no effect" in capsys.readouterr().out
    change = {
        "model__backbone": "dla34",
        "model__model_kwargs": {},
        "infer__image_sizes": [32],
        "finetune__gradient_checkpointing": True,
    }
    project(tmp_path / "cannot", **{f"members__a__{key}": value for key, value in change.items()})
    with pytest.raises(InputError, match=r"members\.a\.finetune\.gradient_checkpointing: .* remove it"):
        check.main(root=tmp_path / "cannot")


def test_this_torch_reports_whether_the_cpu_emulates_bf16() -> None:
    assert isinstance(cpu.emulates_bf16(), bool)
    flags = Path("/proc/cpuinfo").read_text() if Path("/proc/cpuinfo").exists() else ""
    if "avx" in flags:
        known = (" avx512_bf16 ", " amx_bf16 ", " avx_ne_convert ")
        assert cpu.emulates_bf16() != any(flag in flags.replace("\n", " ") for flag in known)


def test_images_that_dvc_exp_run_would_commit_to_git_are_warned_of(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def warning() -> str:
        check.main(root=tmp_path)
        return next((line for line in capsys.readouterr().out.splitlines() if "neither git nor DVC" in line), "")

    project(tmp_path)
    assert warning() == "", "no repository"
    git = ("git", "-C", str(tmp_path), "-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
    subprocess.run([*git, "init", "-q"], check=True)
    subprocess.run([*git, "commit", "-q", "--allow-empty", "-m", "start"], check=True)
    assert "tracks c/" in warning()
    for path in ("c/train.csv", "c/overrides.csv", "c/template.csv"):
        subprocess.run([*git, "add", path], check=True)
    assert "tracks c/test/, c/train/: " in warning()
    (tmp_path / ".gitignore").write_text("/c/train/*.png\n")
    assert "tracks c/test/: " in warning()
    (tmp_path / ".gitignore").write_text("/c/train\n")  # as `dvc add` does
    assert "tracks c/test/: " in warning()
    subprocess.run([*git, "add", "c/test"], check=True)
    assert warning() == ""
    (tmp_path / "c/test" / os.fsdecode(b"\xff.png")).write_bytes(b"")
    assert "\\xff.png" in warning()


@pytest.mark.parametrize(
    ("row", "words"), [("no_such.png,drop,x", "no_such.png"), ("{},no such class,x", "no such class")]
)
def test_overrides_are_read_before_anything_is_trained(tmp_path: Path, row: str, words: str) -> None:
    project(tmp_path)
    image_id = sorted(path.name for path in (tmp_path / "c/train").iterdir())[0]
    (tmp_path / "c/overrides.csv").write_text(f"image_id,action,reason\n{row.format(image_id)}\n")
    with pytest.raises(InputError, match=words):
        check.main(root=tmp_path)


def test_a_repository_without_a_commit_is_refused(tmp_path: Path) -> None:
    project(tmp_path)
    subprocess.run(["git", "init", "-q", str(tmp_path)], check=True)
    with pytest.raises(InputError, match="no commit yet"):
        check.main(root=tmp_path)


def test_a_repository_that_git_will_not_read_is_named_with_gits_own_advice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A folder of another owner, e.g. in a container. The advice is followed, and the check goes on."""
    git_in(tmp_path, "init", "-q")
    git_in(tmp_path, "commit", "-q", "--allow-empty", "-m", "start")
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "config"))
    with pytest.raises(InputError, match="dubious ownership") as raised:
        git_checks.require_commit(tmp_path)
    subprocess.run(str(raised.value).split("call: ")[1], shell=True, check=True)
    git_checks.require_commit(tmp_path)


def test_a_machine_without_git_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".git").mkdir()
    monkeypatch.setenv("PATH", "")
    assert git_checks.untracked(["a.csv"], tmp_path) == ""
    with pytest.raises(InputError, match="git is not installed"):
        git_checks.require_commit(tmp_path)


def test_only_untracked_files_of_the_contest_are_named(tmp_path: Path) -> None:
    root = tmp_path / "project"
    git_in(tmp_path, "init", "-q", str(root))
    for name in ("a.csv", "notes.txt"):
        (root / name).write_text("")
    assert "tracks a.csv:" in git_checks.untracked(["a.csv", str(tmp_path / "outside.csv")], root)
    assert git_checks.untracked([str(tmp_path / "outside.csv")], root) == ""


def git_in(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
    subprocess.run(["git", "-C", str(root), *identity, *words], check=True)


def test_user_weights_among_the_outputs_are_refused_and_stay(tmp_path: Path) -> None:
    own = tmp_path / "models/weights/mobile.safetensors"
    own.parent.mkdir(parents=True)
    own.write_bytes(b"")
    project(
        tmp_path, members__a=tiny.member(model={"weights": "file", "weights_file": "models/weights/mobile.safetensors"})
    )
    with pytest.raises(InputError, match=r"members\.a\.model\.weights_file.*data/contest/"):
        check.main(root=tmp_path)
    assert own.exists()


def test_external_predictions_among_the_outputs_are_refused_and_stay(tmp_path: Path) -> None:
    own = tmp_path / "data/external/oof.csv"
    own.parent.mkdir(parents=True)
    own.write_text("image_id,x,y\n")
    project(tmp_path, external__e={"oof": "data/external/oof.csv", "test": "c/template.csv"})
    with pytest.raises(InputError, match=r"external\.e\.oof: .*data/contest/"):
        check.main(root=tmp_path)
    assert own.exists()


def test_weights_that_were_trained_on_these_folds_are_refused(tmp_path: Path) -> None:
    settings = {"weights": "file", "weights_file": "w.safetensors", "mean": [0.5] * 3, "std": [0.5] * 3}
    project(tmp_path, members__a=tiny.member(model=settings))
    model = backbones.create("resnet10t", n_classes=2, model_kwargs=tiny.member()["model"]["model_kwargs"])
    backbones.save(tmp_path / "w.safetensors", model, {"classes": ["x", "y"]})
    with pytest.raises(InputError, match="leak"):
        check.main(root=tmp_path)


def test_nothing_is_removed_while_something_is_wrong(tmp_path: Path) -> None:
    project(tmp_path, typo=1)
    stale = tmp_path / "data/infer/gone.parquet"
    stale.parent.mkdir(parents=True)
    stale.write_text("")
    with pytest.raises(InputError):
        check.main(root=tmp_path)
    assert stale.exists()


def test_orphans_are_removed_and_the_rest_stays(tmp_path: Path) -> None:
    owned = [
        "models/weights/a.safetensors",
        "models/pretrain/a/0.safetensors",
        "data/finetune/a/1.live/metrics.json",
        "data/infer/a.parquet",
        "data/ensemble/oof.parquet",
        "data/pretrain/a/1.parquet",
        "data/probe/c.parquet",
        "models/probe/c.safetensors",
        "models/classifiers/c.safetensors",
        "models/fixres/a/0.safetensors",
        "data/infer_fixres/a.parquet",
        "data/pseudo/c/1.parquet",
        "data/infer_pseudo/c.parquet",
        "models/distill/a/1.safetensors",
        "data/external/e.parquet",
        "data/soup/a.parquet",
        "data/extra/x.csv",
        ".resume/pretrain/a/0.state",
    ]
    orphans = [
        "models/weights/b.safetensors",
        "models/pretrain/b/0.safetensors",
        "data/finetune/a/2.live/metrics.json",
        "data/infer/b.parquet",
        "models/finetune/a/2.safetensors",
        "data/probe/b.parquet",
        "models/probe/b.safetensors",
        "models/classifiers/b.safetensors",
        "models/fixres/c/0.safetensors",
        "data/fixres/a/2.parquet",
        "data/infer_fixres/c.parquet",
        "models/pseudo/a/0.safetensors",
        "data/infer_pseudo/a.parquet",
        "data/distill/c/0.parquet",
        "data/external/a.parquet",
        "data/soup/c.parquet",
        "data/extra/a.csv",
        ".resume/finetune/a/2.state",
        ".resume/fixres/b/0.state",
    ]
    for name in owned + orphans:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside/file").write_text("")
    (tmp_path / "models/finetune/link").symlink_to(tmp_path / "outside")
    pruning.remove(
        pruning.orphans(
            tmp_path,
            members=["a", "c"],
            fixres=["a"],
            pseudo=["c"],
            soup=["a"],
            distill=["a"],
            extra=["x"],
            external=["e"],
            folds=["0", "1"],
        )
    )
    assert all((tmp_path / name).exists() for name in owned)
    assert not any((tmp_path / name).exists() for name in orphans)
    assert not (tmp_path / "models/finetune/link").exists()
    assert (tmp_path / "outside/file").exists()  # a link is removed, not what it points to


def test_removed_outputs_are_summed_up_by_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    project(tmp_path)
    names = [f"models/pretrain/a/{fold}.safetensors" for fold in range(2, 7)]
    names += ["models/pretrain/gone/0.safetensors", "models/pretrain/gone/1.safetensors", "data/infer/gone.parquet"]
    for name in names:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(bytes(200_000))
    (tmp_path / "models/pretrain/gone/broken").symlink_to(tmp_path / "nowhere")
    check.main(root=tmp_path)
    removed = [line for line in capsys.readouterr().out.splitlines() if "removed" in line]
    first = "a/2.safetensors, a/3.safetensors, a/4.safetensors"
    ends = [
        "1 file of data/infer (0.2 MB): gone.parquet",
        f"8 files of models/pretrain (1.4 MB): {first} and 3 more",
    ]
    assert [line.endswith(end) for line, end in zip(removed, ends, strict=True)] == [True, True]
    assert not any((tmp_path / name).exists() for name in names)


def test_the_projects_own_params_pass(tmp_path: Path) -> None:
    """Before the demo is drawn, on a fresh clone."""
    for name in ("params.yaml", "placeholders", "data"):
        if (ROOT / name).is_file():
            (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "placeholders/empty").mkdir(parents=True)
    (tmp_path / "placeholders/none.csv").write_text("")
    (tmp_path / "data/contest").mkdir(parents=True)
    (tmp_path / "data/contest/overrides.csv").write_text("image_id,action,reason\n")
    check.main(root=tmp_path)


def whole(**changes: Any) -> Podium:
    values: dict[str, Any] = yaml.safe_load((ROOT / "params.yaml").read_text())
    return params.parse(values | {"members": {"a": tiny.member(), "b": tiny.member()}} | changes, "", Podium)


def test_memory_that_predictions_take_is_named_before_anything_is_trained() -> None:
    classes = [f"{i:04}" for i in range(1000)]
    small, large = (memory.of_stages(whole(), n, n, classes) for n in (1_000, 200_000))
    assert max(small.values()) < 2e9
    assert small.keys() == large.keys()
    assert memory.check(whole(), 200_000, 20_000, classes, total=16 * 10**9) == []  # docs/contests.md
    assert memory.check(whole(), 1_000, 1_000, classes, total=16 * 10**9) == []
    (warning,) = memory.check(whole(), 100_000, 10_000, classes, total=int(1.2 * max(
        memory.of_stages(whole(), 100_000, 10_000, classes).values())))  # fmt: skip
    assert warning.startswith("WARNING: ")
    with pytest.raises(InputError, match=r"takes about [0-9,]+ GB for 130,000 train .* 15,500 classes"):
        memory.check(whole(), 130_000, 10_000, [f"{i}" for i in range(15_500)], total=48 * 10**9)
    contest = yaml.safe_load((ROOT / "params.yaml").read_text())["contest"] | {"metric": "micro_f1"}
    sets = memory.of_stages(whole(contest=contest), 1_000, 1_000, targets.LabelNames(classes))
    assert sets["report"] - memory.BASE == pytest.approx(2 * (small["report"] - memory.BASE))
