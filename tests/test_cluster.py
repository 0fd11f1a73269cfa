"""`make cluster` without Ray: the plan, the refusals, and what a machine does (test_cluster_ray.py has Ray)."""

import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from podium.core import tables
from podium.core.errors import InputError
from tests import graph
from tests.test_run_jobs import EDGES, GRAPH
from tools import cluster, cluster_ray, cluster_worker, run_estimate, run_jobs
from tools.cluster import Chain
from tools.cluster_ray import Message, Resources
from tools.cluster_worker import ChainError, Clone, Job
from tools.run_children import Children

FAKE = r"""#!/bin/sh
case "$*" in
"dag --dot") cat dag ;;
"status --json"*) cat changed ;;
"repro --pull "*)
  if [ "$3" = "$FAILS" ]; then mkdir -p .resume; echo state > .resume/x; echo "no memory"; exit 3; fi
  mkdir -p logs; cat .resume/x 2> /dev/null; echo "Running stage '$3':"
  echo "now,$3,7.5" >> logs/seconds.csv
  mkdir -p data/finetune/a/0.live; echo '{"held_out": {"log_loss": 0.25}}' > data/finetune/a/0.live/metrics.json
  printf '%s:  50%%|#\r%s: 100%%|##\r\nUpdating lock file\n' "$3" "$3" ;;
esac
echo "$*" >> "$RAN"
"""
CONFIG = "[core]\n    remote = store\n['remote \"store\"']\n    url = /store\n"


def git(root: Path, *words: str) -> None:
    identity = ("-c", "user.name=tester", "-c", "user.email=tester@example.invalid")
    subprocess.run(("git", *identity, *words), cwd=root, check=True, capture_output=True)


