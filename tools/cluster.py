"""Train on many machines: `make cluster`, `make cluster DRY=1` for the plan (docs/cluster.md).

A chain is what one machine runs: e.g. `pretrain`, `finetune` and `fixres` of one member and fold. The machine that
submits runs the stages before, between and after the chains. DVC's remote carries the outputs, and its run-cache says
which stages have run, so no stage that has been pushed runs twice. tools/cluster_worker.py is what a machine does for a
chain, and tools/cluster_ray.py has all that needs Ray.
"""

import argparse
import configparser
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Protocol

from podium.core import cli, params, stage_times
from podium.core.errors import InputError, some
from podium.models.settings import TorchSettings
from podium.preflight import git_checks, input_paths
from podium.preflight.settings import Podium
from tools import run_estimate, run_jobs
from tools.cluster_ray import Message, RayCluster, Resources
from tools.cluster_worker import Job, pushes
from tools.run_children import Children
from tools.run_jobs import Parents

OF_RUNS = ("dvc.lock", "demo/dvc.lock", "metrics/summary.json")  # git may track them; the clones need no newer ones
FOLDER = Path("logs/cluster")
HOUR = 3600
PASSED_ON = ("OMP_NUM_THREADS", "OMP_WAIT_POLICY", "PODIUM_WORKERS")


@dataclass(frozen=True)
class Chain:
    """Stages that one machine runs, in their order.

    Attributes:
        name: its first stage.
        stages: of the chain.
        after: names of the chains whose outputs it reads.
    """

    name: str
    stages: tuple[str, ...]
    after: frozenset[str]


@dataclass(frozen=True)
class Commit:
    """What the machines clone.

    Attributes:
        name: the commit.
        remote: name and url of DVC's remote.
        data: its .dvc files.
    """

    name: str
    remote: str
    data: tuple[str, ...]


class Cluster(Protocol):
    """What runs the chains: RayCluster; the tests have one without Ray."""

    def submit(self, job: Job) -> None:
        """Run a chain as soon as a machine is free."""
        ...

    def wait(self) -> list[Message]:
        """Return what has been printed since the last call."""
        ...


def main(*words: str, root: Path = Path()) -> None:
    """Run the graph with all chains on a cluster, and exit with a failure's status; or print the plan.

    Raises:
        InputError: a number or a file is none, the project cannot be cloned as it is, or no cluster is there.
    """
    parser = argparse.ArgumentParser(prog="python -m tools.cluster", description="Train on a Ray cluster.")
    parser.add_argument("--dry", action="store_true", help="print the plan; Ray is not needed")
    parser.add_argument(
        "--gpus", default="", help="of a chain; 0.5 lets two share one; default: torch.devices, on a CPU 0"
    )
    parser.add_argument("--cpus", default="", help="cores of a chain; default: torch.threads")
    parser.add_argument("--memory", default="", help="gigabytes of a chain; default: no condition")
    parser.add_argument(
        "--retries", default="", help="how often a chain begins again when its machine dies; default: 3"
    )
    parser.add_argument(
        "--address", default="", help="of the cluster; default: $RAY_ADDRESS, or the one of this machine"
    )
    parser.add_argument("--runtime-env", default="", help="YAML file with Ray's runtime_env")
    asked = parser.parse_args(words)
    values = params.read(root)
    resources = _resources(asked, params.load("torch", TorchSettings, root))
    if asked.runtime_env and not Path(asked.runtime_env).is_file():
        raise InputError(f"RUNTIME_ENV={asked.runtime_env}: no such file; give a YAML file with Ray's runtime_env")
    if asked.dry:
        print("\n".join(plan(root, resources)))
    paths = input_paths.by_key(params.parse(values, "", Podium)).values()
    try:
        commit = require_clonable(root, paths)
    except InputError as error:
        raise InputError(f"make cluster cannot start: {error}") from None
    if asked.dry:
        print(f"the machines would clone commit {commit.name[:12]} and share outputs by DVC's remote {commit.remote}")
        return
    cluster = RayCluster(resources, bundle(root), asked.address, asked.runtime_env)
    try:
        if warning := cluster.warning(resources):
            print(warning, flush=True)
        with Children(root, sys.stdout) as children, redirect_stdout(children.log_file):  # Ray prints many lines
            status = ClusterRun(children, cluster, commit, resources).run()
            children.screen.finish(status, children.log.relative_to(root))
    finally:
        cluster.close()
    if status:
        raise SystemExit(status)


