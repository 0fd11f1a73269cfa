"""`make cluster` on a Ray cluster of two nodes, where Ray is installed: one node dies on the way.

All runs in a network namespace that has the loopback device alone: elsewhere Ray takes the machine's own address. Each
node is a process namespace, so that its end is the end of all its processes, as when a machine loses power.
"""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests import graph
from tests.graph import PROJECT

SPACE = ("unshare", "--net", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child")
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(find_spec("ray") is None, reason="Ray is not installed (docs/cluster.md)"),
    pytest.mark.skipif(
        shutil.which("unshare") is None or subprocess.run((*SPACE, "true"), check=False).returncode != 0,
        reason="this user cannot make a network namespace",
    ),
]
NODE = "--node-ip-address=127.0.0.1 --num-cpus=1 --num-gpus=0 --object-store-memory=100000000 --disable-usage-stats"
SCRIPT = r"""
set -e
ip link set lo up
one=$TOP/one two=$TOP/two
export STANDIN_SECONDS=3  # of the stages on the nodes
hostname one
PODIUM_CLUSTER_DIR=$one ray start --head --port=6399 $NODE --include-dashboard=false > $TOP/head.txt
PODIUM_CLUSTER_DIR=$two unshare --uts --pid --fork --kill-child=KILL sh -c \
    "hostname two; exec ray start --address=127.0.0.1:6399 $NODE --block" > $TOP/node.txt 2>&1 &
node=$!
STANDIN_SECONDS=0 "$PYTHON" -c "$DRIVER" > $TOP/driver.txt 2>&1 &
driver=$!
until chain=$(cd $two/*/pretrain@*/ 2> /dev/null && pwd) && grep -q "finetune${chain##*pretrain}" $STANDIN_LOG; do
    kill -0 $driver || exit 9
    sleep 0.2
done
kill -KILL $node
wait $driver
"""
DRIVER = (
    "import os; from pathlib import Path; from tools import cluster;"
    "cluster.main('--gpus', '0', '--cpus', '1', root=Path(os.environ['ROOT']))"
)


def test_two_nodes_of_which_one_dies_leave_the_lock_of_a_sequential_run(tmp_path: Path) -> None:
    member = graph.member()
    member["model"] |= {"weights": "none", "image_size": 32}
    repo = graph.build(tmp_path, members={"a": member}, plain_dvc=True)
    repo.run("dvc", "remote", "add", "-d", "store", str(tmp_path / "store"))
    repo.run("dvc", "add", "-q", "data/contest/train", "data/contest/test")
    repo.commit()
    sequential = repo.copy(tmp_path / "sequential")
    variables = repo._env(seconds=0) | {
        "TOP": str(tmp_path),
        "ROOT": str(repo.root),
        "PYTHON": sys.executable,
        "DRIVER": DRIVER,
        "NODE": NODE,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    done = subprocess.run((*SPACE, "bash", "-c", SCRIPT), cwd=PROJECT, env=variables, check=False, timeout=900)
    shown = "\n".join(path.read_text() for path in sorted(tmp_path.glob("*.txt")))
    assert done.returncode == 0, shown
    (again,) = re.findall(r"WARNING: pretrain@(\S+) begins again on one, because its worker on two has died", shown)
    ran = repo.ran()
    del ran["check"]
    assert ran == dict.fromkeys(set(repo.stages()) - {"check"}, 1) | {f"finetune@{again}": 2}  # the second time in full
    sequential.repro()
    assert repo.lock() == sequential.lock()
