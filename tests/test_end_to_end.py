"""The real stages through the real dvc.yaml: from image files and a CSV to a submission, twice, with the same bytes.

Each new process takes seconds to import torch. So DVC as it is runs the first stages, `check` with torch among them,
as processes of their own. tests/quick_dvc.py runs the others, in forks of the fork server (tests/conftest.py), which
has imported what they import; Podium's modules are imported anew. The second time all stages run in one process.
"""

import gc
import importlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from multiprocessing import get_context, set_start_method
from pathlib import Path

import pandas as pd
import pytest
import yaml
from PIL import Image

from tests import quick_dvc, tiny

PROJECT = Path(__file__).parents[1]
KEPT = (
    "podium",
    "stages",
    "dvc.yaml",
    "demo/dvc.yaml",
    "demo/params.yaml",
    "placeholders",
    ".dvcignore",
    ".dvc/config",
)


def write_contest(root: Path) -> list[str]:
    """Write 24 train and 6 test images, one unreadable in each; return the template's ids in its order."""
    for subset, count in (("train", 24), ("test", 6)):
        (root / subset).mkdir(parents=True)
        for i in range(count):
            label = tiny.CLASSES[i % 2]
            Image.fromarray(tiny.image(label, seed=i + 100 * (subset == "test"))).save(
                root / subset / f"{subset}{i:02}.png"
            )
        (root / subset / f"{subset}00.png").write_bytes(b"not an image")
    labels = "".join(f"train{i:02},{'01'[i % 2]}.0\n" for i in range(24))
    (root / "labels.csv").write_text("name,class\n" + labels)
    ids = [f"test{i:02}.png" for i in (3, 0, 5, 1, 4, 2)]
    (root / "template.csv").write_text("".join(f"{i},0\n" for i in ids))
    (root / "overrides.csv").write_text("image_id,action,reason\ntrain02,1.0,looks red\n")
    for subset, count in (("train", 24), ("test", 6)):
        rows = "".join(f"{subset}{i:02},{0.9 - i % 2 * 0.8},{0.1 + i % 2 * 0.8}\n" for i in range(count))
        (root / f"their_{subset}.csv").write_text("name,0,1\n" + rows)
    return ids


def write_project(root: Path) -> None:
    for name in KEPT:
        source, target = PROJECT / name, root / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, target)
    values = yaml.safe_load((PROJECT / "params.yaml").read_text())
    values["contest"] |= {
        "images": {"train": "data/contest/train", "test": "data/contest/test"},
        "labels": "data/contest/labels.csv",
        "overrides": "data/contest/overrides.csv",
        "template": "data/contest/template.csv",
        "columns": {"id": "name", "label": "class", "group": None, "fold": None},
    }
    augmented = {"augmentation": [{"RandomResizedCrop": {"size": ["image_size", "image_size"]}}]}
    member = tiny.member(pretrain=augmented, finetune={"epochs": 3, **augmented})
    values |= {"members": {"a": member}, "folds": [0, 1], "torch": {"threads": 1, "device": "cpu"}}
    values["prepare"]["short_side"] = 48
    values["fixres"] = {"a": {"image_size": 40, "epochs": 1, "batch_size": 4, "lr": 0.01}}
    theirs = {"oof": "data/contest/their_train.csv", "test": "data/contest/their_test.csv", "columns": {"id": "name"}}
    values["external"] = {"theirs": theirs}
    tiny.write_params(root, values)


def environment(workers: int) -> dict[str, str]:
    return os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PODIUM_WORKERS": str(workers),
        "PODIUM_PROGRESS": "0",
        "PYTHONDONTWRITEBYTECODE": "",  # or each process compiles the code again
        "DVC_NO_ANALYTICS": "1",
    }


