"""Work spread over processes with results in the order of the items, whatever the number of processes.

Each process works with one thread: the threads of a linear algebra library spin while they wait, and those of two
processes took four times as long on two cores as one process alone.
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from podium.core import workers
from podium.core.errors import InputError, some

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4  # items a worker may have waiting, so that one slow item stops none of the others


def worker_count() -> int:
    """Return `PODIUM_WORKERS`, or the number of cores; 0 and 1 mean no processes of their own."""
    return workers.count(default=os.cpu_count() or 1)


def in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str],
    preload: Sequence[str] = (),
) -> Iterator[Result]:
    """Yield function(item) for every item, in order; only a few items per worker are under way at a time.

    Args:
        function: picklable; the same in every process.
        workers: processes; below 2 the work is done in this one.
        name: of an item, for errors.
        preload: modules a worker needs, imported once and not by every worker; of the libraries they bring, each
            gets one thread.

    Raises:
        InputError: a worker died, for want of memory or in a library's crash; names what it may have worked on.
    """
    workers = min(workers, len(items))
    if workers < 2:
        pools = _thread_pools(preload)
        for item in items:
            with pools.limit(limits=1):  # as in a worker: the number of threads can move last digits
                result = function(item)
            yield result
        return
    context = get_context("forkserver")  # its workers inherit no threads, which a plain fork would
    context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(tuple(preload),)) as pool:
        waiting = iter(items)
        under_way = deque((item, pool.submit(function, item)) for item in islice(waiting, workers * AHEAD))
        try:
            yield from _results(pool, function, waiting, under_way)
        except BrokenProcessPool:
            names = some([name(item) for item, _ in under_way], workers * AHEAD)
            raise InputError(
                f"a worker process died (out of memory, or a crash in a decoder) at one of {names};"
                " look at these, or set PODIUM_WORKERS=1"
            ) from None


def _start_worker(preload: Sequence[str]) -> None:
    _thread_pools(preload).limit(limits=1)


def _thread_pools(preload: Sequence[str]) -> ThreadpoolController:
    """Return the thread pools of the libraries that these modules and this process have loaded."""
    for name in preload:
        import_module(name)
    return ThreadpoolController()


def _results(
    pool: ProcessPoolExecutor,
    function: Callable[[Item], Result],
    waiting: Iterable[Item],
    under_way: deque[tuple[Item, Future[Result]]],
) -> Iterator[Result]:
    waiting = iter(waiting)
    while under_way:
        result = under_way[0][1].result()  # stays in the queue while it may still fail, to be named
        under_way.popleft()
        under_way.extend((item, pool.submit(function, item)) for item in islice(waiting, 1))
        yield result
