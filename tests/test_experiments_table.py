import json
import subprocess
from dataclasses import replace

import pytest

from podium.core.errors import InputError
from podium.scoring import scores
from tools import experiments

MEMBER = {"model": {"backbone": "resnet10t"}, "finetune": {"epochs": 1, "lr": 0.001}, "infer": {"image_sizes": [64]}}
CONTEST = {"images": {"train": "a/train", "test": "a/test"}, "labels": "a/train.csv", "metric": "accuracy"}
PARAMS = {"contest": CONTEST, "folds": [0, 1], "members": {"a": MEMBER, "b": MEMBER}, "ensemble": {"method": "equal"}}


def summary(score, within=0.02, log_loss=0.2, metric="accuracy"):
    return {
        "metric": metric,
        "oof_score": score,
        "oof_score_low": score - within,
        "oof_score_high": score + within,
        "oof_log_loss": log_loss,
        "best_member_score": 0.9,
    }


def changed(**settings):
    """PARAMS with dotted keys set; dots are written as __."""
    params = json.loads(json.dumps(PARAMS))  # a deep copy would keep a and b one object
    for key, value in settings.items():
        *path, last = key.split("__")
        inner = params
        for step in path:
            inner = inner[step]
        inner[last] = value
    return params


def state(rev, name, params, metrics=None, tried=None):
    """One revision in the output of `dvc exp show --json` (3.67)."""
    files = {"metrics/summary.json": {"data": metrics}} if metrics else {}
    data = {
        "rev": rev,
        "timestamp": None,
        "params": {"params.yaml": {"data": params}, "demo/params.yaml": {"data": {"draw": {"seed": 0}}}},
        "metrics": files,
        "deps": {"w.safetensors": {"hash": "0", "size": 3, "nfiles": None}},
        "outs": {},
        "meta": {},
    }
    return {"rev": rev, "name": name, "data": data, "error": None, "experiments": tried}


def tried(name, params, metrics=None, status=None):
    local = {"root": None, "log": None, "pid": None, "returncode": None, "task_id": "0"}
    executor = {"state": status, "name": "dvc-task", "local": local} if status else None
    revision = state("036f8ff044aca8c8de01c3b5c8b35faab22e07e4", name, params, metrics)
    if status == "failed":
        revision["error"] = {"msg": "Experiment run failed", "type": ""}
    return {"revs": [revision], "executor": executor, "name": name}


def shown(*experiments_, metrics=None):
    metrics = metrics or summary(0.93)
    base = state("2cf819224e02bbf600c651bf88038da0efeb5560", "master", PARAMS, metrics, list(experiments_) or None)
    return [state("workspace", None, PARAMS, metrics), base]


def lines(found, width=100):
    bases, others = experiments.rows(found)
    return experiments.table(bases + others, width).splitlines()


def names(found):
    return [line.split()[0] for line in lines(found)[1:] if not line.startswith(" ")]


def test_finished_ones_best_first_then_the_others():
    found = shown(
        tried("worse", PARAMS, summary(0.91)),
        tried("waiting", PARAMS, status="queued"),
        tried("broken", PARAMS, summary(0.99), status="failed"),
        tried("better", PARAMS, summary(0.95), status="success"),
    )
    assert names(found) == ["workspace", "master", "better", "worse", "broken", "waiting"]


def test_log_loss_lowest_first_and_in_one_column():
    found = [summary(x, log_loss=x, metric="log_loss") for x in (0.3, 0.2, 0.4)]
    found = shown(tried("low", PARAMS, found[1]), tried("high", PARAMS, found[2]), metrics=found[0])
    assert names(found) == ["workspace", "master", "low", "high"]
    assert lines(found)[0].count("log loss") == 1
    assert "0.2000 [0.180, 0.220]" in lines(found)[3]


def test_a_loss_that_is_added_to_the_registry_has_its_lowest_first(monkeypatch):
    monkeypatch.setitem(scores.METRICS, "brier", replace(scores.METRICS["log_loss"], name="brier"))
    found = [summary(x, metric="brier") for x in (0.3, 0.2, 0.4)]
    found = shown(tried("high", PARAMS, found[2]), tried("low", PARAMS, found[1]), metrics=found[0])
    assert names(found) == ["workspace", "master", "low", "high"]


def test_scores_of_another_metric_come_after_those_of_the_tables():
    other = tried("other", PARAMS, summary(0.01, metric="log_loss"))
    assert names(shown(other, tried("same", PARAMS, summary(0.5))))[2:] == ["same", "other"]


@pytest.mark.parametrize(
    ("key", "value", "marked"),
    [
        ("images__train", "b/train", True),
        ("labels", "b/train.csv", True),
        ("columns", {"label": "kind"}, True),
        ("images__test", "b/test", False),
        ("metric", "macro_f1", False),
        ("overrides", "b/overrides.csv", False),
    ],
)
def test_scores_on_other_images_or_labels_are_marked_and_come_last(key, value, marked):
    other = changed(**{f"contest__{key}": value})
    found = shown(
        tried("there", other, summary(0.99)), tried("here", PARAMS, summary(0.5)), tried("w", other, status="queued")
    )
    assert [row.split()[0] for row in lines(found) if "other contest" in row] == (["there"] if marked else [])
    assert names(found)[2:] == (["here", "there", "w"] if marked else ["there", "here", "w"])
    found[0]["data"]["params"]["params.yaml"]["data"] = other  # the workspace defines the contest
    assert [row.split()[0] for row in lines(found) if "other contest" in row] == (["master", "here"] if marked else [])


