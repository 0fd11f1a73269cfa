import json
from dataclasses import replace

import pandas as pd
import pytest

from demo import score
from podium import contracts
from podium.core import tables
from podium.core.errors import InputError
from podium.reports import ablation, ablation_steps, diversity
from podium.scoring import scores
from tools import results, speed, variants

SUMMARY = {
    "metric": "accuracy",
    "oof_score": 0.93,
    "oof_score_low": 0.91,
    "oof_score_high": 0.95,
    "oof_score_naive": 0.94,
    "oof_log_loss": 0.25,
    "n_test_images": 20,
}
PARAMS = (
    "contest:\n  images: {{train: {0}/train, test: {0}/test}}\nensemble: {{leaked_labels: {1}}}\n"
    "members: {{weak: {{}}, strong_one: {{}}}}\nfixres: {{weak: {{}}}}\npseudo: {{}}\nsoup: {{}}\n"
    "distill: {{}}\nextra: {{}}\nexternal: {{}}\n"
)
COMPARED = {name: 0.01 if kind == "float" else "mixed" for name, kind in contracts.COMPARISON.items()}
FOLDS = """image_id,label,use,reason,group,fold
1.jpg,0,train,,1.jpg,0
2.jpg,1,train,,1.jpg,0
3.jpg,1,train,,3.jpg,1
"""
LEAKS = "test_image_id,train_image_id,kind,similarity\n"


def write_facts(root, problems):
    rows = [[name, 4, 4, "RGB", "JPEG", 9, "", problem, ""] for name, problem in problems.items()]
    table = pd.DataFrame(rows, columns=list(contracts.FACTS.columns))
    tables.write(table, root / results.TEST_FACTS, contracts.FACTS)


def write_worth(root, **effects):
    compared = COMPARED | {"gain": -0.01, "low": -0.02, "high": -0.001}
    rows = [
        {"member": name, "score": 0.7, **compared, "most_alike": "", "effect": effect, "sentence": ""}
        for name, effect in ({"weak": "unclear", "strong_one": "helps"} | effects).items()
    ]
    tables.write(pd.DataFrame(rows), root / results.WORTH, diversity.MEMBER_VALUE)


def write_methods(root, *chosen):
    """Write the methods equal and greedy, of which one is chosen; none for an only member."""
    rows = [
        {"method": name, "score": 0.93, "log_loss": 0.3, "cost": 0.3, **COMPARED}
        | {"chosen": "yes" if name in chosen else "", "chosen_in_outer_folds": 2}
        for name in (("equal", "greedy") if chosen else ())
    ]
    tables.write(pd.DataFrame(rows, columns=list(contracts.METHODS.columns)), root / results.METHODS, contracts.METHODS)


@pytest.fixture
def built(tmp_path):
    """Write what a finished run of two members leaves behind."""
    (tmp_path / "params.yaml").write_text(PARAMS.format("demo/images", "ignore"))
    tables.write_text(
        "member,weight,image_sizes,transforms,phases,train_size_score,score,log_loss,pretrain_score,finetune_score\n"
        "weak,0.25,80,identity,fixres,0.7,0.7,0.6,,0.7\n"
        "strong_one,0.75,64 80,identity,finetune,0.9,0.91,0.3,0.8,0.9\n",
        tmp_path / "data/ensemble/members.csv",
    )
    tables.write_text("image_id,label\na.jpg,1\nb.jpg,0\n", tmp_path / "data/ensemble/submission.csv")
    tables.write_text("image_id,label\nb.jpg,1\na.jpg,1\n", tmp_path / "demo/images/private_labels.csv")
    tables.write_text(FOLDS, tmp_path / "data/split/folds.csv")
    tables.write_json({"warnings": []}, tmp_path / "data/label/summary.json")
    tables.write_text(LEAKS, tmp_path / "data/analyze/leaks.csv")
    write_facts(tmp_path, {"a.jpg": "", "b.jpg": ""})
    write_methods(tmp_path, "equal")
    write_worth(tmp_path)
    tables.write_text(json.dumps(SUMMARY), tmp_path / "metrics/summary.json")
    return tmp_path


