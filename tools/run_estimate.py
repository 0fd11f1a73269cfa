"""How long the rest of a run takes, from the stages' last runs on this machine (logs/seconds.csv).

A stage of a member that never ran here is estimated by `make check` (tools/first_run.py).
"""

import itertools
import statistics
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from podium.core import params, stage_times, tables

ESTIMATES = Path("logs/estimates.json")  # stage -> seconds, by tools/first_run.py


def stages(root: Path) -> list[str]:
    """Return the names of all stages as DVC names them, in dvc.yaml's order, from dvc.yaml and params.yaml."""
    graph = yaml.safe_load((root / "dvc.yaml").read_text(encoding="utf-8"))["stages"]
    return list(_names(graph, params.read(root)))


def _names(graph: Mapping[str, Mapping[str, Any]], values: dict[str, Any]) -> Iterator[str]:
    for name, spec in graph.items():
        if "foreach" in spec:
            yield from (f"{name}@{key}" for key in _keys(spec["foreach"], values))
        elif "matrix" in spec:
            for items in itertools.product(*(_keys(each, values) for each in spec["matrix"].values())):
                yield f"{name}@{'-'.join(items)}"
        else:
            yield name


def _keys(reference: str, values: dict[str, Any]) -> list[str]:
    """Return the keys of a map, or the items of a list, that dvc.yaml names as ${...}."""
    return [str(key) for key in params.section(values, reference[2:-1])]


def seconds_left(
    names: Iterable[str], known: Mapping[str, float], estimated: Mapping[str, float] | None = None
) -> tuple[float, int]:
    """Return the sum of the stages' last times, and how many stages have none.

    A stage that never ran here takes as long as the same stage of the member's other folds, as it was estimated, or as
    the same stage of other members.

    Args:
        names: of the stages.
        known: name -> seconds of its last run.
        estimated: name -> seconds.
    """
    total, n_unknown = 0.0, 0
    for name in names:
        stage, _, item = name.partition("@")
        alike = {other: seconds for other, seconds in known.items() if other.partition("@")[0] == stage}
        of_member = [value for other, value in alike.items() if other.startswith(f"{stage}@{item.rpartition('-')[0]}-")]
        own = [estimated[name]] if estimated and name in estimated else []
        times = [known[name]] if name in known else of_member or own or list(alike.values())
        total += statistics.mean(times) if times else 0
        n_unknown += not times
    return total, n_unknown


def estimates(root: Path) -> dict[str, float]:
    """Return the seconds of stages that `make check` has estimated: name -> seconds."""
    found: dict[str, float] = tables.read_json(root / ESTIMATES) if (root / ESTIMATES).is_file() else {}
    return found


def sentence(names: Iterable[str], root: Path, n_jobs: int = 1) -> str:
    """Say how long the stages take at most, or about how long if it is estimated; "" if nothing is known."""
    names, known = list(names), stage_times.last_seconds(root)
    estimated = estimates(root)
    total, n_unknown = seconds_left(names, known, estimated)
    if not total:
        return ""
    is_rough = n_jobs > 1 or any(name in estimated and name not in known for name in names)
    text = f"{'about' if is_rough else 'at most'} {duration(total / n_jobs)}"
    return f"{text} and {n_unknown} new stages left" if n_unknown else f"{text} left"


def duration(seconds: float) -> str:
    """Write seconds as minutes:seconds, or hours:minutes:seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
