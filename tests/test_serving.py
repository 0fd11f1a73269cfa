"""`make predict` and `make bundle` on a tiny contest: its test images get the predictions of `ensemble` again."""

import json
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import timm
import yaml
from torch import nn

from podium import contracts
from podium.core import params, pixels, tables
from podium.core.errors import InputError
from podium.ensembling import recipe_schema
from podium.ensembling.blending import Fitting, blended
from podium.ensembling.method_registry import METHODS
from podium.ensembling.recipe_schema import RecipeFile, RecipeMember, StoredBlend, StoredDecision
from podium.inference import stored_images
from podium.predictions import calibration, member_predictions
from podium.predictions.tta import Tta
from podium.reports import ablation_steps
from podium.scoring.thresholds import ExpectedPosition, Multipliers
from podium.serving import (
    bundle,
    image_stream,
    model_card,
    network_passes,
    new_predictions,
    onnx_export,
    selection_of_members,
)
from podium.serving.standalone import cases, resize
from stages import (
    ensemble,
    finetune,
    fixres,
    infer,
    infer_fixres,
    infer_pretrain,
    joint_probe,
    pretrain,
    probe,
    weights,
)
from tests import graph, photos, tiny
from tests.graph import PROJECT
from tools import bundle as bundle_tool
from tools import kaggle, predict, submission

N_TEST, CHUNK = 11, 8
CONTEST = {"images": {"train": "train", "test": "test"}, "metric": "accuracy"}
UNTRAINED = {"pretrain": {"epochs": 0}, "finetune": {"epochs": 0}, "infer": {"transforms": ["identity"]}}


def write_project(root: Path) -> None:
    """A contest of a trained member with `fixres` and of one that is its probe, its test images as PNG files."""
    members = {"a": tiny.member(), "b": tiny.member(model={"seed": 1}, **UNTRAINED)}
    tiny.write(root, members, n_test=N_TEST)
    values = yaml.safe_load((root / "params.yaml").read_text())
    third = {"a": {"image_size": 40, "epochs": 1, "batch_size": 4, "lr": 0.01}}
    values |= {
        "contest": CONTEST,
        "fixres": third,
        "pseudo": {},
        "soup": {},
        "extra": {},
        "distill": {},
        "external": {},
        "ensemble": {"method": "equal"},
    }
    tiny.write_params(root, values | {"prepare": {"short_side": 64}})
    packed, rows = pixels.open_pack(root / "data/prepare/test/pixels.arrow"), []
    for image_id in packed.image_ids:
        (root / "test").mkdir(exist_ok=True)
        cv2.imwrite(str(root / "test" / image_id), packed[image_id][..., ::-1])
        rows.append(dict.fromkeys(contracts.FACTS.columns, "") | {"image_id": image_id})
    facts = pd.DataFrame(rows).assign(width=1, height=1, bytes=1)
    tables.write(facts, root / "data/prepare/test/facts.csv", contracts.FACTS)
    tables.write_text("", root / "placeholders/none.csv")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("finished")
    write_project(root)
    for name in "ab":
        weights.main(name, root=root)
        probe.main(name, root=root)
        for fold in "01":
            pretrain.main(name, fold, root=root)
            finetune.main(name, fold, root=root)
        infer.main(name, root=root)
        infer_pretrain.main(name, root=root)
    for fold in "01":
        fixres.main("a", fold, root=root)
    infer_fixres.main("a", root=root)
    joint_probe.main(root=root)
    ensemble.main(root=root)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(new_predictions, "chunk_size", lambda _: CHUNK)
    monkeypatch.setenv("PODIUM_WORKERS", "0")
    return shutil.copytree(finished, tmp_path / "root")


def predicted(root: Path, images: str = "test", case_table: str = "") -> pd.DataFrame:
    predict.main(str(root / images), str(root / "out.csv"), case_table, root=root)
    return tables.read_text_csv(root / "out.csv").set_index("image_id")


