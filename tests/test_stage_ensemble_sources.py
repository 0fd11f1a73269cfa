"""Stage `ensemble` on optional inputs: fixres, external predictions, leaked labels."""

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from podium import contracts
from podium.core import tables
from stages import ensemble
from tests import prediction_tables
from tests import test_stage_ensemble as contest

FIXRES = {"image_size": 48, "epochs": 2, "lr": 0.01}


def write_fixres(root: Path, name: str, sureness: float | None = None) -> None:
    """What fixres and infer_fixres of one member would leave."""
    write_phase(root, "fixres", name, [48], sureness)


def write_phase(root: Path, phase: str, name: str, sizes: list[int], sureness: float | None = None) -> None:
    """What an optional phase of one member and its inference would leave."""
    prediction_tables.write_infer(
        root,
        phase,
        name,
        train=contest.pairs(contest.folds_table().query("fold != ''")),
        test_ids=contest.READABLE,
        folds=contest.FOLDS,
        sizes=sizes,
        transforms=["identity", "hflip"],
        seed=50,
    )
    if sureness is not None:
        path = root / f"data/infer_{phase}/{name}.parquet"
        tables.write(prediction_tables.sure(pd.read_parquet(path), sureness), path, tables.PREDICTIONS)
    for fold in contest.FOLDS:
        live = root / f"data/{phase}/{name}/{fold}.live/plots/metrics"
        tables.write_text("step\tloss\n0\t0.9\n1\t0.5\n", live / "train/loss.tsv")
        tables.write_text("step\taccuracy_score\n0\t0.5\n1\t0.75\n", live / "held_out/accuracy_score.tsv")


def write_external(root: Path, name: str, sureness: float) -> None:
    """What external@<name> would leave: scored images and readable test images."""
    used = contest.folds_table().query("use == 'train'")
    prediction_tables.write_external(root, name, contest.pairs(used), contest.READABLE, sureness)


def write_leaks(root: Path, *rows: tuple[str, str, str]) -> None:
    table = pd.DataFrame(rows, columns=["test_image_id", "train_image_id", "kind"], dtype="str")
    tables.write(table.assign(similarity=1.0), root / "data/analyze/leaks.csv", contracts.LEAKS)


def members(root: Path) -> pd.DataFrame:
    return tables.read(root / "data/ensemble/members.csv", contracts.MEMBERS).set_index("member")


def outputs(root: Path) -> dict[str, bytes]:
    folder = root / "data/ensemble"
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


def test_a_third_phase_is_chosen_where_its_cost_is_smallest(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path, fixres={"a": FIXRES})
    write_fixres(tmp_path, "a", sureness=0.97)
    ensemble.main(root=tmp_path)
    assert members(tmp_path).loc["a", ["phases", "image_sizes"]].tolist() == ["fixres", "48"]
    assert "fixres" not in members(tmp_path).loc["b", "phases"]
    curves = tables.read_text_csv(tmp_path / "data/ensemble/curves.csv")
    assert set(curves.loc[curves["member"] == "a", "phase"]) == {"finetune", "fixres"}
    assert members(tmp_path).loc["a", "score"] > members(tmp_path).loc["a", "train_size_score"]


def test_a_members_test_images_are_predicted_by_the_chosen_phase(tmp_path: Path) -> None:
    """Of one member alone, all test images are as the third phase says."""
    contest.write_inputs(tmp_path, fixres={"a": FIXRES})
    write_fixres(tmp_path, "a", sureness=0.97)
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    del values["members"]["b"]
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    ensemble.main(root=tmp_path)
    table = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST)
    assert (contest.probs(table).argmax(axis=1) == prediction_tables.truth(table)).all()


def test_a_third_phase_that_is_worse_is_not_chosen(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path, fixres={"a": FIXRES})
    write_fixres(tmp_path, "a", sureness=0.3)
    ensemble.main(root=tmp_path)
    assert "fixres" not in members(tmp_path).loc["a", "phases"]
    candidates = tables.read(tmp_path / "data/ensemble/tta.csv", contracts.TTA)
    third = candidates[candidates["phases"] == "fixres"]
    assert third[["member", "image_sizes", "chosen"]].to_numpy().tolist() == [["a", "48", ""]]
    assert (third[["gain", "log_loss_gain"]] < 0).all(axis=None)