def test_shows_members_best_first_then_the_blend_and_the_private_score(built, capsys):
    results.main(root=built)
    lines = capsys.readouterr().out.splitlines()
    starts = [line.split()[0] for line in lines if line.strip("- ")]
    assert starts == ["out", "strong_one", "weak", "blend", "blend", "same", "method", "tried", "submission", "private"]
    text = " ".join(lines)
    assert "95% interval 0.9100 to 0.9500" in text
    assert "it would be 0.9400" in text
    assert "1 variant of this contest is known" in text
    assert "80 (fixres)" in lines[3]
    assert lines[2].split() == ["strong_one", "64", "80", "0.75", "0.9100", "0.3000"]
    assert "private accuracy 0.5000" in lines[-1]
    assert max(map(len, lines)) <= 100


def test_the_method_is_named_with_its_reason(built, capsys):
    results.main(root=built)
    assert "method           equal: the smallest left-out cost" in capsys.readouterr().out
    write_methods(built, "greedy")
    results.main(root=built)
    assert "method           greedy: the smallest left-out cost" in capsys.readouterr().out
    write_methods(built)
    results.main(root=built)
    assert "method  " not in capsys.readouterr().out  # an only member
    path = built / "params.yaml"
    path.write_text(path.read_text().replace("ensemble: {", "ensemble: {method: logits, "))
    results.main(root=built)
    assert "method           logits: set in ensemble.method" in capsys.readouterr().out


def test_a_harmful_member_is_listed_with_the_command_that_tries_without_it(built, capsys):
    write_worth(built, weak="harms")
    results.main(root=built)
    printed = capsys.readouterr().out
    assert "weak harms the equal mean: with it -0.0100 in the metric\n" in printed
    assert "(-0.0200 to -0.0010" in printed
    assert "try without it: dvc exp run -S '~members.weak' -S '~fixres.weak'\n" in printed
    assert max(map(len, printed.splitlines())) <= 100
    members = tables.read(built / results.MEMBERS, contracts.MEMBERS)
    tables.write(members.assign(weight=[0.0, 1.0]), built / results.MEMBERS, contracts.MEMBERS)
    results.main(root=built)
    assert "harms" not in capsys.readouterr().out


def test_the_command_takes_a_member_out_of_the_soups_of_others(built, capsys):
    path = built / "params.yaml"
    path.write_text(path.read_text().replace("soup: {}", "soup: {strong_one: {members: [weak]}}"))
    write_worth(built, weak="harms")
    results.main(root=built)
    expected = "try without it: dvc exp run -S '~members.weak' -S '~fixres.weak' -S '~soup.strong_one'\n"
    assert expected in capsys.readouterr().out


def test_the_joint_probe_is_listed_and_has_no_command_that_tries_without_it(built, capsys):
    members = tables.read(built / results.MEMBERS, contracts.MEMBERS)
    joint = members.iloc[[0]].assign(member="joint_probe", phases="joint_probe", image_sizes="0", weight=0.1)
    both = members.iloc[[1]].assign(phases="finetune probe")
    tables.write(pd.concat([members.iloc[[0]], both, joint]), built / results.MEMBERS, contracts.MEMBERS)
    write_worth(built, joint_probe="harms")
    results.main(root=built)
    printed = capsys.readouterr().out
    assert "all members'" in printed
    assert "64 80 (finetune + probe)" in printed
    assert "joint_probe harms" in printed
    assert "try without" not in printed
    assert max(map(len, printed.splitlines())) <= 100


def test_the_only_member_beside_external_predictions_cannot_be_left_out(built, capsys):
    write_worth(built, weak="harms")
    path = built / "params.yaml"
    only = path.read_text().replace("strong_one: {}}", "}").replace("external: {}", "external: {strong_one: {}}")
    path.write_text(only)
    results.main(root=built)
    printed = capsys.readouterr().out
    assert "weak harms" in printed
    assert "try without" not in printed