def require_clonable(root: Path, paths: Iterable[str]) -> Commit:
    """Return what the machines clone.

    Args:
        root: of the project.
        paths: of the inputs, as in params.yaml.

    Raises:
        InputError: there is no commit, the workspace has uncommitted changes, or an input or the DVC remote is missing.
    """
    if not (root / ".git").exists():
        raise InputError("not a git repository; the machines clone a commit: run `git init` and `git commit`")
    git_checks.require_commit(root)
    lines = _read(root, "git", "status", "--porcelain", "--untracked-files=all").splitlines()
    changed = [line[3:].strip('"') for line in lines if line[3:].strip('"') not in OF_RUNS]
    if changed:
        raise InputError(
            f"{some(changed)}: not as in the last commit, which the machines clone: run `git commit` (first `dvc add`"
            " for images and weights), or go back with `git checkout`"
        )
    data = tuple(_read(root, "git", "ls-files", "*.dvc").split("\n")[:-1])
    _require_inputs(root, paths, data)
    return Commit(_read(root, "git", "rev-parse", "HEAD").strip(), _remote(root), data)


def _require_inputs(root: Path, paths: Iterable[str], data: Sequence[str]) -> None:
    """Refuse inputs in the project's folder that a clone would lack: git ignores them, and DVC does not track them."""
    tracked = {(root / path).resolve().with_suffix("") for path in data}
    lacking = [
        path
        for path in paths
        if path not in input_paths.MADE_LATER
        and not path.startswith(tuple(f"{made}/" for made in input_paths.MADE_LATER))
        and (full := (root / path).resolve()).is_relative_to(root.resolve())
        and not {full, *full.parents} & tracked
        and _read(root, "git", "check-ignore", path, check=False)
    ]
    if lacking:
        raise InputError(f"{some(lacking)}: git ignores it, so a clone lacks it: run `dvc add` and `git commit`")


def _remote(root: Path) -> str:
    """Return name and url of the remote that the commit names.

    Raises:
        InputError: there is none, or the clones would not reach the same one.
    """
    shared = configparser.ConfigParser(interpolation=None)
    shared.read_string(_read(root, "git", "show", "HEAD:.dvc/config", check=False))
    name = shared.get("core", "remote", fallback="")
    url = shared.get(f"'remote \"{name}\"'", "url", fallback="")
    if not url:
        raise InputError(
            ".dvc/config: the commit names no default remote, by which the machines share outputs: run `dvc remote"
            " add -d store <url>` (docs/cluster.md) and `git commit`"
        )
    if "://" not in url and not Path(url).is_absolute():
        raise InputError(f".dvc/config: remote {name}: {url} is relative to the clone's folder: give an absolute path")
    local = configparser.ConfigParser(interpolation=None)
    local.read(root / ".dvc/config.local", encoding="utf-8")
    own = local.get("core", "remote", fallback=name)
    if own != name or local.get(f"'remote \"{name}\"'", "url", fallback=url) != url:
        raise InputError(
            f".dvc/config.local: it names another remote than .dvc/config ({name}, {url}), where the machines push to:"
            " remove it there"
        )
    return f"{name} ({url})"


def bundle(root: Path) -> bytes:
    """Return the last commit with its history, as `git clone` reads it: the machines need not reach git's server."""
    return subprocess.run(
        ("git", "bundle", "create", "--quiet", "-", "HEAD"), cwd=root, capture_output=True, check=True
    ).stdout


def chains(names: Sequence[str], parents: Mapping[str, set[str]]) -> list[Chain]:
    """Group stages: a stage that reads from another one of the same item, e.g. member and fold, shares its chain.

    Args:
        names: of the stages of a wave.
        parents: of all stages.

    Returns:
        the chains, each after those that it needs.
    """
    order = [name for name in TopologicalSorter(parents).static_order() if name in set(names)]
    first: dict[str, str] = {}  # stage -> first stage of its chain
    after: dict[str, set[str]] = {}  # chain -> chains that it needs
    for name in order:
        needed = [one for one in order if one in parents[name]]
        same = [one for one in needed if "@" in one and one.partition("@")[2] == name.partition("@")[2]]
        first[name] = first[same[0]] if same else name
        after.setdefault(first[name], set()).update({first[one] for one in needed} - {first[name]})
    return [
        Chain(chain, tuple(name for name in order if first[name] == chain), frozenset(after[chain]))
        for chain in TopologicalSorter(after).static_order()
    ]


