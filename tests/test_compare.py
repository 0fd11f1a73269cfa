"""Two runs compared: what is joined, what is printed, and where the runs are read from (a real DVC repository)."""

import contextlib
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import psutil
import pytest
import yaml
from PIL import Image
from sklearn import metrics

from podium import contracts
from podium.core import pixels, tables, targets
from podium.core.errors import InputError
from tests import graph
from tests.graph import Graph
from tools import compare, pairing, revisions
from tools.revisions import Run

CLASSES = ("0", "1", "10")
IDS = [f"{i:03}.png" for i in range(120)]


def labels(ids: list[str]) -> list[str]:
    return [CLASSES[int(i[:3]) % 3] for i in ids]


def oof_table(right: float, seed: int = 0, ids: list[str] = IDS, classes: tuple[str, ...] = CLASSES) -> pd.DataFrame:
    """Out-of-fold predictions of which a share is right; an image's prediction depends on its id alone."""
    table = pd.DataFrame({"image_id": ids, "label": labels(ids), "fold": [str(int(i[:3]) % 2) for i in ids]})
    shares = [np.random.default_rng([seed, int(i[:3])]).random() for i in ids]
    place = [classes.index(label) for label in table["label"]]
    named = [k if share < right else (k + 1) % len(classes) for k, share in zip(place, shares, strict=True)]
    probs = np.full((len(ids), len(classes)), 0.1)
    probs[np.arange(len(ids)), named] = 1 - 0.1 * (len(classes) - 1)
    return table.assign(**{tables.PROBABILITY + name: probs[:, k] for k, name in enumerate(classes)})


def folds_table(oof: pd.DataFrame, groups: list[str] | None = None) -> pd.DataFrame:
    table = oof[["image_id", "label", "fold"]].assign(use="train", reason="")
    table["group"] = table["image_id"] if groups is None else groups
    return table[list(tables.FOLDS.columns)]


def run(name: str, right: float, metric: str = "accuracy", **changes: Any) -> Run:
    oof = oof_table(right, **changes)
    return Run(name, metric, folds_table(oof), oof)


def report(a: Run, b: Run) -> str:
    pair = pairing.pair(a, b)
    return compare.text(a.name, b.name, pair, compare.judge(pair, [a.metric, b.metric]), pairing.changes(pair))


def rows(text: str) -> dict[str, list[str]]:
    """The cells of the table by metric: A, B, gain, low, "to", high."""
    found = [re.split(r"  +", line) for line in text.splitlines() if re.match(r"[a-z0-9 ]+ +\d\.\d{4} ", line)]
    return {name: " ".join(cells).split() for name, *cells in found}


@pytest.mark.parametrize("metric", ["accuracy", "log_loss", "macro_f1"])
def test_the_better_one_is_named_in_its_metrics_direction(metric: str) -> None:
    for (a, b), better in (((0.6, 0.9), "B is better"), ((0.9, 0.6), "A is better")):
        text = report(run("a", a, metric, seed=0), run("b", b, metric, seed=1))
        assert better in text
        assert len(rows(text)) == (1 if metric == "log_loss" else 2)
        for cells in rows(text).values():
            gain, low, high = (float(cells[place]) for place in (2, 3, 5))
            assert low < gain < high
            assert (gain > 0) == (low > 0) == (high > 0) == (b > a)
    assert "no clear difference" in report(run("one", 0.8), run("other", 0.8, seed=1))


def test_the_verdict_is_what_the_intervals_say() -> None:
    seen = set()
    for seed in range(20):
        text = report(run("a", 0.7, "macro_f1"), run("b", 0.84, "macro_f1", seed=seed))
        sure = any(float(cells[3]) > 0 for cells in rows(text).values())
        assert sure == ("B is better" in text)
        seen.add(sure)
    assert seen == {True, False}


def test_a_run_equals_itself() -> None:
    text = report(run("one", 0.8), run("one", 0.8))
    assert "A and B predict the same" in text
    assert [cells[2:] for cells in rows(text).values()] == [["+0.0000", "+0.0000", "to", "+0.0000"]] * 2
    for what in ("labels", "classes", "folds", "groups"):
        assert f"{what:8} the same" in text
    assert "images   120 in both\n" in text


