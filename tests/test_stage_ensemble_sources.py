"""Stage `ensemble` on what is no member's usual phase: fixres, predictions made elsewhere, labels that leak."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from stages import ensemble
from tests import test_stage_ensemble as contest

READABLE = [image_id for image_id in contest.TEST if image_id != contest.UNREADABLE_TEST]
FIXRES = {"image_size": 48, "epochs": 2, "lr": 0.01}


def truth(table: pd.DataFrame) -> pd.Series:
    return table["image_id"].str.extract(r"(\d+)")[0].astype(int) % 2


def sure(table: pd.DataFrame, sureness: float) -> pd.DataFrame:
    """The same rows by a model that is right, and so sure of it."""
    red = truth(table).map({1: sureness, 0: 1 - sureness}).astype(np.float32)
    return table.assign(**{"p:red": red, "p:blue": 1 - red})


def write_fixres(root: Path, name: str, sureness: float | None = None) -> None:
    """What fixres and infer_fixres of one member would leave."""
    folds = contest.folds_table().query("fold != ''")
    transforms = ["identity", "hflip"]
    subsets = [contest.predicted("train", contest.pairs(folds), [48], transforms, seed=50)]
    subsets.append(
        contest.predicted("test", list(itertools.product(READABLE, contest.FOLDS)), [48], transforms, seed=51)
    )
    table = pd.concat(subsets)
    table = table if sureness is None else sure(table, sureness)
    tables.write(table, root / f"data/infer_fixres/{name}.parquet", tables.PREDICTIONS)
    for fold in contest.FOLDS:
        live = root / f"data/fixres/{name}/{fold}.live/plots/metrics"
        tables.write_text("step\tloss\n0\t0.9\n1\t0.5\n", live / "train/loss.tsv")
        tables.write_text("step\taccuracy_score\n0\t0.5\n1\t0.75\n", live / "held_out/accuracy_score.tsv")


def write_external(root: Path, name: str, sureness: float) -> None:
    """What external@<name> would leave: scored images and readable test images."""
    used = contest.folds_table().query("use == 'train'")
    size, transform = [contracts.EXTERNAL_IMAGE_SIZE], [contracts.EXTERNAL_TRANSFORM]
    train = contest.predicted("train", contest.pairs(used), size, transform, seed=1)
    test = contest.predicted(
        "test", [(image_id, contracts.EXTERNAL_TEST_FOLD) for image_id in READABLE], size, transform, seed=2
    )
    table = pd.concat([sure(train, sureness), sure(test, sureness)])
    tables.write(table, root / f"data/external/{name}.parquet", tables.PREDICTIONS)


def write_leaks(root: Path, *rows: tuple[str, str, str]) -> None:
    table = pd.DataFrame(rows, columns=["test_image_id", "train_image_id", "kind"], dtype="str")
    tables.write(table.assign(similarity=1.0), root / "data/analyze/leaks.csv", contracts.LEAKS)


def members(root: Path) -> pd.DataFrame:
    return tables.read(root / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")


def outputs(root: Path) -> dict[str, bytes]:
    folder = root / "data/ensemble"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_third_phase_is_taken_where_it_is_surely_better(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path, fixres={"a": FIXRES})
    write_fixres(tmp_path, "a", sureness=0.97)
    ensemble.main(root=tmp_path)
    assert members(tmp_path).loc["a", ["phase", "image_sizes"]].tolist() == ["fixres", "48"]
    assert members(tmp_path).loc["b", "phase"] == "finetune"
    curves = tables.read_text_csv(tmp_path / "data/ensemble/curves.csv")
    assert set(curves.loc[curves["member"] == "a", "phase"]) == {"finetune", "fixres"}
    assert members(tmp_path).loc["a", "score"] > members(tmp_path).loc["a", "train_size_score"]


def test_the_test_images_of_a_member_are_read_of_the_phase_that_is_taken(tmp_path: Path) -> None:
    """Of one member alone, all test images are as the third phase says."""
    contest.write_inputs(tmp_path, fixres={"a": FIXRES})
    write_fixres(tmp_path, "a", sureness=0.97)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    del values["members"]["b"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    ensemble.main(root=tmp_path)
    table = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    assert (contest.probs(table).argmax(axis=1) == truth(table)).all()


def test_a_third_phase_that_is_no_better_is_not_taken(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path, fixres={"a": FIXRES})
    write_fixres(tmp_path, "a")
    ensemble.main(root=tmp_path)
    assert members(tmp_path).loc["a", "phase"] == "finetune"
    sizes = tables.read(tmp_path / "data/ensemble/tta.csv", contracts.TTA)
    assert (sizes.loc[sizes["phase"] == "fixres", "verdict"] != "chosen").all()
    assert (sizes["phase"] == "fixres").sum() == 1


def test_predictions_made_elsewhere_are_a_member(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path, external={"theirs": {"oof": "x.csv", "test": "y.csv"}})
    write_external(tmp_path, "theirs", sureness=0.97)
    ensemble.main(root=tmp_path)
    found = contest.summary(tmp_path)
    assert (found["n_members"], found["best_member"]) == (3, "theirs")
    row = members(tmp_path).loc["theirs"]
    assert (row["phase"], row["score"]) == ("elsewhere", 1.0)
    assert row[["pretrain_score", "finetune_score"]].isna().all()
    assert row["weight"] == pytest.approx(1 / 3)
    assert (tmp_path / "data/ensemble/members/theirs.parquet").is_file()
    curves = tables.read_text_csv(tmp_path / "data/ensemble/curves.csv")
    assert set(curves["member"]) == {"a", "b"}


def test_what_was_chosen_for_a_member_alone_is_not_what_its_own_images_chose(tmp_path: Path) -> None:
    """A subset's labels turned round change nothing about how that subset is predicted by any member."""
    contest.write_inputs(tmp_path)
    ensemble.main(root=tmp_path)
    path = tmp_path / "data/split/folds.csv"
    before = {name: probs_of(tmp_path, name) for name in ("members/a", "members/b", "best_member", "oof")}
    folds = tables.read(path, tables.FOLDS)
    here = folds["fold"] == "1"
    folds.loc[here, "label"] = folds.loc[here, "label"].map({"red": "blue", "blue": "red", "": ""})
    tables.write(folds, path, tables.FOLDS)
    ensemble.main(root=tmp_path)
    for name, then in before.items():
        now = probs_of(tmp_path, name)
        images = [image_id for image_id in folds.loc[here, "image_id"] if image_id in then.index]
        pd.testing.assert_frame_equal(now.loc[images], then.loc[images])
        assert not now.equals(then)


