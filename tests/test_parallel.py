"""Work in processes: results in order, a bounded queue, and a dead worker is reported with its items."""

import os
import subprocess
import sys
import time
from operator import neg

import pytest
import scipy.linalg  # noqa: F401  its threads are among those that are counted
from threadpoolctl import threadpool_info

from podium.core import parallel
from podium.core.errors import InputError


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_results_come_in_order(workers):
    items = list(range(40))
    assert list(parallel.in_order(neg, items, workers=workers, name=str)) == [-i for i in items]
    assert list(parallel.in_order(neg, [], workers=workers, name=str)) == []


@pytest.mark.parametrize("workers", [1, 2])
def test_an_item_is_worked_on_by_one_thread(workers):
    """Threads that spin while they wait made two processes four times slower than one."""
    before = [pool["num_threads"] for pool in threadpool_info()]
    for threads in parallel.in_order(threads_of_pools, [0, 1], workers=workers, name=str, preload=("scipy.linalg",)):
        assert set(threads) == {1}
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def threads_of_pools(_item):
    return [pool["num_threads"] for pool in threadpool_info()]


def test_few_items_are_under_way(monkeypatch):
    submitted = []
    submit = parallel.ProcessPoolExecutor.submit
    monkeypatch.setattr(
        parallel.ProcessPoolExecutor, "submit", lambda pool, f, item: (submitted.append(item), submit(pool, f, item))[1]
    )
    for done, _ in enumerate(parallel.in_order(neg, range(60), workers=2, name=str), start=1):
        assert len(submitted) <= done + 2 * parallel.AHEAD
    assert submitted == list(range(60))


def test_a_dead_worker_is_reported():
    with pytest.raises(InputError, match=r"a worker process died .* at one of item 7, item 8;"):
        list(parallel.in_order(os._exit, [7, 8], workers=2, name="item {}".format))


def test_an_error_in_a_worker_is_raised():
    with pytest.raises(ValueError, match="must be non-negative"):
        list(parallel.in_order(time.sleep, [0, -1, 0], workers=2, name=str))


def test_the_number_of_workers_is_environment(monkeypatch):
    monkeypatch.setenv("PODIUM_WORKERS", "3")
    assert parallel.worker_count() == 3
    monkeypatch.delenv("PODIUM_WORKERS")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 3}, raising=False)  # e.g. by taskset
    assert parallel.worker_count() == 2
    monkeypatch.setenv("PODIUM_WORKERS", "two")
    with pytest.raises(InputError, match="PODIUM_WORKERS is 'two'"):
        parallel.worker_count()


def test_a_long_folder_for_temporary_files_is_no_obstacle(tmp_path):
    """The path of a socket may have about 100 bytes, and Python puts the workers' sockets into this folder."""
    folder = tmp_path / ("long" * 30)
    folder.mkdir()
    code = (
        "from operator import neg; from podium.core import parallel\n"
        "print(list(parallel.in_order(neg, [1, 2, 3], workers=2, name=str)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=os.environ | {"TMPDIR": str(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "[-1, -2, -3]\n", done.stderr
