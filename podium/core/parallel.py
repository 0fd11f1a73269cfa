"""Spread work over processes; the results come in the order of the items, for any number of processes.

Each process works with one thread. The threads of a linear algebra library spin while they wait: on two cores, two
processes with several threads each took four times as long as one process alone.
"""

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from importlib import import_module
from itertools import islice
from multiprocessing import get_context, parent_process
from typing import TypeVar

from threadpoolctl import ThreadpoolController

from podium.core import interrupts
from podium.core.errors import InputError, some
from podium.core.workers import cores, count, make_socket_folder

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 4  # items that may wait for each worker, so that one slow item does not stop the other workers


def worker_count() -> int:
    """Return `PODIUM_WORKERS`, or the number of cores; with 0 or 1 the work is done in this process."""
    return count(default=cores())


def in_order(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    *,
    workers: int,
    name: Callable[[Item], str],
    preload: Sequence[str] = (),
) -> Generator[Result]:
    """Yield function(item) for every item, in order; only a few items per worker are in progress at a time.

    Args:
        function: must be picklable.
        workers: number of processes; below 2 the work is done in this process.
        name: returns the name of an item, for error messages.
        preload: modules that the workers need; they are imported once instead of in every worker. The libraries
            that they load are limited to one thread each.

    Raises:
        InputError: a worker died, out of memory or by a crash of a library; names the items that may be the cause.
    """
    workers = min(workers, len(items))
    if workers < 2:
        pools = _thread_pools(preload)
        for item in items:
            with pools.limit(limits=1):  # as in a worker: the number of threads can change the last digits
                result = function(item)
            yield result
        return
    make_socket_folder()
    context = get_context("forkserver")  # unlike plain fork, its workers inherit no threads
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
                " check these, or set PODIUM_WORKERS=1"
            ) from None
        finally:
            pool.shutdown(cancel_futures=True)  # after an error or a signal, what has not begun is not worth a wait


def _start_worker(preload: Sequence[str]) -> None:
    interrupts.leave_to_parent()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _thread_pools(preload).limit(limits=1)


def _end_with_parent() -> None:
    """End this worker when its parent has died, e.g. by `kill -9`; otherwise it would wait for work forever."""
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


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
        result = under_way[0][1].result()  # an item stays in the queue until it is done, so that an error can name it
        under_way.popleft()
        under_way.extend((item, pool.submit(function, item)) for item in islice(waiting, 1))
        yield result