def probs_of(root: Path, name: str) -> pd.DataFrame:
    table = tables.read(root / f"data/ensemble/{name}.parquet", contracts.OOF).set_index("image_id")
    return table[["p:blue", "p:red"]]


@pytest.mark.parametrize(("setting", "told"), [("ignore", []), ("exact", ["t1.png"]), ("near", ["t1.png", "t4.png"])])
def test_a_leaked_label_is_submitted_only_where_a_setting_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, told: list[str]
) -> None:
    plain: dict[str, Any] = {}
    for rule in ("ignore", setting):
        root = tmp_path / rule
        root.mkdir(exist_ok=True)
        contest.write_inputs(root, ensemble={"method": "equal", "leaked_labels": rule})
        write_leaks(root, ("t1.png", "00.png", "exact"), ("t4.png", "01.png", "near"))
        capsys.readouterr()
        ensemble.main(root=root)
        plain[rule] = tables.read(root / "data/ensemble/test.parquet", contracts.TEST).set_index("image_id")
    said = capsys.readouterr().out
    assert (f"{len(told)} test images get the label of a duplicate in train" in said) == bool(told)
    changed = (plain[setting] != plain["ignore"]).any(axis=1)
    assert list(changed.index[changed]) == told
    leaked_as = {"t1.png": "p:blue", "t4.png": "p:red"}
    assert all(plain[setting].loc[image, leaked_as[image]] >= 0.99 for image in told)
    scores = [contest.summary(tmp_path / rule) for rule in ("ignore", setting)]
    assert scores[0] == scores[1]


def test_order_of_sections_and_rows_changes_no_byte(tmp_path: Path) -> None:
    written = []
    for turned in (False, True):
        root = tmp_path / str(turned)
        root.mkdir()
        contest.write_inputs(root, fixres={"a": FIXRES}, external={"theirs": {"oof": "x.csv", "test": "y.csv"}})
        write_fixres(root, "a", sureness=0.9)
        write_external(root, "theirs", sureness=0.9)
        if turned:
            contest.reverse(root)
        ensemble.main(root=root)
        written.append(outputs(root))
    assert written[0] == written[1]
