"""Arrays and what they mean in one safetensors file; the same arrays and meanings give the same bytes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy
from numpy.typing import NDArray

from podium.core import tables

META_KEY = "podium"  # a single key, because safetensors writes several keys in no fixed order

Arrays = Mapping[str, NDArray[Any]]


def write(path: Path, arrays: Arrays, meta: Mapping[str, Any]) -> None:
    """Write arrays, and metadata that JSON can hold."""
    stored = {name: np.ascontiguousarray(values) for name, values in arrays.items()}
    with tables.replacing(path) as temporary:
        safetensors.numpy.save_file(stored, str(temporary), metadata={META_KEY: json.dumps(meta, sort_keys=True)})


def read(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    """Return the arrays and the metadata of a file of `write`."""
    with safetensors.safe_open(str(path), framework="numpy") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}, _meta(opened)  # noqa: SIM118


def read_meta(path: Path) -> dict[str, Any]:
    """Return the metadata alone."""
    with safetensors.safe_open(str(path), framework="numpy") as opened:
        return _meta(opened)


def _meta(opened: Any) -> dict[str, Any]:
    meta: dict[str, Any] = json.loads(opened.metadata()[META_KEY])
    return meta
