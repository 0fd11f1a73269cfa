"""All that `make cluster` needs of Ray: chains are tasks, and what they print comes through one mailbox."""

import os
import sys
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from podium.core.errors import InputError
from tools.cluster_worker import Job, work

INSTALL = "python -m pip install 'ray>=2.49,<3'"
SECONDS = 1.0  # between two looks at the mailbox
Message = tuple[str, str, str]  # chain, kind, text


@dataclass(frozen=True)
class Resources:
    """What Ray reserves for a chain.

    Attributes:
        gpus: 0.5 lets two chains share a GPU.
        cpus: cores.
        memory: gigabytes; 0 for no condition.
        retries: how often a chain begins again elsewhere after its worker has died.
    """

    gpus: float
    cpus: float
    memory: float = 0
    retries: int = 3


class Mailbox:
    """What the chains print, until it is fetched."""

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()

    def put(self, *message: str) -> None:
        """Take a message."""
        chain, kind, text = message
        self.messages.append((chain, kind, text))

    def fetch(self) -> list[Message]:
        """Return all messages since the last call."""
        found = list(self.messages)
        self.messages.clear()
        return found


class RayCluster:
    """Chains of stages as Ray tasks.

    Args:
        resources: of each chain.
        bundle: of git, with the commit.
        address: of the cluster; "" for $RAY_ADDRESS, or the cluster that runs on this machine.
        runtime_env: YAML file with Ray's runtime_env; "" for none.

    Raises:
        InputError: Ray is not installed, or no cluster answers.
    """

    def __init__(self, resources: Resources, bundle: bytes, address: str = "", runtime_env: str = "") -> None:
        try:
            import ray
            from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
        except ImportError as error:
            raise InputError(
                f"make cluster needs Ray, which requirements.lock leaves out ({error}): run `{INSTALL}` in .venv, on"
                " every machine the same version"
            ) from None
        asked = yaml.safe_load(Path(runtime_env).read_text(encoding="utf-8")) if runtime_env else None
        where = address or os.environ.get("RAY_ADDRESS") or "auto"
        try:
            ray.init(address=where, runtime_env=asked, log_to_driver=False, logging_level="warning")
        except (ConnectionError, RuntimeError, ValueError) as error:
            raise InputError(
                f"no Ray cluster at {where} ({error}): start one with `ray start --head`, or give ADDRESS=<host>:<port>"
                " (docs/cluster.md)"
            ) from None
        for module in (__name__, Job.__module__):  # the machines have no checkout to import them from
            ray.cloudpickle.register_pickle_by_value(sys.modules[module])
        self.ray, self._refs = ray, dict[Any, str]()
        here = NodeAffinitySchedulingStrategy(ray.get_runtime_context().get_node_id(), soft=False)
        post = ray.remote(Mailbox).options(num_cpus=0, scheduling_strategy=here).remote()
        memory = {"memory": int(resources.memory * 1e9)} if resources.memory else {}
        self._task = ray.remote(_task).options(
            num_cpus=resources.cpus, num_gpus=resources.gpus, max_retries=resources.retries, **memory
        )
        self._mailbox, self._bundle = post, ray.put(bundle)

    def warning(self, resources: Resources) -> str:
        """Return a warning if no machine has what a chain asks for; "" if one has."""
        nodes = [node["Resources"] for node in self.ray.nodes() if node["Alive"]]
        asked = {"GPU": resources.gpus, "CPU": resources.cpus, "memory": resources.memory * 1e9}
        if any(all(node.get(key, 0) >= value for key, value in asked.items()) for node in nodes):
            return ""
        have = "; ".join(f"{node.get('GPU', 0):g} GPUs, {node.get('CPU', 0):g} CPUs" for node in nodes)
        return (
            f"WARNING: no machine of the cluster has {resources.gpus:g} GPUs, {resources.cpus:g} CPUs and"
            f" {resources.memory:g} GB of memory (they have {have}), so the chains wait until one joins; or give GPUS=,"
            " CPUS=, MEMORY="
        )

    def submit(self, job: Job) -> None:
        """Let Ray run a chain as soon as a machine is free."""
        self._refs[self._task.remote(job, self._bundle, self._mailbox)] = job.name

    def wait(self) -> list[Message]:
        """Return what has been printed since the last call, and the chains that have ended.

        Returns:
            messages; kind "end" has the error as its text, "" for none, and "seconds" stands before it.
        """
        ended, _ = self.ray.wait(list(self._refs), timeout=SECONDS)
        found: list[Message] = self.ray.get(self._mailbox.fetch.remote())
        for ref in ended:
            name = self._refs.pop(ref)
            try:
                found += [(name, "seconds", self.ray.get(ref)), (name, "end", "")]
            except self.ray.exceptions.RayTaskError as error:
                found.append((name, "end", str(error.cause or error)))
            except self.ray.exceptions.RayError as error:
                found.append((name, "end", f"ERROR: {error}"))
        return found

    def close(self) -> None:
        """Leave the cluster, which ends what still runs there."""
        self.ray.shutdown()


def _task(job: Job, bundle: bytes, mailbox: Any) -> str:
    """Run a chain on a machine of the cluster."""
    import ray

    try:
        return work(job, bundle, lambda kind, text: mailbox.put.remote(job.name, kind, text))
    finally:
        ray.get(mailbox.put.remote(job.name, "log", "> end"))  # after all that was printed