def change(root: Path, **changes: Any) -> None:
    path = root / recipe_schema.PATH
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def test_the_contests_own_test_images_get_their_labels_and_probabilities(root: Path) -> None:
    (root / "test/t3b.png").write_bytes(b"no image")
    found = predicted(root)
    bad = found.loc["t3b.png"]
    assert "image" in bad["problem"]
    assert (bad.drop("problem") == "").all()
    found = found.drop("t3b.png")
    test = tables.read(root / "data/ensemble/test.parquet", contracts.TEST).set_index("image_id")
    columns = ["p:blue", "p:red"]
    np.testing.assert_array_equal(found.loc[test.index, columns].astype("float32"), test[columns])  # to the bit
    submitted = tables.read_text_csv(root / "data/ensemble/submission.csv").set_index("image_id")["label"]
    assert (found["label"] == submitted[found.index]).all()
    assert (found["problem"] == "").all()


CASES = {"t1.png": "t1", "t10.png": "t1"}  # the others are one case, which comes in two chunks


@pytest.fixture
def of_cases(root: Path) -> Path:
    """The contest with test images of two cases, which a pattern tells."""
    values = yaml.safe_load((root / "params.yaml").read_text())
    values["contest"] = {**CONTEST, "lists": {"test_pattern": "^(?P<id>t1?)"}}
    tiny.write_params(root, values)
    before = json.loads((root / recipe_schema.PATH).read_text())
    ensemble.main(root=root)
    assert "cases" not in before
    return root


def test_images_of_a_case_get_its_mean_as_in_the_submission(of_cases: Path) -> None:
    root = of_cases
    (root / "test/t3b.png").write_bytes(b"no image")
    found = predicted(root)
    assert (found.loc["t3b.png", "case"], found.loc["t3b.png", "label"]) == ("t", "")
    assert "image" in found.loc["t3b.png", "problem"]
    submission.main(str(root / "out.csv"), out=str(root / "submission.csv"), root=root)
    assert (root / "submission.csv").read_bytes() == (root / "data/ensemble/submission.csv").read_bytes()
    found = found.drop("t3b.png")
    test = tables.read(root / "data/ensemble/test.parquet", contracts.TEST).set_index("image_id")
    columns = ["p:blue", "p:red"]
    np.testing.assert_array_equal(found.loc[test.index, columns].astype("float32"), test[columns])  # to the bit
    assert found.groupby("case")["p:red"].nunique().to_dict() == {"t": 1, "t1": 1}
    assert found["case"].to_dict() == {image_id: CASES.get(image_id, "t") for image_id in found.index}
    assert found["novelty"].nunique() > 2  # of the images themselves
    rows = [f"{image_id},{case}" for image_id, case in found["case"].items()]
    (root / "cases.csv").write_text("\n".join(["id,file", "x,y"]) + "\n")
    change(root, cases={"pattern": None, "file": "file", "id": None})
    with pytest.raises(InputError, match="'file'"):
        predicted(root)
    (root / "cases.csv").write_text("\n".join(["image_id,case", *rows]) + "\n")
    pd.testing.assert_frame_equal(predicted(root, case_table=str(root / "cases.csv")).drop("t3b.png"), found)
    alone = predicted(root, case_table=cases.ALONE)
    assert "case" not in alone
    assert alone["p:red"].nunique() > 2


@pytest.mark.parametrize(
    ("rule", "lines", "wanted"),
    [
        (None, ["image_id,case", "p/1.png,x", "2,x", "3.png,"], ["x", "x", ""]),
        ({"file": "f", "id": None, "pattern": None}, ["c,f", "x,1", "x,p/2"], ["x", "x", ""]),
        ({"file": "f", "id": "c", "pattern": None}, ["c,f", "x,1", "y,p/1.png"], "row 3"),
        ({"file": "f", "id": "c", "pattern": None}, ["a,f", "x,1"], "'c'"),
        (None, ["image_id,case", "/p/1.png,x"], "row 2"),
        (None, ["image_id,case", "0.png,x"], "p/1.png"),
        (None, [], "no CSV"),
    ],
)
def test_a_table_names_the_cases(rule: Any, lines: list[str], wanted: list[str] | str, tmp_path: Path) -> None:
    image_ids, path = ["p/1.png", "p/2.png", "q/3.png"], tmp_path / "cases.csv"
    path.write_text("\n".join(lines))
    if isinstance(wanted, list):
        assert cases.of_images(image_ids, rule, str(path)) == wanted
        return
    with pytest.raises(InputError, match=re.escape(wanted)):
        cases.of_images(image_ids, rule, str(path))