def commit(root: Path) -> None:
    git(root, "add", "-A")
    git(root, "commit", "-qm", "x")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A committed project with a script in the place of DVC."""
    project = tmp_path / "project"
    for path, text in {
        "project/params.yaml": "torch: {device: auto}\nmembers: {a: {}}\nfolds: [0, 1]\n",
        "project/dvc.yaml": GRAPH,
        "project/dag": "\n".join(f'"{one}" -> "{other}";' for one, other in EDGES),
        "project/changed": '{"check": [], "pretrain@a-0": []}',
        "project/.dvc/config": CONFIG,
        "project/.gitignore": "/logs/\n/large/\n/.resume/\n/.dvc/cache\n/.dvc/config.local\n",
        "project/images.dvc": "outs: []\n",
        "bin/dvc": FAKE,
    }.items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "bin/dvc").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("RAN", str(tmp_path / "ran"))
    monkeypatch.setenv(cluster_worker.FOLDER, str(tmp_path / "machine"))
    git(project, "init", "-q")
    commit(project)
    return project


def test_the_plan_has_the_chains_and_the_hours_of_what_changed(root: Path) -> None:
    (root / "logs").mkdir()
    (root / "logs/seconds.csv").write_text("now,pretrain@a-0,3600\n")
    (root / "logs/cluster/logs").mkdir(parents=True)
    (root / "logs/cluster/logs/seconds.csv").write_text("now,finetune@a-0,7200\n")
    text = "\n".join(cluster.plan(root, Resources(gpus=0.5, cpus=2)))
    assert "pretrain@a-0 finetune@a-0" in text
    assert "3:00:00" in text
    assert "a-1" not in text  # it has not changed
    assert "1.50 GPU hours" in text
    assert "6.00 CPU hours" in text
    assert "1 stages without" in text  # distill@a, after the ensemble of what changed


def test_the_plan_of_a_first_run_takes_the_estimates_of_make_check(root: Path) -> None:
    assert "make check" in cluster.plan(root, Resources(gpus=1, cpus=2))[-1]
    estimated = {"pretrain@a-0": 3600.0, "finetune@a-0": 1800.0}
    tables.write_json(estimated, root / run_estimate.ESTIMATES)
    text = "\n".join(cluster.plan(root, Resources(gpus=1, cpus=2)))
    assert "1:30:00" in text
    assert "about 1.50 GPU hours" in text
    assert "1 stages without" in text


@pytest.mark.slow
def test_each_stage_of_the_real_graph_stands_in_one_chain_after_what_it_needs(tmp_path: Path) -> None:
    repo = graph.build(tmp_path)
    phase = {"epochs": 1, "lr": 0.1}
    repo.edit(
        lambda values: values.update(fixres={"a": phase}, pseudo={"a": phase}, soup={"b": {}}, distill={"b": phase})
    )
    parents = run_jobs.read_dag(repo.run("dvc", "dag", "--dot"))
    first, second = run_jobs.waves(parents, run_jobs.side_by_side(repo.root))
    for wave in (first, second):
        found = cluster.chains(wave, parents)
        assert Counter(stage for chain in found for stage in chain.stages) == Counter(wave)
        before: set[str] = set()
        for place, chain in enumerate(found):
            assert chain.after <= {other.name for other in found[:place]}
            needed = {stage for other in found if other.name in chain.after for stage in other.stages}
            for stage in chain.stages:
                before.add(stage)
                assert parents[stage] & set(wave) <= needed | before & set(chain.stages)
    stages = {chain.name: set(chain.stages) for chain in cluster.chains(first, parents)}
    assert stages["pretrain@a-1"] == {"pretrain@a-1", "finetune@a-1", "fixres@a-1", "pseudo@a-1"}
    assert stages["pretrain@b-0"] == {"pretrain@b-0", "finetune@b-0"}
    assert {"probe@a", "infer@a", "infer_fixres@a", "soup@b"} <= stages.keys()
    assert set(second) == {"distill@b-0", "distill@b-1", "activation_maps"}


def test_a_committed_project_can_be_cloned_whatever_a_run_has_written(root: Path) -> None:
    (root / "dvc.lock").write_text("x")
    (root / "metrics").mkdir()
    (root / "metrics/summary.json").write_text("{}")
    found = cluster.require_clonable(root, ["images", "dag", "/elsewhere/images", "demo/images/train"])
    assert (found.remote, found.data) == ("store (/store)", ("images.dvc",))


@pytest.mark.parametrize(
    ("path", "text", "is_committed", "named"),
    [
        ("params.yaml", "folds: [0]\n", False, "params.yaml"),
        ("new.csv", "x", False, "new.csv"),
        ("large/0.png", "x", False, "large"),  # git ignores it, and DVC does not track it
        (".dvc/config", "", True, "dvc remote add -d"),
        (".dvc/config", CONFIG.replace("/store", "../store"), True, "relative"),
        (".dvc/config.local", CONFIG.replace("/store", "/other"), False, "config.local"),
    ],
)
def test_what_the_machines_would_not_see_is_refused(
    root: Path, path: str, text: str, is_committed: bool, named: str
) -> None:
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(text)
    if is_committed:
        commit(root)
    with pytest.raises(InputError, match=named):
        cluster.require_clonable(root, ["large"])


@pytest.mark.parametrize(
    ("torch", "words", "named"),
    [
        ("{device: cpu}", ("--gpus", "1"), "GPUS=1: a training uses 0"),
        ("{device: auto}", ("--gpus", "1.5"), "GPUS=1.5: a training uses 1"),
        ("{device: auto, devices: 2}", ("--gpus", "0.5"), "GPUS=0.5: a training uses 2"),
        ("{device: cuda}", ("--gpus", "0"), "GPUS=0: a training uses 1"),
        ("{device: auto}", ("--gpus", "-1"), "GPUS=-1: give a number"),
        ("{device: auto}", ("--retries", "1.5"), "RETRIES=1.5"),
        ("{device: auto}", ("--runtime-env", "missing.yaml"), "RUNTIME_ENV=missing.yaml"),
    ],
)
def test_resources_that_no_training_uses_are_refused_before_the_plan(
    root: Path, torch: str, words: tuple[str, ...], named: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "params.yaml").write_text(f"torch: {torch}\nmembers: {{a: {{}}}}\nfolds: [0, 1]\n")
    with pytest.raises(InputError, match=named):
        cluster.main("--dry", *words, root=root)
    assert not capsys.readouterr().out


@pytest.mark.parametrize(
    ("torch", "gpus", "reserved"),
    [
        ("auto}", "0.5", 0.5),
        ("auto}", "0", 0),
        ("auto}", "", 1),
        ("cpu, devices: 2}", "", 0),
        ("cuda, devices: 2}", "", 2),
        ("auto, devices: '2'}", "", 2),
    ],
)
def test_a_chain_reserves_the_gpus_of_a_training_or_a_part_of_one(
    root: Path, torch: str, gpus: str, reserved: float, capsys: pytest.CaptureFixture[str]
) -> None:
    (root / "params.yaml").write_text(f"torch: {{device: {torch}\nmembers: {{a: {{}}}}\nfolds: [0, 1]\n")
    with pytest.raises(InputError):  # these params.yaml are no whole project
        cluster.main("--dry", "--gpus", gpus, root=root)
    assert f"each reserves {reserved:g} GPUs" in capsys.readouterr().out


def test_a_project_without_git_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="git init"):
        cluster.require_clonable(tmp_path, [])


def job(root: Path, *stages: str) -> Job:
    found = cluster.require_clonable(root, [])
    variables = {"PATH": os.environ["PATH"]}
    return Job(stages[0], stages, found.name, found.data, {"dvc.lock": "as here\n"}, variables)


def test_a_machine_pushes_each_stage_before_it_runs_the_next(root: Path, tmp_path: Path) -> None:
    said: list[tuple[str, str]] = []
    seconds = cluster_worker.work(
        job(root, "pretrain@a-0", "finetune@a-0"), cluster.bundle(root), lambda *words: said.append(words)
    )
    assert (tmp_path / "ran").read_text().splitlines() == [
        "pull images.dvc",
        "repro -s -f check",
        *("repro --pull pretrain@a-0", "push pretrain@a-0", "push --run-cache pretrain@a-0"),
        *("repro --pull finetune@a-0", "push finetune@a-0", "push --run-cache finetune@a-0"),
    ]
    assert seconds == "now,pretrain@a-0,7.5\nnow,finetune@a-0,7.5\n"
    assert said[0][0] == "start"
    assert ("line", "finetune: log loss 0.2500") in said
    assert "bar" in dict(said)
    assert not list((tmp_path / "machine").glob("*/*@*[0-9]/"))  # the clone is removed


def test_a_chain_that_begins_again_finds_the_state_of_an_interrupted_training(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    said: list[tuple[str, str]] = []
    chain = job(root, "finetune@a-0")
    chain.variables["FAILS"] = "finetune@a-0"
    with pytest.raises(ChainError, match="finetune@a-0: status 3"):
        cluster_worker.work(chain, cluster.bundle(root), lambda *words: said.append(words))
    assert ("line", "no memory") in said
    del chain.variables["FAILS"]
    (clone,) = (tmp_path / "machine").glob("*/finetune@a-0/")
    assert (clone / "dvc.lock").read_text() == "as here\n"
    (clone / ".dvc/tmp").mkdir()
    (clone / ".dvc/tmp/rwlock").write_text("of a DVC that was killed")
    cluster_worker.work(chain, cluster.bundle(root), lambda *words: said.append(words))
    assert ("line", "state") in said


def test_the_job_script_for_slurm_starts_ray_on_all_machines_and_runs_make(tmp_path: Path) -> None:
    (script,) = re.findall(r"```sh\n(.*?)```", (graph.PROJECT / "docs/cluster.md").read_text(), re.DOTALL)
    for name, text in {
        "scontrol": 'test "$*" = "show hostnames n[1-2]" && printf "n1\\nn2\\n"',
        "srun": '"$@" && "$@"',
        "ray": f'echo "$PODIUM_CLUSTER_DIR $*" >> {tmp_path}/ran',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    slurm = {"SUBMIT_DIR": str(tmp_path), "JOB_ID": "7", "JOB_NODELIST": "n[1-2]", "JOB_NUM_NODES": "2"}
    variables = {f"SLURM_{name}": value for name, value in slurm.items()} | {"TMPDIR": "/local"}
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    subprocess.run(("bash", "-euc", script), env={**variables, "PATH": path}, check=True)
    started = "/local/podium-7 symmetric-run --address n1:6379 --min-nodes 2 -- make cluster"
    assert (tmp_path / "ran").read_text().splitlines() == [started] * 2


def test_a_machine_needs_no_package_for_the_code_that_it_is_sent() -> None:
    assert graph.foreign(["tools/cluster_worker.py"]) <= sys.stdlib_module_names


class ScriptedCluster:
    """Ends each chain as soon as it is submitted.

    Args:
        failing: chains that fail.
        again: chains whose first worker dies.
    """

    def __init__(self, failing: Sequence[str] = (), again: Sequence[str] = ()) -> None:
        self.failing, self.again = failing, again
        self.names: list[str] = []
        self.messages: list[Message] = []

    def submit(self, chain: Job) -> None:
        self.names.append(chain.name)
        for machine in ("one", "two")[: 1 + (chain.name in self.again)]:
            self.messages.append((chain.name, "start", machine))
            self.messages += [(chain.name, "line", f"Running stage '{stage}':") for stage in chain.stages]
        error = "ERROR: dvc repro: status 3" if chain.name in self.failing else ""
        self.messages += [(chain.name, "seconds", "now,x,1.5\n"), (chain.name, "end", error)]

    def wait(self) -> list[Message]:
        found, self.messages = self.messages, []
        return found


def run_chains(root: Path, machines: ScriptedCluster) -> tuple[int, str]:
    wave = [
        Chain("probe@a", ("probe@a",), frozenset()),
        Chain("pretrain@a-0", ("pretrain@a-0", "finetune@a-0"), frozenset({"probe@a"})),
        Chain("pretrain@a-1", ("pretrain@a-1", "finetune@a-1"), frozenset({"probe@a", "unchanged"})),
        Chain("infer@a", ("infer@a",), frozenset({"pretrain@a-0", "pretrain@a-1"})),
    ]
    with Children(root, sys.stdout) as children:
        one = cluster.ClusterRun(children, machines, cluster.require_clonable(root, []), Resources(0, 1))
        status = one.run_chains(wave)
        children.screen.finish(status, children.log)
    return status, children.log.read_text()


def test_a_chain_starts_after_those_that_it_needs_and_a_dead_worker_is_reported(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = ScriptedCluster(again=["pretrain@a-1"])
    status, log = run_chains(root, machines)
    assert (status, machines.names) == (0, ["probe@a", "pretrain@a-0", "pretrain@a-1", "infer@a"])
    shown = capsys.readouterr().out
    assert "WARNING: pretrain@a-1 begins again on two, because its worker on one has died" in shown
    assert shown.count("finetune@a-1  ") == 1
    assert "pretrain@a-0: begins on one" in log
    assert (root / "logs/cluster/logs/seconds.csv").read_text().count("now,x,1.5") == 4


def test_a_chain_that_fails_ends_no_other_and_those_that_need_it_do_not_start(
    root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    machines = ScriptedCluster(failing=["pretrain@a-0"])
    status, log = run_chains(root, machines)
    assert (status, machines.names) == (1, ["probe@a", "pretrain@a-0", "pretrain@a-1"])
    assert "ERROR: dvc repro: status 3" in capsys.readouterr().out
    assert "infer@a: not started" in log


def test_a_missing_ray_is_named_with_its_installation(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(InputError, match="pip install"):
        cluster_ray.RayCluster(Resources(0, 1), b"")


@pytest.mark.slow
def test_a_chain_that_begins_again_elsewhere_runs_no_pushed_stage_twice(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The commands of DVC go to the server of tests/graph.py, because starting DVC takes seconds."""
    repo = graph.build(tmp_path, folds=(0,), members={"a": graph.member()})
    repo.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    repo.run("dvc", "add", "-q", "data/contest/train", "data/contest/test")
    repo.commit()

    def run(folder: Path, variables: dict[str, str], command: Sequence[str]) -> None:
        done = graph.server().run(command[1:], folder, variables)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"

    monkeypatch.setattr(Clone, "run", lambda clone, command, stage: run(clone.folder, clone.variables, command))
    for name, value in repo._env(seconds=0).items():
        monkeypatch.setenv(name, value)
    repo.repro("probe@a")
    for command in cluster_worker.pushes([]):
        repo.run(*command)
    chain = replace(job(repo.root, "pretrain@a-0", "finetune@a-0"), locks={}, variables={})
    for machine, stages in (("one", chain.stages[:1]), ("two", chain.stages)):  # the first dies after one stage
        monkeypatch.setenv(cluster_worker.FOLDER, str(tmp_path / machine))
        cluster_worker.work(replace(chain, stages=stages), cluster.bundle(repo.root), lambda *words: None)
    repo.run("dvc", "repro", "--pull", "finetune@a-0")
    ran = repo.ran()
    assert ran.pop("check") == 3
    assert set(ran.values()) == {1}
    assert repo.run("dvc", "status", "finetune@a-0").strip() == "Data and pipelines are up to date."
