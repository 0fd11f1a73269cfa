"""Work spread over processes with results in the order of the items, whatever the number of processes."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from multiprocessing import get_context
from typing import TypeVar

from stages.lib import workers
from stages.lib.errors import InputError, some

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
        preload: modules a worker needs, imported once and not by every worker.

    Raises:
        InputError: a worker died, for want of memory or in a library's crash; names what it may have worked on.
    """
    workers = min(workers, len(items))
    if workers < 2:
        yield from map(function, items)
        return
    context = get_context("forkserver")  # its workers inherit no threads, which a plain fork would
    context.set_forkserver_preload(list(preload))
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
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
