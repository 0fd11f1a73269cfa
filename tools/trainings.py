"""Trainings of single folds as temporary DVC experiments, for tools.tune.

`dvc exp run --temp` trains in a folder of its own, so that the workspace, its params.yaml included, does not change.
The outputs stay in DVC's cache: the same settings are restored from there without training, by a later `make` as well.
The experiments are removed at the end, because `make experiments` would show the last commit's metrics for them.
"""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Protocol, Self

import pandas as pd

from podium.core import tables
from podium.core.errors import InputError
from tools import revisions

EXPERIMENTS = ".dvc/tmp/exps/standalone"  # where DVC keeps the folders of `--temp`, and in run/ what each is
LINES = 8  # of DVC's output, in the error of a training that failed


class Trainings(Protocol):
    """What tools.tune asks for; the tests have a quick one."""

    def reference(self, member: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return tables.FOLDS and the probe's tables.PREDICTIONS."""
        ...

    def pretrain(self, member: str, fold: str) -> None:
        """Run phase 1 of a fold, with mixup; not ImageNet pretraining."""
        ...

    def finetune(self, member: str, words: Sequence[str], folds: Sequence[str]) -> list[pd.DataFrame]:
        """Train folds with changed settings and return the held-out predictions (tables.PREDICTIONS) of each."""
        ...


class TemporaryExperiments:
    """Trainings by `dvc exp run --temp`; a context that removes the experiments at its end.

    Args:
        root: of the project.
        log: file that DVC's output is appended to.
        settings: params.yaml as it was read; every training needs it unchanged.
    """

    def __init__(self, root: Path, log: Path, settings: bytes) -> None:
        self.root, self.log, self.settings = root, log, settings
        self.names: list[str] = []

    def __enter__(self) -> Self:
        """Begin."""
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the experiments."""
        if self.names:
            self._dvc("exp", "remove", *self.names, check=False)

    def reference(self, member: str) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Return tables.FOLDS and the probe's tables.PREDICTIONS."""
        probe = f"data/probe/{member}.parquet"
        with self.outputs([f"probe@{member}"], [], [revisions.FOLDS, probe]) as folder:
            folds = tables.read(folder / revisions.FOLDS, tables.FOLDS)
            return folds, tables.read(folder / probe, tables.PREDICTIONS)

    def pretrain(self, member: str, fold: str) -> None:
        """Run phase 1 of a fold, with mixup; not ImageNet pretraining."""
        with self.outputs([f"pretrain@{member}-{fold}"], [], []):
            pass

    def finetune(self, member: str, words: Sequence[str], folds: Sequence[str]) -> list[pd.DataFrame]:
        """Train folds with changed settings and return the held-out predictions (tables.PREDICTIONS) of each."""
        paths = [f"data/finetune/{member}/{fold}.parquet" for fold in folds]
        with self.outputs([f"finetune@{member}-{fold}" for fold in folds], words, paths) as folder:
            return [tables.read(folder / path, tables.PREDICTIONS) for path in paths]

    @contextmanager
    def outputs(self, targets: Sequence[str], words: Sequence[str], paths: Sequence[str]) -> Iterator[Path]:
        """Run stages with everything upstream of them; yield a folder with copies of some of their outputs.

        Args:
            targets: names of stages.
            words: `-S` and the changed settings.
            paths: of the outputs.

        Raises:
            InputError: a stage failed, or params.yaml changed since the tuning started.
        """
        self.require_settings()
        name = f"tune-{time.time_ns():x}"
        try:
            self._dvc("exp", "run", "--temp", "--name", name, *words, *targets)
        except BaseException:
            self._remove_folder(name)
            raise
        self.names.append(name)
        with revisions.files(name, self.root, paths) as folder:
            yield folder

    def require_settings(self) -> None:
        """Require params.yaml as it was read.

        Raises:
            SettingsChangedError: it was edited.
        """
        if (self.root / revisions.PARAMS).read_bytes() != self.settings:
            raise SettingsChangedError(
                "params.yaml changed while it was tuned: run `make tune` again; what has trained is not trained again"
            )

    def _remove_folder(self, name: str) -> None:
        """Remove the folder of an experiment that was ended early: packs and models, which a killed DVC leaves."""
        folders = self.root.resolve() / EXPERIMENTS
        for path in folders.glob("run/*/*.run"):
            with suppress(ValueError, KeyError):  # cut off by a kill
                about = json.loads(path.read_text(encoding="utf-8"))
                if about["name"] == name and Path(about["root_dir"]).parent == folders:
                    shutil.rmtree(about["root_dir"], ignore_errors=True)  # a stage that is ending may write still

    def _dvc(self, *words: str, check: bool = True) -> None:
        """Run a DVC command; its output goes to the log.

        Raises:
            InputError: it failed.
        """
        self.log.parent.mkdir(parents=True, exist_ok=True)
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"  # `python` of the stages
        with self.log.open("a+", encoding="utf-8") as log:
            start = log.tell()
            done = subprocess.run(
                [sys.executable, "-m", "dvc", *words],
                cwd=self.root,
                env=os.environ | {"PATH": path, "PODIUM_PROGRESS": "0"},
                stdout=log,
                stderr=subprocess.STDOUT,
                check=False,
            )
            log.seek(start)
            lines = [
                line for line in log.read().splitlines() if line.strip() and not line.startswith("WARNING: No file")
            ]
        if check and done.returncode != 0:
            raise InputError(
                "\n".join([f"`dvc {' '.join(words[:3])}` failed; all of its output: {self.log}", *lines[-LINES:]])
            )


class SettingsChangedError(InputError):
    """The user edited params.yaml while it was tuned."""