def test_a_second_variant_is_counted_and_the_lead_of_the_better_one_is_reported(built, capsys):
    results.main(root=built)
    tables.write_json({**SUMMARY, "oof_score": 0.95}, built / "metrics/summary.json")
    results.main(root=built)
    lines = capsys.readouterr().out.splitlines()
    assert "2 variants of this contest" in " ".join(lines)
    assert "0.9500, leads their mean by 0.0100" in " ".join(line.strip() for line in lines)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(("other", "said"), [(0.949, "about 0.0005"), (0.5, "at most 0.0060")])
def test_a_bad_variant_does_not_make_a_good_score_optimistic(other: float, said: str) -> None:
    """The lead over a dry run is not chance; so many equally good variants differ by what the interval allows."""
    text = variants.summary_text([0.95, other], greater_is_better=True, interval=(0.94, 0.96))
    assert f"too optimistic by {said}" in text.replace("\n", " ")


def test_log_loss_stands_once_and_lowest_first(built, capsys):
    tables.write_json(
        {**SUMMARY, "metric": "log_loss", "oof_score": 0.4, "oof_log_loss": 0.4}, built / "metrics/summary.json"
    )
    results.main(root=built)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].count("log loss") == 1
    assert lines[2].startswith("weak")  # its score, a loss here, is the lower one


def test_a_loss_that_is_added_to_the_registry_has_its_lowest_first(built, capsys, monkeypatch):
    loss = replace(scores.METRICS["log_loss"], name="brier")
    monkeypatch.setitem(scores.METRICS, "brier", loss)
    earlier = built / "logs/variants.csv"
    for score_ in (0.2, 0.4):
        tables.write_json({**SUMMARY, "metric": "brier", "oof_score": score_}, built / "metrics/summary.json")
        results.main(root=built)
    assert earlier.exists()
    printed = capsys.readouterr().out.split("out of fold")[-1].splitlines()
    assert printed[2].startswith("weak")
    assert "the best, 0.2000" in " ".join(line.strip() for line in printed)


def test_a_users_contest_has_no_private_score(built, capsys):
    (built / "params.yaml").write_text(PARAMS.format("data/contest", "ignore"))
    results.main(root=built)
    assert "private" not in capsys.readouterr().out


def test_own_folds_that_split_duplicates_are_reported(built, capsys):
    results.main(root=built)
    assert "your own folds" not in capsys.readouterr().out
    tables.write_text(FOLDS.replace("1.jpg,0\n3", "1.jpg,1\n3"), built / "data/split/folds.csv")
    results.main(root=built)
    out = capsys.readouterr().out
    assert "your own folds split 1 groups" in out
    assert "(2 of 3 images)" in out
    tables.write_text(FOLDS.replace("1,train,,1.jpg,0", "1,skip,,1.jpg,1"), built / "data/split/folds.csv")
    results.main(root=built)
    assert "your own folds" not in capsys.readouterr().out  # a skipped image is neither trained on nor scored


@pytest.mark.parametrize(
    ("setting", "words"),
    [("ignore", "ignores"), ("exact", "if exact ones agree"), ("near", "if they agree")],
)
def test_test_images_with_a_duplicate_in_train_are_reported(built, capsys, setting, words):
    results.main(root=built)
    assert "duplicate" not in capsys.readouterr().out
    (built / "params.yaml").write_text(PARAMS.format("data/contest", setting))
    rows = "t1.jpg,1.jpg,exact,1\nt1.jpg,2.jpg,near,0.98\nt2.jpg,1.jpg,mirrored,0.99\n"
    tables.write_text(LEAKS + rows, built / "data/analyze/leaks.csv")
    results.main(root=built)
    out = capsys.readouterr().out
    assert "test images      2 of 20 have a duplicate in train, 1 an exact one;\n" in out
    assert words in out
    assert f"ensemble.leaked_labels: {setting})\n" in out
    assert max(map(len, out.splitlines())) <= 100


def test_skipped_and_unreadable_images_are_counted(built, capsys):
    results.main(root=built)
    assert "skipped" not in capsys.readouterr().out
    write_facts(built, {"a.jpg": "", "b.jpg": "truncated or damaged", "c.jpg": "no image"})
    tables.write_text(FOLDS + "4.jpg,1,skip,truncated or damaged,,\n", built / "data/split/folds.csv")
    results.main(root=built)
    printed = capsys.readouterr().out
    assert "1 of 4 train images (reasons: data/split/folds.csv)" in printed
    assert "2 of 3 test images cannot be read" in printed
    assert max(map(len, printed.splitlines())) < 100