class ClusterRun:
    """One run of the whole graph.

    Args:
        children: the processes on this machine, with the log and the screen.
        cluster: what runs the chains.
        commit: what the machines clone.
        resources: of each chain.
    """

    def __init__(self, children: Children, cluster: Cluster, commit: Commit, resources: Resources) -> None:
        self.children, self.cluster, self.commit, self.root = children, cluster, commit, children.root
        self.variables = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        self.variables.setdefault("PODIUM_WORKERS", str(max(1, int(resources.cpus))))
        self.variables["PODIUM_PROGRESS"] = "1" if children.screen.is_terminal else "0"
        self.hosts: dict[str, list[str]] = {}  # chain -> the machines where it has begun
        (self.root / FOLDER / stage_times.LOG).parent.mkdir(parents=True, exist_ok=True)

    def run(self) -> int:
        """Run all stages; return an exit status."""
        parents = run_jobs.read_dag(_read(self.root, "dvc", "dag", "--dot"))
        for wave in run_jobs.waves(parents, run_jobs.side_by_side(self.root)):
            before = sorted(run_jobs.read_by(wave, parents))
            if before and (status := self.children.run(("dvc", "repro", "--pull", *before))):
                return status
            changed = json.loads(_read(self.root, "dvc", "status", "--json", *wave))
            names = run_jobs.with_descendants(changed, wave, parents)
            if names and (status := self._push(names, parents) or self.run_chains(chains(names, parents))):
                return status
        return self.children.run(("dvc", "repro", "--pull"))

    def _push(self, names: Sequence[str], parents: Parents) -> int:
        """Send to the remote all that these stages need."""
        needed = sorted(set().union(*(run_jobs.ancestors(name, parents) for name in names)) - set(names))
        return next(filter(None, map(self.children.run, pushes(needed))), 0)

    def run_chains(self, wave: Sequence[Chain]) -> int:
        """Run chains, each after those that it needs; return 0, or 1 if one has failed, and the others have ended."""
        waiting, running, ended = list(wave), set[str](), set[str]()
        screen = self.children.screen
        screen.outputs = self.root / FOLDER  # not those of an earlier run on this machine
        locks = {path: (self.root / path).read_text(encoding="utf-8") for path in self._locks()}
        while not self.children.is_stopped:
            for chain in [one for one in waiting if one.after & {other.name for other in wave} <= ended]:
                waiting.remove(chain)
                running.add(chain.name)
                self.cluster.submit(
                    Job(chain.name, chain.stages, self.commit.name, self.commit.data, locks, self.variables)
                )
            if not running:
                break
            screen.n_jobs = max(1, len(running & self.hosts.keys()))
            for name, kind, text in self.cluster.wait():
                self._take(name, kind, text)
                if kind == "end":
                    running.remove(name)
                    ended |= set() if text else {name}
        screen.n_jobs, screen.outputs = 1, self.root
        if self.children.is_stopped:
            return 128 + signal.SIGINT
        for chain in waiting:
            self.children.write_log("", f"{chain.name}: not started, because a chain that it needs has failed")
        return int(len(ended) < len(wave))

    def _take(self, name: str, kind: str, text: str) -> None:
        """Show and log a message of a chain."""
        if kind == "start":
            if name in self.hosts:
                self.children.screen.forget_child(name)
                died = f"WARNING: {name} begins again on {text}, because its worker on {self.hosts[name][-1]} has died"
                self.children.take("", died, is_line=True)
            self.hosts.setdefault(name, []).append(text)
            self.children.write_log(name, f"begins on {text}")
        elif kind == "seconds":
            with (self.root / FOLDER / stage_times.LOG).open("a", encoding="utf-8") as opened:
                opened.write(text)
        elif kind == "log":
            self.children.write_log(name, text)
        elif kind == "end":
            for line in text.splitlines():
                self.children.take(name, line, is_line=True)
            self.children.screen.end_child(int(bool(text)), name)
        else:
            self.children.take(name, text, is_line=kind == "line")

    def _locks(self) -> list[str]:
        found = [
            path.replace("dvc.yaml", "dvc.lock") for path in _read(self.root, "git", "ls-files", "*dvc.yaml").split()
        ]
        return [path for path in found if (self.root / path).exists()]


