"""Near duplicates among thumbnails: candidates by the hashes of their variants, confirmed picture by picture.

A match is a row: a variant (`shot` and `turn`, as in podium.analysis.hash_variants) of image `one` is like image
`other` as it is.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from podium.analysis import fingerprints, hash_variants, lsh, thumbnail_similarity
from podium.analysis.fingerprints import MIN_CONTRAST, Image, contrasts
from podium.core import parallel
from podium.core.errors import InputError

MAX_LOCAL_DIFFERENCE = 0.6  # standard deviations, in the worst of 64 blocks (docs/duplicates.md says why)
NEARLY_EQUAL = 0.99  # from this similarity on what differs is one small thing: a watermark, a bird
SAME_COLOUR = 4  # levels by which the mean colours of two plain drawings may differ
MARGIN = 0.02  # of similarity, by which a pair may fail that a third image, alike to both, makes plausible
MIN_ALIGNABLE = 0.75  # similarity from which it is worth looking for a window that fits better
CHUNK = 256  # pairs compared at once
MAX_MATCHES = 5_000_000  # of one shot: about 1 GB

_NOTHING = pd.DataFrame(
    {name: np.empty(0, np.int64) for name in ("low", "high", "one", "other", "shot", "turn")}
    | {"similarity": np.empty(0), "cut": np.empty(0, np.bool_), "sure": np.empty(0, np.bool_)}
)

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Doubts = tuple[
    Image, Image, list[hash_variants.Window]
]  # thumbnails, the pictures they may show, windows to begin with


@dataclass(frozen=True)
class NearDuplicatePairs:
    """Pairs of near duplicates.

    Attributes:
        pairs: (pairs, 2), positions, the smaller first; sorted.
        similarity: (pairs,), correlation.
        kinds: how the one differs from the other: "near", "cropped", "mirrored" or "rotated".
        doubtful: (doubtful pairs, 2), likewise: pairs that are almost near duplicates.
    """

    pairs: Positions
    similarity: Floats
    kinds: list[str]
    doubtful: Positions


def near_pairs(
    thumbs: Image, colours: Image, *, max_hash_distance: int | None, min_similarity: float, workers: int = 0
) -> NearDuplicatePairs:
    """Find the pairs of images that are near duplicates; the same whatever the number of worker processes.

    Args:
        thumbs: (images, 2, side, side) of fingerprints.Prints, all with some contrast.
        colours: (images, 3) of the same.
        max_hash_distance: bits of 63 in which the hashes of candidates differ at most; None: there are no candidates.
        min_similarity: correlation that confirms a candidate.

    Raises:
        InputError: so many images look alike that their pairs would not fit the memory.
    """
    if max_hash_distance is None:
        return NearDuplicatePairs(np.empty((0, 2), np.int64), np.empty(0), [], np.empty((0, 2), np.int64))
    plain = hash_variants.shot(thumbs, 0)
    hashes = hash_variants.hashes(plain, turns=[0])[0]
    drawn = fingerprints.plain(thumbs[:, 0])
    matches = _best(_NOTHING)
    for shot in range(len(hash_variants.SHOTS)):
        pictures = plain if shot == 0 else hash_variants.shot(thumbs, shot)
        rows = _plausible(_candidates(pictures, hashes, shot, max_hash_distance), drawn, colours)
        settled = matches[matches["sure"] & (matches["similarity"] >= NEARLY_EQUAL)]
        rows = rows[~_codes(rows).isin(_codes(settled))]
        matches = _best(pd.concat([matches, _measured(rows, pictures, plain, min_similarity)]))
    strict = drawn[matches[["low", "high"]]].any(axis=1)
    matches = matches[~strict | (matches["sure"] & (matches["similarity"] >= NEARLY_EQUAL))]  # no window is looked for
    doubtful = matches[~matches["sure"] & (matches["similarity"] >= MIN_ALIGNABLE)]
    matches = pd.concat([matches[matches["sure"]], _aligned(doubtful, thumbs, plain, min_similarity, workers)])
    matches = matches.sort_values(["low", "high"])
    sure, almost = (
        matches[matches["sure"]],
        matches[~matches["sure"] & (matches["similarity"] >= min_similarity - MARGIN)],
    )
    return NearDuplicatePairs(
        pairs=sure[["low", "high"]].to_numpy(np.int64),
        similarity=sure["similarity"].to_numpy(np.float64),
        kinds=[_kind(turn, cut) for turn, cut in zip(sure["turn"], sure["cut"], strict=True)],
        doubtful=almost[["low", "high"]].to_numpy(np.int64),
    )


def _candidates(pictures: Image, hashes: npt.NDArray[np.uint64], shot: int, max_distance: int) -> pd.DataFrame:
    """Return the matches of a shot's pictures, in every turn, whose hashes are near those of the plain images."""
    usable = np.flatnonzero(contrasts(pictures) >= MIN_CONTRAST)
    queries = hash_variants.hashes(pictures[usable])  # (turns, usable)
    ones = np.tile(usable, len(queries))
    found, count = [np.empty((0, 2), np.int64)], 0
    for block in lsh.near(queries.ravel(), hashes, max_distance):
        one, other = ones[block[:, 0]], block[:, 1]
        found.append(block[one < other if shot == 0 else one != other])  # a turned plain image has its mate turned back
        count += len(found[-1])
        if count > MAX_MATCHES:
            raise InputError(
                f"more than {MAX_MATCHES:,} pairs of images look alike (one camera that does not move?): lower"
                f" analyze.max_hash_distance ({max_distance}) in params.yaml, or say null (exact duplicates alone) and"
                " name what belongs together in contest.columns.group"
            )
    query, other = np.concatenate(found).T
    one = ones[query]
    columns = {"low": np.minimum(one, other), "high": np.maximum(one, other), "one": one, "other": other}
    return pd.DataFrame({**columns, "shot": shot, "turn": query // max(len(usable), 1)})


def _plausible(rows: pd.DataFrame, drawn: npt.NDArray[np.bool_], colours: Image) -> pd.DataFrame:
    """Leave out the matches of plain drawings that are no variant as the image is, or differ in colour."""
    one, other = rows["one"].to_numpy(), rows["other"].to_numpy()
    as_it_is = (rows["shot"] == 0) & (rows["turn"] == 0)
    apart = np.abs(colours[one].astype(np.int64) - colours[other]).max(axis=1, initial=0)
    return rows[~(drawn[one] | drawn[other]) | (as_it_is & (apart <= SAME_COLOUR))]


def _codes(matches: pd.DataFrame) -> "pd.Series[int]":
    """Return a number for each match's pair; positions are below 2 ** 31."""
    return matches["low"] * 2**31 + matches["high"]


def _best(matches: pd.DataFrame) -> pd.DataFrame:
    """Keep each pair's best match: one that confirms it, the most similar, of the simplest variant."""
    order = ["low", "high", "sure", "similarity", "shot", "turn", "one"]
    ascending = [name not in ("sure", "similarity") for name in order]
    return matches.sort_values(order, ascending=ascending).drop_duplicates(["low", "high"], ignore_index=True)


def _measured(rows: pd.DataFrame, pictures: Image, plain: Image, min_similarity: float) -> pd.DataFrame:
    """Compare the picture of `one`, turned, with the plain one of `other`, for every match of a shot."""
    one, other, turn = (rows[name].to_numpy() for name in ("one", "other", "turn"))
    similarity, difference = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        viewed = pictures[one[some]]
        for value in range(1, hash_variants.TURNS):
            at = np.flatnonzero(turn[some] == value)
            viewed[at] = hash_variants.turned(viewed[at], value)
        similarity[some] = thumbnail_similarity.similarities(viewed, plain[other[some]])
        difference[some] = thumbnail_similarity.local_differences(viewed, plain[other[some]])
    cut = [any(hash_variants.SHOTS[shot][1]) for shot in rows["shot"]]
    return rows.assign(similarity=similarity, cut=cut, sure=_confirmed(similarity, difference, min_similarity))


def _confirmed(similarity: Floats, difference: Floats, min_similarity: float) -> npt.NDArray[np.bool_]:
    small = (difference <= MAX_LOCAL_DIFFERENCE) | (similarity >= NEARLY_EQUAL)
    return (similarity >= min_similarity) & small


def _aligned(matches: pd.DataFrame, thumbs: Image, plain: Image, min_similarity: float, workers: int) -> pd.DataFrame:
    """Measure matches again after looking for the window of the one that shows the other."""
    chunks = [matches.iloc[start : start + CHUNK] for start in range(0, len(matches), CHUNK)]
    doubts = [_doubts(chunk, thumbs, plain) for chunk in chunks]
    done = parallel.in_order(_align, doubts, workers=workers, name=lambda _: "the thumbnails", preload=(__name__,))
    rows = [row for chunk in done for row in chunk]
    similarity, difference = (np.array([row[k] for row in rows], np.float64) for k in (0, 1))
    sure = _confirmed(similarity, difference, min_similarity)
    return matches.assign(similarity=similarity, cut=[row[2] for row in rows], sure=sure)


def _doubts(matches: pd.DataFrame, thumbs: Image, plain: Image) -> Doubts:
    brightened = [hash_variants.SHOTS[shot][0] for shot in matches["shot"]]
    windows = [hash_variants.SHOTS[shot][1] for shot in matches["shot"]]
    others = zip(plain[matches["other"]], matches["turn"], strict=True)
    targets = [hash_variants.turned_back(picture, turn) for picture, turn in others]
    return thumbs[matches["one"], brightened], np.stack(targets), windows


def _align(doubts: Doubts) -> list[tuple[float, float, bool]]:
    aligned = []
    for thumb, target, start in zip(*doubts, strict=True):
        similarity, window = thumbnail_similarity.best_window(thumb, target, start)
        shown = hash_variants.cut_out(thumb, window)
        aligned.append(
            (similarity, float(thumbnail_similarity.local_differences(shown[None], target[None])[0]), any(window))
        )
    return aligned


def _kind(turn: int, cut: bool) -> str:
    if turn:
        return "mirrored" if turn in hash_variants.MIRRORED else "rotated"
    return "cropped" if cut else "near"
