"""Near duplicates among thumbnails: candidates by the hashes of their views, confirmed picture by picture.

A match is a row: a view (`shot` and `turn`, as in stages.lib.views) of image `one` is like image `other` as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.lib import candidates, parallel, resemblance, views
from stages.lib.errors import InputError
from stages.lib.fingerprints import MIN_CONTRAST, Image

MAX_LOCAL_DIFFERENCE = 0.6  # standard deviations, in the worst of 64 blocks (docs/duplicates.md says why)
NEARLY_EQUAL = 0.99  # from this similarity on what differs is one small thing: a watermark, a bird
CHUNK = 256  # pairs compared at once
MAX_MATCHES = 10_000_000  # of one shot: about 1 GB

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Doubts = tuple[Image, Image, list[int]]  # thumbnails, the pictures they may show, cuts to begin with


@dataclass(frozen=True)
class Alike:
    """Pairs of near duplicates.

    Attributes:
        pairs: (pairs, 2), positions, the smaller first; sorted.
        similarity: (pairs,), correlation.
        kinds: how the one differs from the other: "near", "cropped", "mirrored" or "rotated".
    """

    pairs: Positions
    similarity: Floats
    kinds: list[str]


def near_pairs(thumbs: Image, *, max_hash_distance: int, min_similarity: float, workers: int = 0) -> Alike:
    """Find the pairs of images that are near duplicates; the same whatever the number of worker processes.

    Args:
        thumbs: (images, 2, side, side) of fingerprints.Prints, all with some contrast.
        max_hash_distance: bits of 63 in which the hashes of candidates differ at most.
        min_similarity: correlation that confirms a candidate.

    Raises:
        InputError: so many images look alike that their pairs would not fit the memory.
    """
    shots = views.shots(thumbs)
    hashes = views.hashes(shots[0], turns=[0])[0]
    matches = _best(pd.concat([_matches(shots, shot, hashes, max_hash_distance) for shot in range(len(shots))]))
    matches["difference"] = _over_chunks(resemblance.local_differences, shots, matches)
    doubtful = ~_confirmed(matches, min_similarity)
    matches = pd.concat([matches[~doubtful], _aligned(matches[doubtful], thumbs, shots, workers)])
    matches = matches[_confirmed(matches, min_similarity)].sort_values(["low", "high"])
    kinds = [_kind(turn, cut) for turn, cut in zip(matches["turn"], matches["cut"], strict=True)]
    return Alike(matches[["low", "high"]].to_numpy(np.int64), matches["similarity"].to_numpy(np.float64), kinds)


def _matches(shots: Image, shot: int, hashes: npt.NDArray[np.uint64], max_distance: int) -> pd.DataFrame:
    """Return each pair's best match among the turned views of one shot."""
    usable = np.flatnonzero(shots[shot].std(axis=(1, 2), dtype=np.float64) >= MIN_CONTRAST)
    queries = views.hashes(shots[shot, usable])  # (turns, usable)
    ones = np.tile(usable, len(queries))
    found, count = [np.empty((0, 2), np.int64)], 0
    for block in candidates.near(queries.ravel(), hashes, max_distance):
        found.append(block[ones[block[:, 0]] != block[:, 1]])
        count += len(found[-1])
        if count > MAX_MATCHES:
            raise InputError(
                f"more than {MAX_MATCHES:,} pairs of images look alike (one camera that does not move?): lower"
                f" analyze.max_hash_distance ({max_distance}) in params.yaml"
            )
    query, other = np.concatenate(found).T
    one = ones[query]
    matches = pd.DataFrame({"low": np.minimum(one, other), "high": np.maximum(one, other), "one": one, "other": other})
    matches["shot"], matches["turn"], matches["cut"] = shot, query // max(len(usable), 1), views.SHOTS[shot][1] > 0
    matches["similarity"] = _over_chunks(resemblance.similarities, shots, matches)
    return _best(matches)


def _best(matches: pd.DataFrame) -> pd.DataFrame:
    """Keep each pair's most similar match; among equals the simplest view."""
    order = ["low", "high", "similarity", "shot", "turn", "one"]
    ascending = [name != "similarity" for name in order]
    return matches.sort_values(order, ascending=ascending).drop_duplicates(["low", "high"], ignore_index=True)


def _over_chunks(measure: Callable[[Image, Image], Floats], shots: Image, matches: pd.DataFrame) -> Floats:
    """Measure the view of the one against the other image, for every match."""
    measured = np.empty(len(matches))
    for start in range(0, len(matches), CHUNK):
        chunk = matches.iloc[start : start + CHUNK]
        pictures = shots[chunk["shot"], chunk["one"]]
        for turn in range(1, views.TURNS):
            rows = np.flatnonzero(chunk["turn"] == turn)
            pictures[rows] = views.turned(pictures[rows], turn)
        measured[start : start + CHUNK] = measure(pictures, shots[0, chunk["other"]])
    return measured


def _confirmed(matches: pd.DataFrame, min_similarity: float) -> "pd.Series[bool]":
    small = (matches["difference"] <= MAX_LOCAL_DIFFERENCE) | (matches["similarity"] >= NEARLY_EQUAL)
    return (matches["similarity"] >= min_similarity) & small


def _aligned(matches: pd.DataFrame, thumbs: Image, shots: Image, workers: int) -> pd.DataFrame:
    """Measure matches again after looking for the window of the one that shows the other."""
    chunks = [matches.iloc[start : start + CHUNK] for start in range(0, len(matches), CHUNK)]
    doubts = [_doubts(chunk, thumbs, shots) for chunk in chunks]
    done = parallel.in_order(_align, doubts, workers=workers, name=lambda _: "the thumbnails", preload=(__name__,))
    rows = [row for chunk in done for row in chunk]
    return matches.assign(
        **{name: [row[k] for row in rows] for k, name in enumerate(("similarity", "difference", "cut"))}
    )


def _doubts(matches: pd.DataFrame, thumbs: Image, shots: Image) -> Doubts:
    brightened, cuts = np.array(views.SHOTS)[matches["shot"]].T
    others = zip(shots[0, matches["other"]], matches["turn"], strict=True)
    targets = [views.turned_back(picture, turn) for picture, turn in others]
    return thumbs[matches["one"], brightened], np.stack(targets), cuts.tolist()


def _align(doubts: Doubts) -> list[tuple[float, float, bool]]:
    aligned = []
    for thumb, target, cut in zip(*doubts, strict=True):
        similarity, window = resemblance.best_window(thumb, target, (cut, cut, cut, cut))
        shown = views.cut_out(thumb, window)
        aligned.append((similarity, float(resemblance.local_differences(shown[None], target[None])[0]), any(window)))
    return aligned


def _kind(turn: int, cut: bool) -> str:
    if turn:
        return "mirrored" if turn in views.MIRRORED else "rotated"
    return "cropped" if cut else "near"