def test_every_changed_image_is_listed_once_with_its_kind() -> None:
    a, b = run("a", 0.6), run("b", 0.8, seed=1)
    pair = pairing.pair(a, b)
    changes = pairing.changes(pair)
    first, second = pair.first.argmax(1), pair.second.argmax(1)
    assert set(changes["image_id"]) == {IDS[i] for i in np.flatnonzero(first != second)}
    counts = changes["change"].value_counts()
    gained = counts["only B is right"] - counts["only A is right"]
    assert gained == (second == pair.targets).sum() - (first == pair.targets).sum()
    assert list(changes["change"]) == sorted(changes["change"], key=pairing.KINDS.index)


def test_rows_are_joined_by_id_not_by_position() -> None:
    a, b = run("a", 0.6), run("b", 0.8, seed=1)
    turned = Run("b", b.metric, b.folds[::-1], b.oof[::-1])
    assert report(a, b) == report(a, turned)


def test_common_images_are_compared_where_the_sets_differ() -> None:
    a, b = run("a", 0.6), run("b", 0.8, ids=IDS[20:], seed=1)
    text = report(a, b)
    assert "images   100 in both, 20 only in A\n" in text
    pair = pairing.pair(a, b)
    assert pair.image_ids == IDS[20:]
    with pytest.raises(InputError, match="a and c have no image with the same label in common"):
        pairing.pair(a, run("c", 0.9, ids=["900.png"]))


def test_an_image_with_another_label_is_left_out_and_named() -> None:
    a, b = run("a", 0.7), run("b", 0.7)
    changed = b.oof.copy()
    changed.loc[7, "label"] = "0"
    text = report(a, Run("b", "accuracy", b.folds, changed))
    assert "labels   differ for 1 image, left out: 007.png" in text
    assert "007.png" not in pairing.pair(a, Run("b", "accuracy", b.folds, changed)).image_ids


def test_a_class_that_one_lacks_has_no_probability_there() -> None:
    a, b = run("a", 0.7), run("b", 0.7, classes=("0", "1", "10", "2"))
    pair = pairing.pair(a, b)
    assert pair.classes == ["0", "1", "10", "2"]
    assert (pair.first[:, 3] == 0).all()
    assert "classes  only in B: 2" in report(a, b)


def test_folds_that_are_only_named_otherwise_are_the_same() -> None:
    a, b = run("a", 0.7), run("b", 0.7)
    renamed = b.oof.assign(fold=b.oof["fold"].map({"0": "x", "1": "y"}))
    assert "folds    the same" in report(a, Run("b", "accuracy", b.folds, renamed))
    moved = b.oof.copy()
    moved.loc[:9, "fold"] = "1"
    text = report(a, Run("b", "accuracy", b.folds, moved))
    assert "folds    differ for 5 of 120 images" in text
    assert "Warning: the folds differ" in text
    moved["fold"] = moved["fold"].map({"0": "1", "1": "0"})
    assert "folds    differ for 5 of 120 images" in report(a, Run("b", "accuracy", b.folds, moved))