def plan(root: Path, resources: Resources) -> list[str]:
    """Return the lines of the plan: what runs where, and how long it takes at most."""
    parents = run_jobs.read_dag(_read(root, "dvc", "dag", "--dot"))
    changed = set(json.loads(_read(root, "dvc", "status", "--json"))) - {"check"}  # its output is always the same
    known = stage_times.last_seconds(root) | stage_times.last_seconds(root / FOLDER)
    estimated = run_estimate.estimates(root)
    lines = []
    seconds, longest, n_unknown, n_chains, is_rough = 0.0, 0.0, 0, 0, False
    done: set[str] = set()
    for wave in run_jobs.waves(parents, run_jobs.side_by_side(root)):
        before = set().union(*(run_jobs.ancestors(name, parents) for name in wave)) - set(wave) - done
        names = [name for name in wave if {name, *run_jobs.ancestors(name, parents)} & changed]
        done |= before | set(wave)
        lines.append(f"on this machine: {len(before)} stages, up to {', '.join(_last(before, parents))}")
        ends: dict[str, float] = {}
        for chain in chains(names, parents):
            taken, unknown = run_estimate.seconds_left(chain.stages, known, estimated)
            is_rough |= not (estimated.keys() - known.keys()).isdisjoint(chain.stages)
            ends[chain.name] = taken + max((ends.get(one, 0) for one in chain.after), default=0)
            seconds, n_unknown, n_chains = seconds + taken, n_unknown + unknown, n_chains + 1
            time = "unknown" if unknown == len(chain.stages) else run_estimate.duration(taken)
            after = f"  after {some(sorted(chain.after), 3)}" if chain.after else ""
            lines.append(f"  {' '.join(chain.stages):60} {time:>8}{after}")
        longest += max(ends.values(), default=0)
    lines.append(f"on this machine: the other {len(set(parents) - done)} stages")
    memory = f", {resources.memory:g} GB of memory" if resources.memory else ""
    lines.append(f"{n_chains} chains; each reserves {resources.gpus:g} GPUs, {resources.cpus:g} CPUs{memory}")
    if not seconds:
        return [*lines, "time: unknown, because no stage has run here or on a cluster; `make check` estimates them"]
    hours = [f"{seconds * number / HOUR:.2f}" for number in (resources.gpus, resources.cpus)]
    lines.append(
        f"time: {'about' if is_rough else 'at most'} {hours[0]} GPU hours and {hours[1]} CPU"
        f" hours; {run_estimate.duration(longest)} if there are machines for all that can run at once"
    )
    if is_rough:
        lines.append("stages that never ran are estimated from networks that `make check` has timed on this machine")
    if n_unknown:
        lines.append(f"not counted: {n_unknown} stages without a known time")
    return lines


def _last(names: set[str], parents: Mapping[str, set[str]]) -> list[str]:
    """Return the stages that no other one of them needs."""
    return sorted(names - set().union(*(parents[name] for name in names)))


def _read(root: Path, *command: str, check: bool = True) -> str:
    """Return what a command prints.

    Raises:
        InputError: it has failed.
    """
    done = subprocess.run(command, cwd=root, text=True, capture_output=True, check=False)
    if done.returncode and check:
        raise InputError(f"{' '.join(command[:3])} failed: {done.stderr.strip()}")
    return done.stdout


def _resources(asked: argparse.Namespace, torch: TorchSettings) -> Resources:
    """Return what each chain reserves.

    Args:
        asked: the words of the command line.
        torch: the section of params.yaml.

    Raises:
        InputError: a number is none, or trainings use another number of GPUs.
    """
    devices, device = torch.devices, torch.device
    used = devices if device in ("auto", "cuda") else 0
    gpus, retries = _number("GPUS", asked.gpus, used), _number("RETRIES", asked.retries, 3)
    is_share = used == 1 and gpus < 1 and (gpus or device == "auto")  # `auto` without a GPU is the CPU
    if gpus != used and not is_share:
        raise InputError(
            f"GPUS={asked.gpus}: a training uses {used} by params.yaml (torch.device: {device}, devices: {devices});"
            f" give {used}{', or a part of one, e.g. 0.5' if used == 1 else ''}"
        )
    if not retries.is_integer():
        raise InputError(f"RETRIES={asked.retries}: give a whole number")
    cpus = _number("CPUS", asked.cpus, torch.threads)
    return Resources(gpus, cpus, _number("MEMORY", asked.memory, 0), int(retries))


def _number(name: str, text: str, default: float) -> float:
    try:
        number = float(text or default)
    except ValueError:
        number = -1
    if not 0 <= number < float("inf"):
        raise InputError(f"{name}={text}: give a number of at least 0")
    return number


if __name__ == "__main__":
    cli.run(main)