def test_predictions_made_elsewhere_are_a_member(tmp_path: Path) -> None:
    contest.write_inputs(tmp_path, external={"theirs": {"oof": "x.csv", "test": "y.csv"}})
    write_external(tmp_path, "theirs", sureness=0.97)
    ensemble.main(root=tmp_path)
    found = contest.summary(tmp_path)
    assert (found["n_members"], found["best_member"]) == (4, "theirs")
    row = members(tmp_path).loc["theirs"]
    assert (row["phases"], row["score"]) == ("elsewhere", 1.0)
    assert row[["pretrain_score", "finetune_score"]].isna().all()
    assert row["weight"] == pytest.approx(1 / 4)
    assert (tmp_path / "data/ensemble/members/theirs.parquet").is_file()
    curves = tables.read_text_csv(tmp_path / "data/ensemble/curves.csv")
    assert set(curves["member"]) == {"a", "b"}


def test_no_image_is_predicted_by_what_its_own_outer_fold_chose(tmp_path: Path) -> None:
    """An outer fold's labels turned round change nothing about how it is predicted by any member or the blend."""
    contest.write_inputs(tmp_path)
    ensemble.main(root=tmp_path)
    path = tmp_path / "data/split/folds.csv"
    before = {name: probs_of(tmp_path, name) for name in ("members/a", "members/b", "members/joint_probe", "oof")}
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


@pytest.mark.parametrize(
    ("setting", "labelled"), [("ignore", []), ("exact", ["t1.png"]), ("near", ["t1.png", "t4.png"])]
)
def test_a_leaked_label_is_submitted_only_where_a_setting_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], setting: str, labelled: list[str]
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
    assert (f"{len(labelled)} test images get the label of a duplicate in train" in said) == bool(labelled)
    changed = (plain[setting] != plain["ignore"]).any(axis=1)
    assert list(changed.index[changed]) == labelled
    leaked_as = {"t1.png": "p:blue", "t4.png": "p:red"}
    assert all(plain[setting].loc[image, leaked_as[image]] >= 0.99 for image in labelled)
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


@pytest.mark.parametrize(("sureness", "is_chosen"), [(0.97, True), (0.3, False)])
def test_pseudo_labels_are_used_at_any_size_where_their_cost_is_smallest(
    tmp_path: Path, sureness: float, is_chosen: bool
) -> None:
    contest.write_inputs(tmp_path, pseudo={"a": {"epochs": 1, "lr": 0.01}})
    write_phase(tmp_path, "pseudo", "a", [32, 40], sureness)
    ensemble.main(root=tmp_path)
    assert ("pseudo" in members(tmp_path).loc["a", "phases"]) == is_chosen
    candidates = tables.read(tmp_path / "data/ensemble/tta.csv", contracts.TTA)
    sizes = set(candidates.loc[candidates["phases"] == "pseudo", "image_sizes"])
    assert sizes >= {"32", "40"}
    curves = tables.read_text_csv(tmp_path / "data/ensemble/curves.csv")
    assert set(curves.loc[curves["member"] == "a", "phase"]) == {"finetune", "pseudo"}


def test_images_of_a_case_are_predicted_and_scored_by_their_mean(tmp_path: Path) -> None:
    """In the estimate by data/label/cases.csv, in the submission by the ids of the list of test images."""
    contest.write_inputs(tmp_path)
    tables.write_text("own,file\n" + "".join(f"{int(i[1]) // 2},{i}\n" for i in contest.TEST), tmp_path / "test.csv")
    values = yaml.safe_load((tmp_path / "params.yaml").read_text())
    lists = {"train": "placeholders/none.csv", "test": "test.csv", "id": "own", "file": "file"}
    values["contest"] |= {"lists": lists, "submission": {"values": "probabilities", "positive": "red"}}
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(values))
    for cases in ([], ["00.png", "12.png", "24.png"]):
        table = pd.DataFrame({"image_id": cases, "case": "x"}, dtype="str")
        tables.write(table, tmp_path / "data/label/cases.csv", contracts.CASES)
        ensemble.main(root=tmp_path)
        found = {name: probs_of(tmp_path, name) for name in ("members/a", "members/joint_probe", "oof")}
        same = {name: of.loc[["00.png", "12.png", "24.png"]].drop_duplicates() for name, of in found.items()}
        assert {len(rows) for rows in same.values()} == ({1} if cases else {3})
        others = found["members/a"].drop(["00.png", "12.png", "24.png"])
        assert len(others.drop_duplicates()) == len(others)
    test = tables.read(tmp_path / "data/ensemble/test.parquet", contracts.TEST).set_index("image_id")["p:red"]
    assert test["t4.png"] == test["t5.png"] != test["t6.png"]
    submitted = tables.read_text_csv(tmp_path / "data/ensemble/submission.csv")
    assert list(submitted.iloc[:, 0]) == ["0", "1", "2", "3"]
    assert float(submitted.iloc[2, 1]) == pytest.approx(test["t4.png"])