def test_images_of_a_group_in_either_run_count_as_one() -> None:
    a, b = run("a", 0.6), run("b", 0.9, seed=1)
    grouped = Run("b", "accuracy", folds_table(b.oof, [str(k // 60) for k in range(120)]), b.oof)
    assert len(np.unique(pairing.pair(a, grouped).groups)) == 2
    assert "groups   differ" in report(a, grouped)
    assert "no clear difference" in report(a, grouped)
    assert "B is better" in report(a, b)


def test_both_metrics_decide_where_the_runs_had_different_ones() -> None:
    text = report(run("a", 0.6, "quadratic_kappa"), run("b", 0.9, "macro_f1", seed=1))
    assert "By quadratic kappa and log loss: B is better" in text
    assert "By macro f1 and log loss: B is better" in text
    assert set(rows(text)) == {"quadratic kappa", "macro f1", "log loss"}
    assert "A was built for quadratic_kappa, B for macro_f1" in " ".join(text.split())


def test_a_metric_that_the_common_images_do_not_define_is_an_error() -> None:
    ids = [image_id for image_id in IDS if labels([image_id]) == ["1"]]
    with pytest.raises(InputError, match="the 40 images that both runs score: roc_auc needs images of two classes"):
        report(run("a", 0.6, "roc_auc"), run("b", 0.8, "roc_auc", ids=ids))


def test_no_line_is_wider_than_a_terminal() -> None:
    ids = [f"{i:03}_{'long' * 30}.png" for i in range(60)]
    for line in report(run("a" * 200, 0.6, ids=ids), run("b/" * 50, 0.8, seed=1, ids=ids[3:])).splitlines():
        assert len(line) <= 80


def write_workspace(root: Path, run: Run, pack: bool = True) -> None:
    tables.write(run.oof, root / revisions.OOF, contracts.OOF)
    tables.write(run.folds, root / revisions.FOLDS, tables.FOLDS)
    contest = {"images": {"train": "a", "test": "b"}, "metric": run.metric}
    (root / "params.yaml").write_text(yaml.safe_dump({"contest": contest}))
    if pack:
        with pixels.Writer(root / compare.PACK, encoding="raw") as writer:
            for k, image_id in enumerate(IDS[:-1]):  # the last one is not there
                writer.add(image_id, np.full((12, 16, 3), 2 * k, np.uint8))


def test_a_missing_name_is_asked_for(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="make compare A=<experiment> B=<experiment>"):
        compare.main(root=tmp_path)
    with pytest.raises(InputError, match=r"workspace: .*data/split/folds\.csv, .* not found"):
        compare.main("workspace", root=tmp_path)


@pytest.fixture(scope="module")
def tagged(tmp_path_factory: pytest.TempPathFactory) -> Graph:
    """A repository with a run on `main`, another on the tag `better`, and a commit before both."""
    top = tmp_path_factory.mktemp("tagged")
    made = Graph(top / "repo", top / "aside")
    for folder in (made.root, made.aside):
        folder.mkdir()
    (made.root / ".gitignore").write_text("/data/\n/logs/\n")
    stage = {"cmd": "python -V", "params": ["contest"], "outs": [revisions.FOLDS, revisions.OOF]}
    (made.root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"run": stage}}))
    write_workspace(made.root, run("", 0.6))
    made.run("git", "init", "-q", "-b", "main")
    for key, value in {"user.name": "tester", "user.email": "tester@example.invalid"}.items():
        made.run("git", "config", key, value)
    made.run("dvc", "init", "-q")
    made.commit()
    made.run("git", "tag", "before")
    for tag, right in (("first", 0.6), ("better", 0.9)):
        write_workspace(made.root, run("", right, seed=int(right == 0.9)))
        (made.root / "note").write_text(tag)
        made.run("dvc", "commit", "-q", "-f")
        made.commit()
        made.run("git", "tag", tag)
    return made


@pytest.fixture
def repo(tagged: Graph, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Graph:
    made = tagged.copy(tmp_path)
    for name, value in made._env(0).items():
        monkeypatch.setenv(name, value)
    return made


@pytest.mark.slow
def test_runs_come_from_revisions_experiments_and_the_workspace(
    repo: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    compare.main("first", "better", root=repo.root)
    out = capsys.readouterr().out
    assert "B is better" in out
    folder = repo.root / "logs/compare/first..better"
    assert "logs/compare/first..better: changes.csv, changes.png" in out
    changes = tables.read(folder / "changes.csv", pairing.CHANGES)
    assert not changes.empty
    with Image.open(folder / "changes.png") as image:
        image.load()
    drawn = (folder / "changes.png").read_bytes()
    compare.main("first", "better", root=repo.root)
    assert (folder / "changes.png").read_bytes() == drawn
    capsys.readouterr()

    compare.main("better", root=repo.root)
    assert "A and B predict the same" in capsys.readouterr().out

    (repo.root / compare.PACK).unlink()
    write_workspace(repo.root, run("", 0.2, seed=2), pack=False)
    compare.main("better", "workspace", root=repo.root)
    out = capsys.readouterr().out
    assert "A is better" in out
    assert "no pictures" in out

    repo.run("dvc", "commit", "-q", "-f")
    repo.run("dvc", "exp", "save", "-q", "-n", "tried")
    repo.revert()
    compare.main("tried", "workspace", root=repo.root)
    assert "B is better" in capsys.readouterr().out
    assert repo.run("git", "status", "--short") == ""


@pytest.mark.slow
def test_missing_runs_and_files_are_named(repo: Graph) -> None:
    with pytest.raises(InputError, match="nothing: no experiment, branch, tag or commit"):
        compare.main("nothing", "better", root=repo.root)
    with pytest.raises(InputError, match=r"HEAD:params\.yaml: no experiment, branch, tag or commit"):
        compare.main("HEAD:params.yaml", "better", root=repo.root)
    with pytest.raises(InputError, match=r"before: its commit has no data/split/folds\.csv"):
        compare.main("before", "better", root=repo.root)
    (repo.root / ".dvc/cache").rename(repo.aside / "cache")
    with pytest.raises(InputError, match=r"first: neither DVC's cache nor its remote has data/split/folds\.csv"):
        compare.main("first", "better", root=repo.root)


def sets_run(name: str, right: float, seed: int) -> Run:
    """A run of sets of labels, of which a share is right for each label."""
    random, truth = np.random.default_rng(seed), np.random.default_rng(0).random((90, 3)) < 0.4
    guess = truth ^ (random.random(truth.shape) > right)
    cells = [targets.as_cell(np.array(CLASSES)[row]) for row in truth]
    oof = pd.DataFrame({"image_id": IDS[:90], "label": cells, "fold": [str(i % 2) for i in range(90)]})
    oof = oof.assign(**{tables.PROBABILITY + one: np.where(guess[:, k], 0.8, 0.1) for k, one in enumerate(CLASSES)})
    return Run(name, "micro_f1", folds_table(oof, [str(i // 2) for i in range(90)]), oof)


def test_runs_of_sets_of_labels_are_compared_label_by_label() -> None:
    a, b = sets_run("a", 0.7, 1), sets_run("b", 0.95, 2)
    joined = pairing.pair(a, b)
    names = [tables.PROBABILITY + one for one in CLASSES]
    truth = np.array([[one in targets.of_cell(cell) for one in CLASSES] for cell in a.oof["label"]])
    by_hand = [metrics.f1_score(truth, run.oof[names] > 0.5, average="micro") for run in (a, b)]
    judged = compare.judge(joined, ["micro_f1"])
    assert judged[0].scores == pytest.approx(by_hand)
    assert "B is better" in report(a, b)
    changes = pairing.changes(joined).set_index("image_id")
    differ = (a.oof[names].to_numpy() > 0.5) != (b.oof[names].to_numpy() > 0.5)
    assert set(changes.index) == {IDS[i] for i in np.flatnonzero(differ.any(1))}
    for image, row in changes.iterrows():
        own = b.oof.set_index("image_id").loc[image, names].to_numpy(float)
        right = truth[IDS.index(image)]
        assert row["second_probability"] == pytest.approx(np.where(right, own, 1 - own).mean(), abs=1e-4)
        assert (row["change"] == "only B is right") == (row["second"] == row["label"])


def test_no_file_of_git_stays_open(tmp_path: Path) -> None:
    """Git packs that stay open make Python warn later, in whichever test collects the garbage."""
    graph.run_git(tmp_path, "init", "-q")
    identity = ("-c", "user.name=t", "-c", "user.email=t@example.invalid")
    graph.run_git(tmp_path, *identity, "commit", "-q", "--allow-empty", "-m", "start")
    graph.run_git(tmp_path, "gc", "-q")
    for name in ("HEAD", "nothing"):
        with contextlib.suppress(InputError):
            revisions._resolved(name, tmp_path)
    assert not [file.path for file in psutil.Process().open_files() if file.path.startswith(str(tmp_path))]
