import copy
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dvc.utils import hydra

from podium.core import params
from podium.core.errors import InputError
from podium.preflight.settings import Podium

ROOT = Path(__file__).parents[1]


def whole(**changes: Any) -> dict[str, Any]:
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    values["members"] = {
        "a": {
            "model": {
                "backbone": "resnet18",
                "weights": "none",
                "weights_file": "placeholders/none.csv",
                "image_size": 64,
            },
            "pretrain": {"epochs": 4, "lr": 0.1},
            "finetune": {"epochs": 4, "lr": 0.1},
            "infer": {"image_sizes": [64]},
        }
    }
    for key, value in changes.items():
        place: Any = values
        *steps, last = key.split("__")
        for step in steps:
            place = place.setdefault(step, {})
        place[last] = value
    return values


def test_the_projects_own_params_and_recipes_are_valid() -> None:
    files = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]
    for file in files:
        params.parse(yaml.safe_load(file.read_text()), "", Podium)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"typo": {}}, "typo: unknown key"),
        ({"members__a__modle": {}}, "members.a.modle: unknown key"),
        ({"members__a__finetune__mixup": 0.4}, "members.a.finetune.mixup: unknown key"),
        ({"folds": 5}, "folds: must list"),
        ({"folds": [0, 0]}, "folds: names"),
        ({"folds": [0]}, "folds"),
        ({"folds": [True, 1]}, "folds: must list"),
        ({"members": {}}, "members"),
        ({"members__A-b": whole()["members"]["a"]}, "members: names"),
        ({"members__a__model__weights": "file"}, "weights_file"),
        ({"members__a__model__weights_file": "w.safetensors"}, "weights_file"),
        ({"members__a__model__mean": [0.5, 0.5, 0.5]}, "mean and std go together"),
        ({"members__a__model__crop_fraction": 0.9}, "crop_fraction has no effect"),
        ({"members__a__model__image_size": 1024}, "prepare.short_side is"),
        ({"members__a__infer__image_sizes": [64, 900]}, "infer.image_sizes 900"),
        ({"members__a__infer__image_sizes": [64, 64]}, "listed twice"),
        ({"members__a__infer__views": ["identity"]}, "infer.views: is called transforms now"),
        ({"torch": {"device": "cpu", "reproducible": "fast"}}, "`reproducible: fast` has no effect"),
        (
            {"members__a__finetune__gradient_checkpointing": True, "members__a__finetune__frozen": "backbone"},
            "frozen b",
        ),
        ({"members__a__pretrain__batch_size": 7}, "batch_size 7 is odd"),
        ({"members__a__pretrain__warmup_epochs": 4}, "warmup_epochs 4"),
        ({"members__a__pretrain__decay_epochs": [2]}, "no effect with `schedule: cosine`"),
        ({"members__a__pretrain__decay_rate": 0.5}, "no effect with `schedule: cosine`"),
        ({"members__a__pretrain__schedule": "step"}, "needs decay_epochs"),
        ({"members__a__pretrain": {"epochs": 4, "lr": 1, "schedule": "step", "decay_epochs": [4]}}, "decay_epochs [4]"),
        ({"members__a__finetune__head_only_epochs": 4}, "head_only_epochs 4"),
        ({"members__a__finetune": {"epochs": 1, "lr": 0.1, "curves": False}}, "curves has no effect"),
        ({"members__a__finetune": {"epochs": 1, "lr": 1, "frozen": "backbone", "layer_decay": 0.9}}, "frozen backbone"),
        ({"members__a__finetune": {"epochs": 1, "lr": 0.1, "min_lr": 0.2}}, "min_lr 0.2 is above lr"),
        (
            {"members__a__finetune": {"epochs": 1, "lr": 1, "loss": "logit_adjusted", "class_weights": "balanced"}},
            "`class_weights: balanced` and `loss: logit_adjusted`",
        ),
        (
            {"members__a__finetune": {"epochs": 1, "lr": 1, "sampler": "balanced", "loss": "logit_adjusted"}},
            "`sampler: balanced` and `loss: logit_adjusted`",
        ),
        ({"members__a__finetune": {"epochs": 3, "lr": 1, "ema_decay": 0.9, "average_epochs": 2}}, "ema_decay and"),
        ({"members__a__finetune__average_epochs": 5}, "average_epochs 5 is more than epochs 4"),
        ({"members__a__finetune__image_size": 32}, "members.a.finetune.image_size: unknown key"),
        ({"members__a__pretrain__image_size": 900}, "pretrain.image_size 900 needs images"),
        (
            {"members__a__pretrain__image_size": 32, "members__a__finetune__epochs": 0},
            "pretrain.image_size 32 needs finetune.epochs",
        ),
        (
            {"members__a__model__compile": True, "members__a__pretrain__epochs": 0, "members__a__finetune__epochs": 0},
            "members.a: model.compile has no effect",
        ),
        ({"members__a__infer__transforms": ["rot45"]}, "members.a.infer.transforms"),
        (
            {"members__a__model__mean": [123.7, 116.3, 103.5], "members__a__model__std": [58.4] * 3},
            "members.a.model.mean",
        ),
        ({"members__a__pretrain": {"epochs": 9, "lr": 1, "schedule": "step", "decay_epochs": [5, 3]}}, "[5, 3] must"),
        ({"split": {"seed": 2**33}}, "split.seed"),
        ({"contest": {"images": {"train": "a", "test": "b"}}}, "contest.metric"),
        ({"analyze__max_hash_distance": None}, "min_similarity has no effect"),
        ({"ensemble": {"method": "equal", "greedy_rounds": 5}}, "greedy_rounds has no effect"),
        ({"contest__submission__names": {False: "False"}}, "contest.submission.names: write both names in quotes"),
        ({"contest__submission__names": {"a": "0", "b": "0"}}, "contest.submission.names: gives two classes one name"),
        ({"contest__submission__absent": [True]}, "contest.submission.absent: write each class as text"),
        ({"contest__columns__classes": {True: "1"}}, "contest.columns.classes: write both names in quotes"),
        ({"contest__columns__classes": {"cat": True}}, "contest.columns.classes: write both names in quotes"),
        ({"contest__submission": {"values": "number", "labels": "int"}}, "labels has no effect with values: number"),
        ({"contest__submission": {"values": "number", "names": {"1": "a"}}}, "names has no effect with values: num"),
        ({"contest__lists__id": "a"}, "contest.lists: id names a column of a list"),
        ({"contest__lists__file": "a"}, "contest.lists: file names a column of a list"),
        ({"contest__lists__train_id": "a"}, "contest.lists: train_id names a column of a list"),
        ({"contest__lists": {"train": "t.csv", "train_id": "a", "id": "b"}}, "contest.lists: id names a column of"),
        ({"contest__max_missing": 2}, "contest.max_missing"),
        ({"contest__layout": "folders", "contest__whole_labels": ["a b"]}, "contest: whole_labels has no effect"),
        ({"ensemble": {"label_temperatures": True}}, "ensemble.label_temperatures is for sets"),
        ({"ensemble": {"method": "ranks"}}, "ensemble.method ranks needs contest.metric"),
        ({"fixres": None}, "fixres: must be a map, {} where it holds nothing"),
        ({"fixres__b": {"image_size": 80, "epochs": 1, "lr": 1}}, "fixres.b: no member"),
        ({"fixres__a": {"epochs": 1, "lr": 1}}, "fixres.a.image_size: missing"),
        ({"fixres__a": {"image_size": 80, "epochs": 0, "lr": 1}}, "fixres.a.epochs"),
        ({"fixres__a": {"image_size": 900, "epochs": 1, "lr": 1}}, "fixres.a.image_size 900 needs images"),
        ({"fixres__a": {"image_size": 80, "epochs": 1, "lr": 1, "mixup": 0.1}}, "fixres.a.mixup: unknown key"),
        ({"fixres__a": {"image_size": 80, "epochs": 1, "lr": 1, "head_init": "probe"}}, "fixres.a: head_init: "),
        ({"fixres__a": {"image_size": 80, "epochs": 1, "lr": 1, "frozen": "all_but_norms"}}, "fixres.a: frozen: "),
        ({"pseudo__b": {"epochs": 1, "lr": 1}}, "pseudo.b: no member"),
        ({"pseudo__a": {"epochs": 0, "lr": 1}}, "pseudo.a.epochs"),
        ({"pseudo__a": {"epochs": 1, "lr": 1, "threshold": 1}}, "pseudo.a.threshold"),
        ({"pseudo__a": {"epochs": 1, "lr": 1, "weight": 0}}, "pseudo.a.weight"),
        ({"pseudo__a": {"epochs": 1, "lr": 1, "head_init": "keep"}}, "pseudo.a: head_init: "),
        ({"pseudo__a": {"epochs": 1, "lr": 1, "mixup": 0.1}}, "pseudo.a.mixup: unknown key"),
        (
            {"distill__a": {"epochs": 1, "lr": 1}, "external__e": {"oof": "o.csv", "test": "t.csv"}},
            "distill and external: ",
        ),
        ({"extra__o": {"pattern": "("}}, "extra.o.pattern: is no regular expression"),
        ({"extra__o": {"pattern": "o/", "share": 0}}, "extra.o.share"),
        (
            {"extra__o": {"pattern": "o/"}, "members__a__pretrain__epochs": 0, "members__a__finetune__epochs": 0},
            "extra: only trainings",
        ),
        ({"soup__b": {"members": ["a"]}}, "soup.b: no member"),
        ({"soup__a": {"members": ["b"]}}, "soup.a.members: no member is called b"),
        ({"soup__a": {"members": ["a"]}}, "soup.a.members: lists other members"),
        ({"soup__a": {"members": []}}, "soup.a.members"),
        ({"distill": None}, "distill: must be a map, {} where it holds nothing"),
        ({"distill__a": {"epochs": 1, "lr": 1, "temperature": 0}}, "distill.a.temperature"),
        (
            {
                "distill__a": {"epochs": 1, "lr": 1},
                "members__a__pretrain__epochs": 0,
                "members__a__finetune__epochs": 0,
            },
            "distill.a: pretrain and finetune of this member have 0 epochs",
        ),
        (
            {"members__a__finetune": {"epochs": 1, "lr": 1, "frozen": "all_but_norms", "drop_path": 0.1}},
            "drop_path has",
        ),
        ({"external__a": {"oof": "o.csv", "test": "t.csv"}}, "external.a: a member"),
        ({"external__blend": {"oof": "o.csv", "test": "t.csv"}}, "blend is the name"),
        ({"external__joint_probe": {"oof": "o.csv", "test": "t.csv"}}, "joint_probe is the name"),
        ({"external__A-b": {"oof": "o.csv", "test": "t.csv"}}, "external: names"),
        ({"external__e": {"oof": "o.csv"}}, "external.e.test: missing"),
        ({"external__e": {"oof": "o.csv", "test": "o.csv"}}, "external.e: oof o.csv"),
        ({"external__e": {"oof": "placeholders/none.csv", "test": "t.csv"}}, "external.e: oof placeholders"),
        ({"external__e": {"oof": "o.csv", "test": "t.csv", "columns": {"fold": "image_id"}}}, "external.e.columns"),
    ],
)
def test_mistakes_are_refused_with_their_key(change: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError) as raised:
        params.parse(whole(**change), "", Podium)
    assert words in str(raised.value)


