"""Run `dvc repro` and print little of it: `python -m tools.run`; `python -m tools.run plan` says how long it may take.

A line per stage has its time and what it found. Everything that DVC and the stages print goes to logs/<time>.log. The
exit status is DVC's. `dvc repro` by itself stays as DVC's users know it. `python -m tools.run run 4` runs four stages
that train or predict at once (tools/run_jobs.py).
"""

import sys
from collections.abc import Sequence
from pathlib import Path

from podium.core import cli
from podium.core.errors import InputError
from tools import run_estimate, run_jobs, run_slots
from tools.run_children import Children

COMMAND = ("dvc", "repro")


def main(what: str = "run", jobs: str = "", jobs_per_gpu: str = "", *, root: Path = Path()) -> None:
    """Run the graph and exit with DVC's status if it fails; or print the plan.

    Args:
        what: "run" or "plan".
        jobs: how many stages that train or predict may run at once; "" for one per GPU, on a CPU one.
        jobs_per_gpu: how many of them share a GPU; "" for one.
        root: of the project.
    """
    if what == "plan":
        from tools import first_run  # torch takes seconds to import

        first_run.write(root)
        text = run_estimate.sentence(run_estimate.stages(root), root)
        print(f"time: {text or 'unknown, because there are no images yet'}; stages that did not change take none")
    elif what != "run":
        raise InputError(f"run {what}: unknown argument; give `plan`, or nothing to run the graph")
    elif status := run(COMMAND, root, run_slots.slots(jobs, jobs_per_gpu, root)):
        raise SystemExit(status)


def run(command: Sequence[str], root: Path, slots: Sequence[run_slots.Slot] = ({},)) -> int:
    """Run a command, write all its words to a log and few to the terminal; return its exit status.

    With several slots, the stages that train or predict run before it, in these slots.
    """
    with Children(root, sys.stdout) as children:
        status = run_jobs.run(children, slots) if len(slots) > 1 else 0
        status = status or children.run(command)
        children.screen.finish(status, children.log.relative_to(root))
    return status


if __name__ == "__main__":
    cli.run(main)
