"""Run the stages that train or predict side by side: `make JOBS=4`.

Each of them is a `dvc --wait-for-lock repro -s <stage>` of its own, started when the stages before it have ended. DVC's
locks allow that, and dvc.lock gets the entries of a sequential run. The other stages run as always, in one `dvc repro`:
before, between (`ensemble` before `distill`) and after them.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from tools.run_children import Children
from tools.run_slots import Slot

EDGE = re.compile(r'^"(.+)" -> "(.+)";$', re.MULTILINE)
Parents = dict[str, set[str]]  # stage -> the stages whose outputs it reads


def run(children: Children, slots: Sequence[Slot]) -> int:
    """Run all stages that train or predict, and what they need; return the first exit status that is not 0."""
    dag = children.read(("dvc", "dag", "--dot"))  # "" if it fails: the `dvc repro` that follows shows why
    parents = read_dag(dag)
    for wave in waves(parents, side_by_side(children.root)):
        before = sorted(read_by(wave, parents))
        if before and (status := children.run(("dvc", "repro", *before))):
            return status
        changed = children.read(("dvc", "--wait-for-lock", "status", "--json", *wave))
        names = with_descendants(json.loads(changed or "{}"), wave, parents)
        if status := run_wave(children, names, parents, slots):
            return status
    return 0


def run_wave(children: Children, names: Sequence[str], parents: Parents, slots: Sequence[Slot]) -> int:
    """Run stages, each after its parents among them; return the exit status of the first that fails.

    A failure ends the other stages: a training saves its state, and the next run goes on from it.
    """
    waiting, free, used = list(names), list(slots), dict[str, Slot]()
    children.screen.n_jobs = min(len(slots), len(names))
    failed = 0
    while waiting or children.n_running:
        unfinished = {*waiting, *used}
        ready = [name for name in waiting if not parents[name] & unfinished]
        for name in ready[: 0 if children.is_stopped else len(free)]:
            waiting.remove(name)
            used[name] = free.pop(0)
            children.start(name, ("dvc", "--wait-for-lock", "repro", "-s", name), used[name])
        if not children.n_running:
            break
        name, status = children.wait()
        free.insert(0, used.pop(name))
        if status and not failed:
            failed = status
            children.stop()
    children.screen.n_jobs = 1
    return failed


def side_by_side(root: Path) -> set[str]:
    """Return the names of dvc.yaml's stages that use torch's device: those that read the section `torch`."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return {name for name, spec in graph.items() if "torch" in spec.get("do", spec).get("params", [])}


def read_dag(text: str) -> Parents:
    """Return the edges that `dvc dag --dot` prints."""
    parents: Parents = {}
    for before, after in EDGE.findall(text):
        parents.setdefault(before, set())
        parents.setdefault(after, set()).add(before)
    return parents


def waves(parents: Mapping[str, set[str]], names: Iterable[str]) -> Iterator[list[str]]:
    """Yield groups of the stages of these names; a group needs no other stage that needs one of the same group.

    Args:
        parents: of all stages.
        names: of the stages that run side by side, without their items: "finetune" for "finetune@a-0".
    """
    chosen = {stage for stage in parents if stage.partition("@")[0] in set(names)}
    before = {stage: ancestors(stage, parents) for stage in parents}
    left = [stage for stage in parents if stage in chosen]
    while left:
        waits = {stage for stage in parents if stage not in chosen and before[stage] & set(left)}
        yield [stage for stage in left if not before[stage] & waits]
        left = [stage for stage in left if before[stage] & waits]


def with_descendants(changed: Iterable[str], wave: Sequence[str], parents: Parents) -> list[str]:
    """Return the stages of a wave that have changed or come after one that has, in the wave's order."""
    changed = set(changed)
    return [name for name in wave if {name, *ancestors(name, parents)} & changed & set(wave)]


def read_by(names: Sequence[str], parents: Mapping[str, set[str]]) -> set[str]:
    """Return the other stages whose outputs a group of stages reads."""
    return set().union(*(parents[name] for name in names)) - set(names)


def ancestors(stage: str, parents: Mapping[str, set[str]]) -> set[str]:
    """Return all stages that a stage needs."""
    found: set[str] = set()
    waiting = [stage]
    while waiting:
        new = parents[waiting.pop()] - found
        found |= new
        waiting += new
    return found