FILES = [ROOT / "params.yaml", *sorted((ROOT / "recipes").glob("*.yaml"))]


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_one_override_of_an_experiment_changes_one_member_alone(tmp_path: Path, file: Path) -> None:
    """`dvc exp run -S` rewrites the file: shared aliases and comments behind anchors would break it."""
    before = yaml.safe_load(file.read_text())
    changes = {
        ("pretrain", "lr"): 33,
        ("finetune", "lr"): 33,
        ("model", "image_size"): 33,
        ("infer", "image_sizes"): [33],
    }
    for name in before["members"]:
        shutil.copy(file, tmp_path / "params.yaml")
        overrides = [f"members.{name}.{section}.{key}={value}" for (section, key), value in changes.items()]
        hydra.apply_overrides(tmp_path / "params.yaml", overrides)
        expected = copy.deepcopy(before)
        for (section, key), value in changes.items():
            expected["members"][name][section] = {**expected["members"][name][section], key: value}
        assert yaml.safe_load((tmp_path / "params.yaml").read_text()) == expected


def test_a_switched_off_phase_may_keep_its_recipe() -> None:
    p = params.parse(whole(members__a__pretrain={"epochs": 0, "lr": 0.1, "warmup_epochs": 3}), "", Podium)
    assert p.members["a"].pretrain.epochs == 0


def test_the_recipes_of_real_contests_have_the_same_members() -> None:
    """The smallest contest's transformer alone is trained in another way."""
    few, some, many = (
        params.read(ROOT, f"recipes/{name}.yaml")["members"] for name in ("antbee", "weather", "flower17")
    )
    assert some == many
    assert few["vit"].pop("finetune") != some["vit"].pop("finetune")
    assert few == some


@pytest.mark.parametrize("key", ["fixres", "pseudo", "soup", "distill", "extra", "external"])
def test_a_file_without_an_optional_map_is_told_the_line_to_add(key: str) -> None:
    values = whole()
    del values[key]
    with pytest.raises(InputError, match=rf"add the line `{key}: {{}}`"):
        params.parse(values, "", Podium)
