"""Find near-duplicate pairs among thumbnails: candidates by hash, then a comparison of each pair's pictures.

A match is a row of a table: a hash variant of image `one` (`shot` and `turn`, as in podium.analysis.hash_variants) is
similar to the plain image `other`.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pandas as pd

from podium.analysis import fingerprints, hash_variants, lsh, thumbnail_similarity
from podium.analysis.fingerprints import MIN_CONTRAST, Image, contrasts
from podium.core import parallel
from podium.core.errors import InputError

MAX_LOCAL_DIFFERENCE = 0.6  # standard deviations, in the worst of 64 blocks; docs/duplicates.md has the reason
NEARLY_EQUAL = 0.99  # at this similarity only something small differs: a watermark, a bird
SAME_COLOUR = 4  # levels by which the mean colours of two plain drawings may differ
MARGIN = 0.02  # of similarity: a pair may miss the threshold by it if a third image is a near duplicate of both
MIN_ALIGNABLE = 0.75  # similarity from which a search for a better window is worthwhile
CHUNK = 256  # pairs compared at once
MAX_MATCHES = 5_000_000  # per shot; about 1 GB

_NOTHING = pd.DataFrame(
    {name: np.empty(0, np.int64) for name in ("low", "high", "one", "other", "shot", "turn")}
    | {"similarity": np.empty(0), "cut": np.empty(0, np.bool_), "sure": np.empty(0, np.bool_)}
)

Floats = npt.NDArray[np.float64]
Positions = npt.NDArray[np.int64]
Doubts = tuple[
    Image, Image, list[hash_variants.Window]
]  # thumbnails, target pictures, and the window where each search starts


@dataclass(frozen=True)
class NearDuplicatePairs:
    """Pairs of near duplicates.

    Attributes:
        pairs: (pairs, 2), positions, the smaller first; sorted.
        similarity: (pairs,), correlation.
        kinds: how the two images differ: "near", "cropped", "mirrored" or "rotated".
        doubtful: (doubtful pairs, 2), like `pairs`: unconfirmed, with a similarity of at least min_similarity - MARGIN.
    """

    pairs: Positions
    similarity: Floats
    kinds: list[str]
    doubtful: Positions


def near_pairs(
    thumbs: Image, colours: Image, *, max_hash_distance: int | None, min_similarity: float, workers: int = 0
) -> NearDuplicatePairs:
    """Find the near-duplicate pairs; the result is the same for any number of worker processes.

    Args:
        thumbs: (images, 2, side, side) of fingerprints.Prints, all with some contrast.
        colours: (images, 3) of the same.
        max_hash_distance: bits of 63 in which the hashes of a candidate pair may differ; None for no candidates.
        min_similarity: correlation that confirms a candidate.

    Raises:
        InputError: so many images look alike that their pairs do not fit in memory.
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
        final = matches[matches["sure"] & (matches["similarity"] >= NEARLY_EQUAL)]
        rows = rows[~_codes(rows).isin(_codes(final))]
        matches = _best(pd.concat([matches, _measured(rows, pictures, plain, min_similarity)]))
    strict = drawn[matches[["low", "high"]]].any(axis=1)
    matches = matches[~strict | (matches["sure"] & (matches["similarity"] >= NEARLY_EQUAL))]  # no search for a window
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
    """Return the candidates of a shot: its pictures, in every turn, with a hash near that of a plain image."""
    usable = np.flatnonzero(contrasts(pictures) >= MIN_CONTRAST)
    queries = hash_variants.hashes(pictures[usable])  # (turns, usable)
    ones = np.tile(usable, len(queries))
    blocks, count = [np.empty((0, 2), np.int64)], 0
    for block in lsh.near(queries.ravel(), hashes, max_distance):
        one, other = ones[block[:, 0]], block[:, 1]
        # for the plain shot one direction is enough: turning `one` is the same as turning `other` back
        blocks.append(block[one < other if shot == 0 else one != other])
        count += len(blocks[-1])
        if count > MAX_MATCHES:
            raise InputError(
                f"more than {MAX_MATCHES:,} pairs of images look alike (a fixed camera?): lower"
                f" analyze.max_hash_distance ({max_distance}) in params.yaml; or set it to null, which reports exact"
                " duplicates only, and name the column of groups in contest.columns.group"
            )
    query, other = np.concatenate(blocks).T
    one = ones[query]
    columns = {"low": np.minimum(one, other), "high": np.maximum(one, other), "one": one, "other": other}
    return pd.DataFrame({**columns, "shot": shot, "turn": query // max(len(usable), 1)})


def _plausible(rows: pd.DataFrame, drawn: npt.NDArray[np.bool_], colours: Image) -> pd.DataFrame:
    """Drop matches of plain drawings that are brightened, cropped or turned, or differ in colour."""
    one, other = rows["one"].to_numpy(), rows["other"].to_numpy()
    unchanged = (rows["shot"] == 0) & (rows["turn"] == 0)
    apart = np.abs(colours[one].astype(np.int64) - colours[other]).max(axis=1, initial=0)
    return rows[~(drawn[one] | drawn[other]) | (unchanged & (apart <= SAME_COLOUR))]


def _codes(matches: pd.DataFrame) -> "pd.Series[int]":
    """Return a number for each match's pair; positions are below 2 ** 31."""
    return matches["low"] * 2**31 + matches["high"]


def _best(matches: pd.DataFrame) -> pd.DataFrame:
    """Keep each pair's best match: confirmed before unconfirmed, then by similarity, then the simplest variant."""
    order = ["low", "high", "sure", "similarity", "shot", "turn", "one"]
    ascending = [name not in ("sure", "similarity") for name in order]
    return matches.sort_values(order, ascending=ascending).drop_duplicates(["low", "high"], ignore_index=True)


def _measured(rows: pd.DataFrame, pictures: Image, plain: Image, min_similarity: float) -> pd.DataFrame:
    """For every match of a shot, compare the turned picture of `one` with the plain picture of `other`."""
    one, other, turn = (rows[name].to_numpy() for name in ("one", "other", "turn"))
    similarity, difference = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), CHUNK):
        some = slice(start, start + CHUNK)
        variants = pictures[one[some]]
        for value in range(1, hash_variants.TURNS):
            at = np.flatnonzero(turn[some] == value)
            variants[at] = hash_variants.turned(variants[at], value)
        similarity[some] = thumbnail_similarity.similarities(variants, plain[other[some]])
        difference[some] = thumbnail_similarity.local_differences(variants, plain[other[some]])
    cut = [any(hash_variants.SHOTS[shot][1]) for shot in rows["shot"]]
    return rows.assign(similarity=similarity, cut=cut, sure=_confirmed(similarity, difference, min_similarity))


def _confirmed(similarity: Floats, difference: Floats, min_similarity: float) -> npt.NDArray[np.bool_]:
    small = (difference <= MAX_LOCAL_DIFFERENCE) | (similarity >= NEARLY_EQUAL)
    return (similarity >= min_similarity) & small


def _aligned(matches: pd.DataFrame, thumbs: Image, plain: Image, min_similarity: float, workers: int) -> pd.DataFrame:
    """Measure matches again, with the window of `one` that is most similar to `other`."""
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
