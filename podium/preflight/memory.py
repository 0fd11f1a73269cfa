"""How much memory a contest's predictions take: images x classes, before anything is trained.

The largest arrays of a run are tables of probabilities. A stage holds some of them at once, however many members and
TTAs there are: the others lie in temporary files (podium.core.scratch). TABLES counts them; `python -m
docs.measure.peak_memory` measures it (docs/contests.md).
"""

from collections.abc import Sequence

import psutil

from podium.core import targets
from podium.core.errors import InputError
from podium.ensembling.methods import greedy
from podium.preflight.settings import Podium
from podium.scoring import scores

TABLES = {  # stage -> tables of train images x classes, and of test images x classes, in float32
    "ensemble": (11.0, 8.0),
    "report": (6.0, 0.0),
    "ladder": (9.0, 0.0),
    "review": (10.0, 0.0),  # some in float64
}
PER_TRANSFORM = {"infer": (0.5, 1.0), "probe": (1.0, 1.0)}  # for each TTA transform, with room for writing one table
WRITTEN = {"infer": (1.0, 4.0), "probe": (4.0, 4.0)}
BASE = 10**9  # bytes of Python and its libraries, torch included
LARGE = 0.7  # of the memory, from which `check` warns
TOO_LARGE = 1.5  # from which it refuses: TABLES are counted in the code, not measured at full size


def of_stages(p: Podium, n_train: int, n_test: int, classes: Sequence[str]) -> dict[str, int]:
    """Estimate the peak memory of each stage whose memory grows with images x classes, in bytes.

    Args:
        p: the settings.
        n_train, n_test: images.
        classes: of the contest, or the labels of the sets.
    """
    columns = 2 if targets.are_sets(classes) else 1  # `podium.core.targets.probs_of_rows`
    train, test = (4 * count * len(classes) for count in (n_train, n_test))
    most = max(len(member.infer.transforms) for member in p.members.values())
    tables = {stage: (columns * of_train, columns * of_test) for stage, (of_train, of_test) in TABLES.items()}
    for stage, (of_train, of_test) in PER_TRANSFORM.items():
        more = WRITTEN[stage]
        tables[stage] = (most * of_train + more[0], most * of_test + more[1])
    found = {stage: int(BASE + of_train * train + of_test * test) for stage, (of_train, of_test) in tables.items()}
    found["ensemble"] += _greedy(p, n_train, classes)
    return found


def _greedy(p: Podium, n_train: int, classes: Sequence[str]) -> int:
    """Return the bytes of the bags of greedy selection: probabilities of some images by half of the members."""
    n_members = len(p.members) + len(p.external) + 1
    metric = scores.named(p.contest.metric, classes)
    if metric.chosen_by == "log_loss" or p.ensemble.method not in ("auto", "greedy"):
        return 0
    offered = max(2, (n_members + 1) // 2)
    images = min(n_train, greedy.BAG_IMAGES + greedy.BAG_IMAGES_OF_CLASS * len(classes))
    return greedy.BAGS * offered * images * 4 * (2 if targets.are_sets(classes) else len(classes))


def check(p: Podium, n_train: int, n_test: int, classes: Sequence[str], total: int | None = None) -> list[str]:
    """Warn of predictions that nearly fill the memory of this machine.

    Args:
        p: the settings.
        n_train, n_test: images.
        classes: of the contest, or the labels of the sets.
        total: bytes of memory and swap; None for this machine's.

    Returns:
        a warning, or nothing.

    Raises:
        InputError: they do not fit.
    """
    total = psutil.virtual_memory().total + psutil.swap_memory().total if total is None else total
    peaks = of_stages(p, n_train, n_test, classes)
    stage = max(peaks, key=lambda name: peaks[name])
    if peaks[stage] <= LARGE * total:
        return []
    what = "labels" if targets.are_sets(classes) else "classes"
    text = (
        f"`{stage}` takes about {peaks[stage] / 1e9:,.0f} GB for {n_train:,} train and {n_test:,} test images x"
        f" {len(classes):,} {what}, and this machine has {total / 1e9:,.0f} GB: use fewer {what} (leave out"
        " rare ones by contest.lists or overrides), fewer images, or a larger machine"
    )
    if peaks[stage] > TOO_LARGE * total:
        raise InputError(text)
    return [f"WARNING: {text}"]