def test_a_row_holds_its_scores_and_what_changed():
    line = lines(shown(tried("hot", changed(members__a__finetune__lr=0.0003), summary(0.95))))[3]
    assert line.split() == [
        "hot",
        "0.9500",
        "[0.930,",
        "0.970]",
        "0.2000",
        "0.9000",
        "finetune.lr",
        "of",
        "a:",
        "0.001",
        "->",
        "0.0003",
    ]


def test_a_running_one_shows_none_of_its_baselines_scores():
    line = lines(shown(tried("now", changed(members__c=MEMBER), summary(0.93), status="running")))[3]
    assert line.split() == ["now", "running", "+c"]


def test_a_nameless_commit_is_called_by_its_short_rev():
    found = shown()
    found[1]["name"] = None
    assert names(found) == ["workspace", "2cf8192"]


def test_an_unreadable_workspace_shows_the_error_and_hides_no_other_row():
    found = shown(tried("better", PARAMS, summary(0.95)))
    error = {"msg": "unable to read: 'params.yaml'", "type": "YAMLFileCorruptedError"}
    found[0] = {"rev": "workspace", "name": None, "data": None, "error": error, "experiments": None}
    assert lines(found, 110)[1].split() == ["workspace", "unreadable", "unable", "to", "read:", "'params.yaml'"]
    assert names(found) == ["workspace", "master", "better"]


@pytest.mark.parametrize(
    ("params", "words"),
    [
        (PARAMS, []),
        (changed(members__a__finetune__lr=0.0003), ["finetune.lr of a: 0.001 -> 0.0003"]),
        (changed(members={"a": MEMBER, "c": MEMBER}), ["+c", "-b"]),
        (changed(ensemble__method="greedy", folds=[0]), ["folds: [0, 1] -> [0]", "ensemble.method: equal -> greedy"]),
        (changed(ensemble__greedy_rounds=5), ["ensemble.greedy_rounds: unset -> 5"]),
        (changed(members__b__infer={}), ["infer.image_sizes of b: [64] -> unset"]),
        (changed(ensemble__method="x" * 99), [f"ensemble.method: equal -> {'x' * 23}…"]),
    ],
)
def test_changes_in_words(params, words):
    assert list(experiments.changes(PARAMS, params)) == words


def test_a_change_is_printed_in_full_on_a_narrow_terminal():
    change = "finetune.lr of a: 0.001 -> 0.0003"
    found = shown(tried("w" * 20, changed(members__a__finetune__lr=0.0003), summary(0.95)))
    for width in (80, 200):
        with_change = [line for line in lines(found, width) if change in line]
        assert len(with_change) == 1
        assert with_change[0].startswith("w") == (width == 200)


@pytest.mark.parametrize("width", [1, 30, 60, 80, 100, 200])
def test_no_line_is_wider_than_the_terminal(width):
    many = dict.fromkeys(("lr", "epochs", "clip_grad", "warmup_epochs", "weight_decay", "label_smoothing"), 0)
    found = shown(tried("a" * 40, changed(members__a__finetune=many, members__long_name=MEMBER), summary(0.95)))
    assert max(map(len, lines(found, width))) <= width


def test_changes_that_do_not_fit_are_counted():
    assert experiments.fitted(["+c", "-b", "lr of a: 1 -> 2", "x: 1 -> 2"], 20) == "+c, -b … and 2 more"
    assert experiments.fitted(["+c", "-b"], 6) == "+c, -b"
    assert experiments.fitted(["lr of a: 1 -> 2", "-b"], 18) == "lr o… … and 1 more"
    assert experiments.fitted([], 20) == ""


def run(monkeypatch, stdout="", stderr="", code=0):
    done = subprocess.CompletedProcess([], code, stdout, stderr)
    monkeypatch.setattr(subprocess, "run", lambda *args, **kwargs: done)


def test_without_experiments_the_command_that_makes_one_is_printed(monkeypatch, capsys):
    run(monkeypatch, json.dumps(shown()))
    monkeypatch.setenv("COLUMNS", "100")
    experiments.main()
    out = capsys.readouterr().out
    assert "dvc exp run -S" in out
    assert max(map(len, out.splitlines())) <= 100


def test_without_a_commit_the_error_asks_for_one(monkeypatch):
    run(monkeypatch, "[]\n")
    with pytest.raises(InputError, match="`git commit`"):
        experiments.main("--width", "100")


def test_dvcs_own_message_is_passed_on(monkeypatch):
    run(monkeypatch, stderr="ERROR: you are not inside of a DVC repository\n", code=253)
    with pytest.raises(InputError, match="failed: you are not inside"):
        experiments.main("--width", "100")


def test_a_width_of_zero_is_refused(capsys):
    with pytest.raises(SystemExit):
        experiments.main("--width", "0")
    assert "--width 0" in capsys.readouterr().err