def test_what_label_warned_of_and_files_that_are_no_images_are_repeated(built, capsys):
    warning = "56 of 90 labels have no image; " + "words " * 30
    tables.write_json({"warnings": [warning, "another"]}, built / "data/label/summary.json")
    write_facts(built, {"a.jpg": "", "README.txt": f"{contracts.NOT_AN_IMAGE}: no decoder knows it"})
    results.main(root=built)
    lines = capsys.readouterr().out.splitlines()
    assert sum(line.startswith("warning          ") for line in lines) == 2
    assert any("56 of 90 labels have no image" in line for line in lines)
    assert any("1 files in the test folder that are no images" in line for line in lines)
    assert not any("cannot be read" in line for line in lines)
    assert max(map(len, lines)) <= 100


@pytest.mark.parametrize(
    "path",
    [
        "data/ensemble/members.csv",
        "metrics/summary.json",
        "data/ensemble/submission.csv",
        "data/split/folds.csv",
        "data/analyze/leaks.csv",
    ],
)
def test_a_missing_output_is_named(built, path):
    (built / path).unlink()
    with pytest.raises(InputError, match=f"{path}.*run `make`"):
        results.main(root=built)


def test_a_submission_that_does_not_fit_is_named(built):
    tables.write_text("image_id,label\na.jpg,1\n", built / "data/ensemble/submission.csv")
    with pytest.raises(InputError, match=r"submission\.csv: 1 images have no row, e\.g\. b\.jpg"):
        results.main(root=built)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("image_id,label\na,1\n", "1 images have no row, e.g. b"),
        ("image_id,label\na,1\nb,0\nb,0\n", "1 rows repeat an image, e.g. b"),
        ("image_id,label\na,1\nb,0\nc,0\n", "1 rows are of no test image, e.g. c"),
        ("a,1\nb,0\n", "must hold a header"),
        ("image_id,label\na,1\nb\n", "rows of two cells"),
        ("image_id,label\n", "must hold a header"),
        ("", "must hold a header"),
    ],
)
def test_score_refuses_what_a_board_would(tmp_path, text, message):
    (tmp_path / "truth.csv").write_text("image_id,label\na,1\nb,0\n")
    (tmp_path / "submission.csv").write_text(text)
    with pytest.raises(ValueError, match=message):
        score.accuracy(tmp_path / "submission.csv", tmp_path / "truth.csv")


def test_score_joins_by_id(tmp_path):
    (tmp_path / "truth.csv").write_text("image_id,label\na,1\nb,0\nc,0\n")
    (tmp_path / "submission.csv").write_text("image_id,label\nc,0\nb,1\na,1\n")
    assert score.accuracy(tmp_path / "submission.csv", tmp_path / "truth.csv") == pytest.approx(2 / 3)


def test_score_from_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit, match="1"):
        score.main()
    assert "submission.csv" in capsys.readouterr().err


def test_a_student_stands_beside_the_blend_with_both_speeds(built, capsys, monkeypatch):
    path = built / "params.yaml"
    path.write_text(path.read_text().replace("distill: {}", "distill: {weak: {}}"))
    steps = {"weak before": 0.7, "weak": 0.92, "blend for weak": 0.93, "weak over the blend": 0.92}
    rows = [
        {"member": ablation_steps.DISTILL, "step": step, "what": "", "score": score, "log_loss": 0.3, **COMPARED}
        for step, score in steps.items()
    ]
    tables.write(pd.DataFrame(rows), built / results.LADDER, ablation.ABLATION)
    monkeypatch.setattr(speed, "images_per_second", lambda _members, _values: {"blend": 10.0, "weak": 2000.0})
    results.main(root=built)
    printed = capsys.readouterr().out
    assert "distilled        weak 0.9200, log loss 0.3000, 2,000.0 images per second" in printed
    assert "blend 0.9300, log loss 0.3000, 10.0 images per second" in printed
    assert "weak over the blend: mixed" in printed