def run(root: Path, *command: str) -> str:
    done = subprocess.run(command, cwd=root, env=environment(0), text=True, capture_output=True, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout


def forked(root: Path, function: Callable[..., int | None], *words: str, workers: int = 0) -> str:
    """Call a function with the words in the folder, in a fork of the fork server; return what it printed."""
    printed = root.parent / "printed.txt"
    process = get_context("forkserver").Process(
        target=in_folder, args=(root, environment(workers), printed, function, words)
    )
    process.start()
    process.join()
    text = printed.read_text()
    assert process.exitcode == 0, text
    return text


def in_folder(
    root: Path, variables: dict[str, str], printed: Path, function: Callable[..., int | None], words: tuple[str, ...]
) -> None:
    set_start_method("fork", force=True)  # of loaders, as in a stage; it would be the fork server's
    with printed.open("w") as opened:
        os.dup2(opened.fileno(), 1)
        os.dup2(opened.fileno(), 2)
    os.chdir(root)
    os.environ.clear()
    os.environ.update(variables)
    for name in [name for name in sys.modules if name.partition(".")[0] in ("podium", "stages")]:
        del sys.modules[name]
    sys.path.insert(0, str(root))
    gc.set_threshold(100_000, 10, 10)
    gc.freeze()
    sys.exit(function(*words))


def dvc(*words: str) -> int:
    quick_dvc.quicken()
    gc.freeze()  # or each stage's fork copies what it looks through
    return quick_dvc.run_dvc(words)


def all_stages(*names: str) -> None:
    for name in names:
        stage, _, item = name.partition("@")
        importlib.import_module(f"stages.{stage}").main(*filter(None, item.split("-")))


@pytest.mark.slow
def test_a_contest_becomes_a_submission_and_a_rerun_in_one_process_gives_the_same_bytes(tmp_path: Path) -> None:
    write_project(tmp_path)
    ids = write_contest(tmp_path / "data/contest")
    run(tmp_path, "git", "init", "-q")
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
    run(tmp_path, "git", *identity, "commit", "-q", "--allow-empty", "-m", "start")
    printed = run(tmp_path, "dvc", "repro", "prepare@train")
    printed += forked(tmp_path, dvc, "repro")
    assert "overrides: relabelled 1" in printed
    assert "1 test images have no prediction and get the training prior: test00.png" in printed
    assert "theirs: ignores the rows of 1 train images" in printed
    for name, n_test in {"probe/a": 5 * 2 * 2 * 2, "infer_fixres/a": 5 * 2 * 2, "external/theirs": 5}.items():
        predicted = pd.read_parquet(tmp_path / f"data/{name}.parquet")
        is_test = predicted["subset"] == "test"
        assert set(predicted.loc[~is_test, "image_id"]) == {f"train{i:02}.png" for i in range(1, 24)}
        assert is_test.sum() == n_test

    rows = [line.split(",") for line in (tmp_path / "data/ensemble/submission.csv").read_text().splitlines()]
    assert [row[0] for row in rows] == ids
    assert {row[1] for row in rows} <= {"0", "1"}  # as the template writes them, not as the label CSV does

    summary = json.loads((tmp_path / "metrics/summary.json").read_text())
    assert summary["n_train_images"] == 23
    assert 0 <= summary["oof_score"] <= 1
    oof = pd.read_parquet(tmp_path / "data/ensemble/oof.parquet")
    assert set(oof["image_id"]) == {f"train{i:02}.png" for i in range(1, 24)}

    names = forked(tmp_path, dvc, "stage", "list", "--name-only").split()
    assert len(names) > 20
    outputs = remove_outputs(tmp_path)
    forked(tmp_path, all_stages, *(name for name in names if name != "check"), workers=2)
    assert {path for path in outputs if not path.is_file()} == set()
    changed = json.loads(forked(tmp_path, dvc, "status", "--json"))
    assert set(changed) <= {"demo/dvc.yaml:draw"}  # never drawn here; the others' outputs have the bytes of dvc.lock


def remove_outputs(root: Path) -> set[Path]:
    """Remove every output of a stage but `check`, and return their files."""
    tops = [root / "models", root / "metrics", *(path for path in (root / "data").iterdir())]
    kept = {root / "data/check", root / "data/contest"}
    removed = {path for top in tops if top not in kept for path in top.rglob("[!.]*") if path.is_file()}
    for path in removed:
        path.unlink()
    return removed
