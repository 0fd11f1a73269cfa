"""Near duplicates among thumbnails: candidates by the hashes of their views, confirmed picture by picture.

A match is a row: a view (`shot` and `turn`, as in stages.lib.views) of image `one` is like image `other` as it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from stages.lib import candidates, parallel, resemblance, views
from stages.lib.errors import InputError
from stages.lib.fingerprints import MIN_CONTRAST, Image

MAX_LOCAL_DIFFERENCE = 0.6  # standard deviations, in the worst of 64 blocks (docs/duplicates.md says why)
NEARLY_EQUAL = 0.99  # from this similarity on what differs is one small thing: a watermark, a bird
MIN_ALIGNABLE = 0.75  # similarity from which it is worth looking for a window that fits better
CHUNK = 256  # pairs compared at once
MAX_MATCHES = 10_000_000  # of one shot: about 1 GB

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Doubts = tuple[Image, Image, list[views.Window]]  # thumbnails, the pictures they may show, windows to begin with


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
    plain = views.shot(thumbs, 0)
    found = [_matches(plain, views.shot(thumbs, shot), shot, max_hash_distance) for shot in range(len(views.SHOTS))]
    matches = _best(pd.concat(found))
    sure = _confirmed(matches, min_similarity)
    doubtful = matches[~sure & (matches["similarity"] >= MIN_ALIGNABLE)]
    matches = pd.concat([matches[sure], _aligned(doubtful, thumbs, plain, workers)])
    matches = matches[_confirmed(matches, min_similarity)].sort_values(["low", "high"])
    kinds = [_kind(turn, cut) for turn, cut in zip(matches["turn"], matches["cut"], strict=True)]
    return Alike(matches[["low", "high"]].to_numpy(np.int64), matches["similarity"].to_numpy(np.float64), kinds)


def _matches(plain: Image, pictures: Image, shot: int, max_distance: int) -> pd.DataFrame:
    """Return each pair's best match between the pictures of one shot, turned, and the plain ones."""
    usable = np.flatnonzero(pictures.std(axis=(1, 2), dtype=np.float64) >= MIN_CONTRAST)
    queries = views.hashes(pictures[usable])  # (turns, usable)
    ones = np.tile(usable, len(queries))
    found, count = [np.empty((0, 2), np.int64)], 0
    for block in candidates.near(queries.ravel(), views.hashes(plain, turns=[0])[0], max_distance):
        found.append(block[ones[block[:, 0]] != block[:, 1]])
        count += len(found[-1])
        if count > MAX_MATCHES:
            raise InputError(
                f"more than {MAX_MATCHES:,} pairs of images look alike (one camera that does not move?): lower"
                f" analyze.max_hash_distance ({max_distance}) in params.yaml"
            )
    query, other = np.concatenate(found).T
    one, turn = ones[query], query // max(len(usable), 1)
    pairs = {"low": np.minimum(one, other), "high": np.maximum(one, other), "one": one, "other": other}
    measured = _measured(pictures, plain, one, other, turn)
    return _best(pd.DataFrame({**pairs, "shot": shot, "turn": turn, "cut": any(views.SHOTS[shot][1]), **measured}))


def _best(matches: pd.DataFrame) -> pd.DataFrame:
    """Keep each pair's most similar match; among equals the simplest view."""
    order = ["low", "high", "similarity", "shot", "turn", "one"]
    ascending = [name != "similarity" for name in order]
    return matches.sort_values(order, ascending=ascending).drop_duplicates(["low", "high"], ignore_index=True)


def _measured(pictures: Image, plain: Image, one: Positions, other: Positions, turn: Positions) -> dict[str, Floats]:
    """Compare picture `one`, turned, with the plain picture of `other`, for every match."""
    similarity, difference = np.empty(len(one)), np.empty(len(one))
    for start in range(0, len(one), CHUNK):
        some = slice(start, start + CHUNK)
        viewed = pictures[one[some]]
        for value in range(1, views.TURNS):
            rows = np.flatnonzero(turn[some] == value)
            viewed[rows] = views.turned(viewed[rows], value)
        similarity[some] = resemblance.similarities(viewed, plain[other[some]])
        difference[some] = resemblance.local_differences(viewed, plain[other[some]])
    return {"similarity": similarity, "difference": difference}


def _confirmed(matches: pd.DataFrame, min_similarity: float) -> "pd.Series[bool]":
    small = (matches["difference"] <= MAX_LOCAL_DIFFERENCE) | (matches["similarity"] >= NEARLY_EQUAL)
    return (matches["similarity"] >= min_similarity) & small


def _aligned(matches: pd.DataFrame, thumbs: Image, plain: Image, workers: int) -> pd.DataFrame:
    """Measure matches again after looking for the window of the one that shows the other."""
    chunks = [matches.iloc[start : start + CHUNK] for start in range(0, len(matches), CHUNK)]
    doubts = [_doubts(chunk, thumbs, plain) for chunk in chunks]
    done = parallel.in_order(_align, doubts, workers=workers, name=lambda _: "the thumbnails", preload=(__name__,))
    rows = [row for chunk in done for row in chunk]
    return matches.assign(
        **{name: [row[k] for row in rows] for k, name in enumerate(("similarity", "difference", "cut"))}
    )


def _doubts(matches: pd.DataFrame, thumbs: Image, plain: Image) -> Doubts:
    brightened = [views.SHOTS[shot][0] for shot in matches["shot"]]
    windows = [views.SHOTS[shot][1] for shot in matches["shot"]]
    others = zip(plain[matches["other"]], matches["turn"], strict=True)
    targets = [views.turned_back(picture, turn) for picture, turn in others]
    return thumbs[matches["one"], brightened], np.stack(targets), windows


def _align(doubts: Doubts) -> list[tuple[float, float, bool]]:
    aligned = []
    for thumb, target, start in zip(*doubts, strict=True):
        similarity, window = resemblance.best_window(thumb, target, start)
        shown = views.cut_out(thumb, window)
        aligned.append((similarity, float(resemblance.local_differences(shown[None], target[None])[0]), any(window)))
    return aligned


def _kind(turn: int, cut: bool) -> str:
    if turn:
        return "mirrored" if turn in views.MIRRORED else "rotated"
    return "cropped" if cut else "near"