def test_a_table_of_cases_may_name_the_folder_and_have_other_separators(tmp_path: Path) -> None:
    rule = {"pattern": None, "file": "f", "id": "n"}
    for text in ("f,n\nnew/1.png,a \nmy/new/2,a\n", "f;n\n1.png;a\n2;a\n", "n\tf\na\t1\na\tnew/2.png\n"):
        (tmp_path / "cases.csv").write_text(text)
        assert cases.of_images(["1.png", "2.png"], rule, str(tmp_path / "cases.csv"), "new") == ["a", "a"]


def test_a_case_table_finds_an_image_as_the_contests_own_tables_do(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("image_id,case\ncaf\u00e9,x\n")
    assert cases.of_images(["p/cafe\u0301.png"], None, str(tmp_path / "cases.csv")) == ["x"]  # as macOS names it


def test_an_entry_of_two_files_is_refused_and_one_file_is_a_case_by_itself(tmp_path: Path) -> None:
    (tmp_path / "cases.csv").write_text("image_id,case\n1.png,x\n")
    with pytest.raises(InputError, match=re.escape("p/1.png, q/1.png")):
        cases.of_images(["p/1.png", "q/1.png"], None, str(tmp_path / "cases.csv"))
    assert cases.of_images(["1.png"], {"pattern": None, "file": "f", "id": None}, "") is None


def test_every_phase_size_and_probe_predicts_as_its_stage_did(root: Path) -> None:
    recipe, image_ids = recipe_schema.read(root / recipe_schema.PATH), [f"t{i}.png" for i in range(N_TEST)]
    known = member_predictions.blend_members(yaml.safe_load((root / "params.yaml").read_text()), root)
    builder = new_predictions.load(root).builder
    chunks = image_stream.chunks(image_stream.find(root / "test"), recipe.prepare, 64)
    chunk = next(chunks)
    flips = ("hflip", "identity")
    ttas = [("a", Tta((32, 40), flips, ("finetune", "probe"))), ("a", Tta((40,), flips, ("fixres",)))]
    ttas += [("a", Tta((32,), ("identity",), ("pretrain",))), ("b", Tta((40,), ("identity",), ("probe",)))]
    ttas += [("joint_probe", known["joint_probe"].default)]
    with stored_images.shared(chunk.packed, chunk.packed.image_ids, chunk.folder, "test") as images_at:
        passes = network_passes.ChunkPredictions(builder, images_at, N_TEST)
        for (name, tta), index in [(one, index) for one in ttas for index in (0, 1)]:
            values = {"source": "joint_probe" if name == "joint_probe" else "network", "image_sizes": tta.image_sizes}
            values |= {"transforms": tta.transforms, "phases": tta.phases, "prior_strength": 0}
            member = RecipeMember.model_validate({"name": name, "temperature": 1, "log_priors": {}, **values})
            stored = member_predictions.read_test(known[name], tta, sorted(image_ids), str(index), tiny.CLASSES)
            np.testing.assert_allclose(passes.calibrated(member, index), stored, atol=1e-6, err_msg=f"{name} {tta}")


def test_a_single_file_is_predicted_alone_and_an_odd_one_is_called_unlike(root: Path) -> None:
    one = predicted(root, "test/t5.png")
    folder = predicted(root)
    assert list(one.index) == ["t5.png"]
    columns = ["p:blue", "p:red"]
    np.testing.assert_allclose(one[columns].astype(float), folder.loc[["t5.png"], columns].astype(float), atol=1e-6)
    stripes = np.zeros((50, 50, 3), np.uint8)
    stripes[::9] = 255
    cv2.imwrite(str(root / "stripes.png"), stripes)
    assert predicted(root, "stripes.png").loc["stripes.png", "unlike_training"] == "yes"
    assert (folder["unlike_training"] == "yes").mean() < 0.5


def test_files_that_differ_from_those_of_the_score_are_refused(root: Path) -> None:
    path = next(path for path in json.loads((root / recipe_schema.PATH).read_text())["files"] if "weights" in path)
    (root / path).write_bytes((root / path).read_bytes()[:-1] + b"x")
    with pytest.raises(InputError, match=path):
        predicted(root)
    change(root, version=99)
    with pytest.raises(InputError, match=r"recipe\.json"):
        predicted(root)


def test_predictions_made_elsewhere_are_refused_unless_their_weight_is_0(root: Path) -> None:
    recipe = json.loads((root / recipe_schema.PATH).read_text())
    first, *others = recipe["members"]
    theirs = first | {"name": "theirs", "source": "elsewhere", "phases": ["elsewhere"]}
    shares = [1 / (len(others) + 1)] * (len(others) + 1)
    change(root, members=[first, *others, theirs], blend={"kind": "linear", "weights": [*shares, 0.0]})
    assert len(predicted(root)) == N_TEST
    change(root, members=[*others, theirs], blend={"kind": "linear", "weights": shares})
    with pytest.raises(InputError, match="theirs"):
        predicted(root)


@pytest.mark.parametrize("images", ["nothing", "empty"])
def test_where_there_is_no_image_it_is_said(root: Path, images: str) -> None:
    (root / "empty").mkdir()
    with pytest.raises(InputError, match=images):
        predicted(root, images)


@pytest.mark.parametrize("method", METHODS)
def test_a_stored_blend_is_the_fitted_one_to_the_bit(method: str) -> None:
    rng = np.random.default_rng(0)
    members = [rng.dirichlet(np.ones(3), 60).astype(np.float32) for _ in range(2)]
    fitted = METHODS[method].fit(members, Fitting(rng.integers(0, 3, 60)))
    stored = StoredBlend.model_validate_json(StoredBlend.of(fitted).model_dump_json())
    np.testing.assert_array_equal(blended(stored.build(), members), blended(fitted, members))


@pytest.mark.parametrize(
    "decision", [Multipliers(np.array([0.5, 2.0])), ExpectedPosition(np.array([1.0, 0.0]), np.array([0.31]))]
)
def test_a_stored_decision_is_the_fitted_one_to_the_bit(decision: Any) -> None:
    probs = np.random.default_rng(0).dirichlet(np.ones(2), 60).astype(np.float32)
    stored = StoredDecision.model_validate_json(StoredDecision.of(decision).model_dump_json())
    np.testing.assert_array_equal(stored.build().apply(probs), decision.apply(probs))


def test_the_schema_of_the_recipe_is_documented() -> None:
    page = (Path(__file__).parents[1] / "docs/predict.md").read_text()
    assert not [name for name in RecipeFile.model_fields if f"`{name}`" not in page]


ALONE = """
import sys
sys.path.insert(0, sys.argv[1])
import predict
predict.main(*sys.argv[2:])
print(sorted({"torch", "cv2", "pandas", "scipy", "timm", "podium"} & set(sys.modules)))
"""


@pytest.fixture(scope="module")
def bundled(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a recipe whose member `a` is the mean of its trained networks and its probe at two sizes."""
    for name in bundle_tool.NEEDED:
        pytest.importorskip(name)
    root = shutil.copytree(finished, tmp_path_factory.mktemp("bundled") / "root")
    recipe = json.loads((root / recipe_schema.PATH).read_text())
    recipe["members"][0] |= {"phases": ["finetune", "probe"], "image_sizes": [32, 40]}
    paths = [f"models/finetune/a/{fold}.safetensors" for fold in recipe["folds"]]
    files = {path: tables.file_hash(root / path) for path in paths}
    change(root, members=recipe["members"], files=recipe["files"] | files)
    bundle_tool.main("all", str(root / "bundle"), root=root)
    return root / "bundle"


def run_alone(folder: Path, images: Path, out: Path, *more: Path) -> "subprocess.CompletedProcess[str]":
    """Run a bundle's predict.py where the project cannot be imported."""
    command = [sys.executable, "-B", "-c", ALONE, *map(str, (folder, images, out, *more))]
    return subprocess.run(command, cwd=out.parent, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(("pad_type", "files"), [("same", ["x_32.onnx", "x_48.onnx"]), ("", ["x.onnx"])])
def test_a_network_that_pads_by_size_has_a_file_per_size_at_once(
    pad_type: str, files: list[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The exporter takes minutes for such a network at any size."""
    tried = []

    def exported(_exporter: Any, _model: Any, path: Path, _sizes: Any, size: int | None) -> bool:
        tried.append((path.name, size is None))
        return True

    monkeypatch.setattr(onnx_export.Exporter, "_is_exported", exported)
    network = timm.create_model("mobilenetv2_050", pad_type=pad_type)
    assert list(onnx_export.Exporter().write(network, tmp_path, "x", [32, 48]).values()) == files
    assert tried == [(name, not pad_type) for name in files]


@pytest.mark.slow
def test_a_second_network_is_not_traced_again_unless_it_is_of_another_kind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in bundle_tool.NEEDED:
        pytest.importorskip(name)
    traced, trace = [], onnx_export._trace

    def counted(model: nn.Module, size: int, *, any_size: bool) -> Any:
        traced.append(size)
        return trace(model, size, any_size=any_size)

    monkeypatch.setattr(onnx_export, "_trace", counted)
    exporter = onnx_export.Exporter()
    layers: list[tuple[nn.Module, ...]] = [(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten()) for _ in range(2)]
    layers.append((nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten()))
    for number, (parts, n_traced) in enumerate(zip(layers, (1, 1, 2), strict=True)):  # `write` compares the outputs
        nn.init.normal_(parts[0].weight)  # type: ignore[arg-type]
        assert len(exporter.write(nn.Sequential(*parts), tmp_path, str(number), [32])) == 1
        assert len(traced) == n_traced


def test_a_bundle_that_is_ended_leaves_the_earlier_one_and_no_other_folder(tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    for name in ("bundle", "bundle.tmp", "bundle.old.tmp"):  # the last two are a killed process's
        (tmp_path / name).mkdir()
        (tmp_path / name / "of").write_text("before")

    def write(text: str) -> None:
        with bundle.replacing_folder(out) as folder:
            assert not list(folder.iterdir())
            (folder / "of").write_text(text)
            if text == "ended":
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write("ended")
    assert [(path.name, (path / "of").read_text()) for path in tmp_path.iterdir()] == [("bundle", "before")]
    write("after")
    assert [(path.name, (path / "of").read_text()) for path in tmp_path.iterdir()] == [("bundle", "after")]


@pytest.mark.slow
def test_a_bundle_predicts_alone_what_make_predict_predicts(root: Path, bundled: Path) -> None:
    shutil.copy(bundled.parent / recipe_schema.PATH, root / recipe_schema.PATH)
    (root / "test/t3b.png").write_bytes(b"no image")
    cv2.imwrite(str(root / "test/wide.jpg"), photos.photo(1, 90, 200))
    cv2.imwrite(str(root / "test/small.png"), photos.photo(2, 20, 24))
    (root / "cases.csv").write_text("image_id,case\nt1,x\nt10,x\nwide,x\nt3b,x\nsmall.png,y\n")
    for more in ([], [root / "cases.csv"]):
        done = run_alone(bundled, root / "test", root / "alone.csv", *more)
        assert done.stdout == "[]\n", done.stderr
        alone = tables.read_text_csv(root / "alone.csv").set_index("image_id")
        here = predicted(root, case_table="".join(map(str, more)))
        assert list(alone.columns) == list(here.columns)
        for column in alone.columns.intersection(["case", "label", "unlike_training", "problem"]):
            assert (alone[column] == here[column]).all(), column
        read = here["problem"] == ""
        for column in ("p:blue", "p:red", "novelty"):
            np.testing.assert_allclose(
                alone.loc[read, column].astype(float), here.loc[read, column].astype(float), atol=1e-4
            )


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="this system has no affinity")
def test_a_bundle_uses_the_cores_that_it_may_use(monkeypatch: pytest.MonkeyPatch) -> None:
    """onnxruntime would use all of the machine: a container with one core of many would be slow."""
    pytest.importorskip("onnxruntime")
    from podium.serving.standalone import predict as alone

    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {3, 5, 6})
    assert alone._session_options().intra_op_num_threads == 3


@pytest.mark.slow
@pytest.mark.parametrize("name", ["networks.json", "manifest.json", "recipe.json", "blend.py"])
def test_a_file_that_was_tampered_with_is_refused(bundled: Path, tmp_path: Path, name: str) -> None:
    copied = shutil.copytree(bundled, tmp_path / "copy")
    (copied / name).write_text((copied / name).read_text() + "\n")
    done = run_alone(copied, bundled.parent / "test", tmp_path / "out.csv")
    assert name in done.stderr
    assert done.returncode != 0
    assert not (tmp_path / "out.csv").exists()


def test_a_bundle_holds_card_licences_and_a_zip_of_itself(bundled: Path) -> None:
    names = {path.relative_to(bundled).as_posix() for path in bundled.rglob("*") if path.is_file()}
    assert names >= {"predict.py", "recipe.json", "manifest.json", "model_card.md", "LICENCES.md"}
    assert not [name for name in names if name.endswith((".pkl", ".pt", ".pth"))]
    with zipfile.ZipFile(f"{bundled}.zip") as opened:
        assert set(opened.namelist()) == {f"bundle/{name}" for name in names}
    card, recipe = (bundled / "model_card.md").read_text(), recipe_schema.read(bundled / "recipe.json")
    assert f"{recipe.score.oof_score_low} to {recipe.score.oof_score_high}" in card


@pytest.mark.parametrize(("at_chance", "said"), [([], "wrong: 3 of 9"), (["a"], "not known, because no member is")])
def test_a_model_card_counts_suspected_labels_unless_all_members_are_at_chance(
    tmp_path: Path, at_chance: list[str], said: str
) -> None:
    summary = {"members": ["a"], "members_at_chance": at_chance, "flagged": 3, "reviewed": 9}
    tables.write_json(summary, tmp_path / "data/review/summary.json")
    assert said in "\n".join(model_card._findings(tmp_path))


def test_one_member_has_its_own_score_and_no_other_member(root: Path) -> None:
    recipe = recipe_schema.read(root / recipe_schema.PATH)
    members = tables.read(root / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")
    best = selection_of_members.select(recipe, "best", root)
    assert best.members[0].name == members["score"].idxmax()
    alone = selection_of_members.select(recipe, "b", root)
    assert [member.name for member in alone.members] == ["b"]
    assert alone.score.oof_score == pytest.approx(members.loc["b", "score"], abs=1e-6)
    with pytest.raises(InputError, match="nobody"):
        selection_of_members.select(recipe, "nobody", root)


def add_student(root: Path, **settings: str) -> None:
    """Add a student that has learned nothing from the blend."""
    values = yaml.safe_load((root / "params.yaml").read_text())
    tiny.write_params(root, values | {"distill": {"a": {"epochs": 1, "batch_size": 4, "lr": 0.01, **settings}}})
    for kind in ("models", "data"):
        shutil.copytree(root / f"{kind}/finetune", root / f"{kind}/distill", dirs_exist_ok=True)


def test_the_distilled_student_is_one_network_with_its_own_score(root: Path) -> None:
    recipe = recipe_schema.read(root / recipe_schema.PATH)
    with pytest.raises(InputError, match="distill"):
        selection_of_members.select(recipe, "distilled", root)
    add_student(root)
    shutil.rmtree(root / "models/distill")
    with pytest.raises(InputError, match=r"models/distill/a/0\.safetensors"):
        selection_of_members.select(recipe, "distilled", root)
    add_student(root)
    found = selection_of_members.select(recipe, "distilled", root)
    assert (found.folds, found.members[0].phases) == (["0"], ["distill"])
    assert found.score.oof_score_low <= found.score.oof_score <= found.score.oof_score_high
    assert (found.members[0].prior_strength, found.members[0].log_priors) == (0, {})
    add_student(root, class_weights="balanced")
    (student,) = selection_of_members.select(recipe, "distilled", root).members
    used = ablation_steps.load(root)
    logs = calibration.log_probs(ablation_steps.student_probs(used, "a"))
    shifts = calibration.prior_shifts(used.images.targets, used.images.folds, len(tiny.CLASSES))
    fitted = calibration.fit(logs, used.images.targets, shifts[used.images.folds])
    assert (student.temperature, student.prior_strength) == (fitted.temperature, fitted.prior_strength)
    assert student.log_priors == {"0": pytest.approx(shifts[0])}


@pytest.mark.slow
def test_a_bundle_of_the_distilled_student_holds_one_trained_network(
    root: Path, bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add_student(root)

    def copy(_exporter: Any, _model: nn.Module, folder: Path, name: str, _sizes: object) -> dict[str, str]:
        """In the place of an export, which takes seconds: the student's networks are those of phase 2."""
        known = bundled / "networks" / f"{name.replace('distill', 'finetune')}.onnx"
        return {onnx_export.ANY: Path(shutil.copy(known, folder / f"{name}.onnx")).name}

    monkeypatch.setattr(onnx_export.Exporter, "write", copy)
    bundle_tool.main("distilled", str(tmp_path / "small"), root=root)
    names = [path.name for path in (tmp_path / "small/networks").iterdir()]
    assert [name for name in names if name.startswith("trained")] == ["trained_distill_a_0.onnx"]
    done = run_alone(tmp_path / "small", root / "test", tmp_path / "alone.csv")
    assert done.returncode == 0, done.stderr
    assert len(tables.read_text_csv(tmp_path / "alone.csv")) == N_TEST


def test_a_table_of_predictions_becomes_the_submission(root: Path) -> None:
    predicted(root)
    submission.main(str(root / "out.csv"), out=str(root / "submission.csv"), root=root)
    assert (root / "submission.csv").read_bytes() == (root / "data/ensemble/submission.csv").read_bytes()
    (root / "other.csv").write_text("image_id,problem\nt1.png,\n")
    with pytest.raises(InputError, match="p:blue"):
        submission.main(str(root / "other.csv"), root=root)


def test_nothing_is_packed_for_kaggle_without_a_bundle(root: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="bundle"):
        kaggle.main(str(tmp_path / "kaggle"), root=root)


def notebook(kaggle_folder: Path) -> str:
    """The cell of docs/kaggle.md, with another folder in place of /kaggle."""
    cell = (PROJECT / "docs/kaggle.md").read_text().split("%%bash\n")[1].split("```")[0]
    return cell.replace("/kaggle/", f"{kaggle_folder}/")


@pytest.mark.slow
def test_a_kaggle_notebook_writes_the_submission_without_a_network(
    bundled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kaggle, "PYTHONS", ())  # no wheels: onnxruntime is installed here
    inputs = tmp_path / "input"
    kaggle.main(str(inputs), "birds", root=bundled.parent)
    sets = {path.name: json.loads((path / "dataset-metadata.json").read_text()) for path in inputs.iterdir()}
    assert {name: values["title"] for name, values in sets.items()} == {name: name for name in sets}
    with zipfile.ZipFile(inputs / "birds-bundle/bundle.zip") as opened:  # one data set as Kaggle unpacks it
        opened.extractall(inputs / "birds-bundle/bundle")
    (inputs / "birds-bundle/bundle.zip").unlink()
    shutil.copytree(bundled.parent / "test", inputs / "my-contest/test")
    rows = [f"t{i},red" for i in reversed(range(N_TEST))]
    (inputs / "my-contest/sample_submission.csv").write_text("\n".join(["id,colour", *rows]) + "\n")
    alone = ["unshare", "-rn"] if subprocess.run(["unshare", "-rn", "true"], check=False).returncode == 0 else []
    environment = {"PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin", "HOME": str(tmp_path)}
    cell = notebook(tmp_path).replace("PREFIX=podium", "PREFIX=birds")
    done = subprocess.run([*alone, "bash", "-c", cell], env=environment, text=True, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    table = tables.read_text_csv(tmp_path / "working/podium/predictions.csv").set_index("image_id")
    wanted = [f"t{i},{table.loc[f't{i}.png', 'label']}" for i in reversed(range(N_TEST))]
    assert (tmp_path / "working/submission.csv").read_text().splitlines() == ["id,colour", *wanted]


def outputs_alone(root: Path) -> dict[str, Any]:
    """The project's dvc.yaml without what its stages run and depend on, and without outputs that are not here."""
    stages = yaml.safe_load((PROJECT / "dvc.yaml").read_text())["stages"]
    values, kept = yaml.safe_load((root / "params.yaml").read_text()), {}
    for name, spec in stages.items():
        keys = {key: spec[key] for key in ("foreach", "matrix") if key in spec}
        items = params.section(values, spec.get("foreach", spec.get("matrix", {}).get("member", "${folds}"))[2:-1])
        outs = [out for out in spec.get("do", spec)["outs"] if isinstance(out, str) and are_there(root, out, items)]
        if outs:
            body = {"cmd": "true", "outs": outs}
            kept[name] = {**keys, "do": body} if "foreach" in spec else {**keys, **body}
    return {"stages": kept}


def are_there(root: Path, out: str, items: Iterable[Any]) -> bool:
    """Say whether an output is there for each item of a map."""
    one = out.replace("${item.fold}", "0")
    return all((root / one.replace("${key}", str(i)).replace("${item.member}", str(i))).exists() for i in items)


@pytest.mark.slow
def test_a_second_clone_predicts_what_dvc_pull_brings(root: Path, tmp_path: Path) -> None:
    wanted, aside = predicted(root), tmp_path / "aside"
    (aside / "bin").mkdir(parents=True)
    (root / "out.csv").unlink()
    (root / "dvc.yaml").write_text(yaml.safe_dump(outputs_alone(root)))
    for name in (".gitignore", ".dvcignore"):
        shutil.copy(PROJECT / name, root / name)
    first, second = graph.Graph(root, aside), graph.Graph(tmp_path / "second", aside)
    first.run("git", "init", "-q")
    first.run("dvc", "init", "-q")
    first.run("dvc", "remote", "add", "-d", "share", str(tmp_path / "remote"))
    first.run("dvc", "commit", "-f", "-q")
    first.run("git", "add", "-A")
    first.run("git", "-c", "user.name=t", "-c", "user.email=t@example.invalid", "commit", "-qm", "a run")
    first.run("dvc", "push", "-q")
    first.run("git", "clone", "-q", str(root), str(second.root))
    assert not (second.root / "models/finetune").exists()
    second.run("dvc", "pull", "-q")
    predict.main(str(root / "test"), str(tmp_path / "out.csv"), root=second.root)
    pd.testing.assert_frame_equal(tables.read_text_csv(tmp_path / "out.csv").set_index("image_id"), wanted)


@pytest.mark.parametrize(("shape", "side"), [((183, 276), 224), ((224, 400), 288), ((144, 350), 224)])
def test_an_image_that_grows_on_one_side_is_resized_as_by_opencv(shape: tuple[int, int], side: int) -> None:
    """Output pixels fall on whole input pixels there, up to the last bit of the scale."""
    image = photos.photo(3, *shape)
    found = resize.resize(image, (side, side), resize.INTER_AREA).astype(int)
    wanted = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA).astype(int)
    assert np.abs(found - wanted).max() <= 1


@pytest.mark.parametrize(
    "target", [(32, 32), (40, 40), (224, 224), (64, 20), (20, 64), (50, 100), (97, 31), (100, 190)]
)
def test_resizing_in_numpy_is_opencvs(target: tuple[int, int]) -> None:
    image = photos.photo(3, 100, 128)
    for ours, theirs in ((resize.INTER_AREA, cv2.INTER_AREA), (resize.INTER_CUBIC, cv2.INTER_CUBIC)):
        if ours == resize.INTER_AREA and target[0] * target[1] > 100 * 128:
            continue
        found = resize.resize(image, target, ours).astype(int)
        wanted = cv2.resize(image, target, interpolation=theirs).astype(int)
        assert np.abs(found - wanted).max() <= 1
        assert (found != wanted).mean() < 0.002
