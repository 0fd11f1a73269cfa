"""Fingerprints of images; exact and near duplicates; clusters that do not grow by chaining.

Two images are exact duplicates when their decoded pixels are equal. They are near duplicates when a
perceptual hash makes them candidates and their thumbnails, compared pixel by pixel, confirm it, either
way up to a mirroring: scenes that merely share a hash (two sunsets) are not duplicates.
"""

import hashlib
import heapq
import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np
import numpy.typing as npt

from stages.lib.errors import InputError

SIDE = 32  # pixels of a thumbnail's side, large enough to tell two photos of one kind of scene apart
HASH_SIDE = 8  # lowest frequencies kept each way: 64 bits
MIN_CONTRAST = 4.0  # grey levels of 255; below it a thumbnail is mostly rounding, and resembles anything
BLOCK = 1 << 20  # pairs of hashes compared at once: bounds the memory
CHUNK = 256  # pairs of thumbnails compared at once
MAX_PAIRS = 10_000_000  # about 1 GB

Image = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float64]
Name = tuple[str, str]  # (part, image_id)
Pairs = npt.NDArray[np.int64]  # (pairs, 2), positions


class Pack(Protocol):
    """What is needed of a pack of pixels (stages.lib.pixels.Packed)."""

    def __getitem__(self, image_id: str) -> Image:
        """Return the image, (height, width, 3)."""
        ...


@dataclass(frozen=True)
class Prints:
    """What is kept of every image of a part to compare it with others.

    Attributes:
        image_ids: sorted.
        digests: sha256 of each image's size and decoded pixels.
        thumbs: (images, SIDE, SIDE), grey.
    """

    image_ids: list[str]
    digests: list[str]
    thumbs: Image


@dataclass(frozen=True)
class Found:
    """Which images are the same.

    Attributes:
        clusters: train image -> its cluster, for clusters of at least 2.
        apart: pairs of near train images that ended in different clusters, since clusters do not chain.
        leaks: (test image, train image, "exact" or "near", similarity), sorted.
        exact: groups of at least 2 images of equal pixels, each image as (part, image_id).
        nearest: (part, image_id) -> similarity of its nearest near duplicate.
    """

    clusters: dict[str, str]
    apart: int
    leaks: list[tuple[str, str, str, float]]
    exact: list[list[Name]]
    nearest: dict[Name, float]


def prints(pack: Pack, image_ids: Iterable[str]) -> Prints:
    """Fingerprint the images named, in sorted order."""
    ids, digests, thumbs = [], [], []
    for image_id in image_ids:
        image = pack[image_id]
        ids.append(image_id)
        digests.append(digest(image))
        thumbs.append(thumbnail(image))
    return Prints(ids, digests, np.array(thumbs, np.uint8).reshape(-1, SIDE, SIDE))


def search(train: Prints, test: Prints, *, max_hash_distance: int, min_similarity: float) -> Found:
    """Find the images that are the same, within and across parts; test images change no cluster.

    Images of equal pixels are one node; nodes of too little contrast have no near duplicates.
    """
    names = [("train", i) for i in train.image_ids] + [("test", i) for i in test.image_ids]
    groups: dict[str, list[int]] = {}
    for position, key in enumerate(train.digests + test.digests):
        groups.setdefault(key, []).append(position)
    nodes = [[names[position] for position in group] for group in groups.values()]
    thumbs = np.concatenate([train.thumbs, test.thumbs])[[group[0] for group in groups.values()]]
    searched = np.flatnonzero(contrasts(thumbs) >= MIN_CONTRAST)
    pairs, similarity = near_pairs(thumbs[searched], max_hash_distance, min_similarity)
    pairs = searched[pairs]
    clusters, apart = _clusters(nodes, pairs)
    return Found(
        clusters=clusters,
        apart=apart,
        leaks=_leaks(nodes, pairs, similarity),
        exact=[node for node in nodes if len(node) > 1],
        nearest=_nearest(nodes, pairs, similarity),
    )


def _has(part: str, nodes: list[list[Name]]) -> npt.NDArray[np.bool_]:
    return np.array([any(name == part for name, _ in node) for node in nodes], np.bool_)


def _of(part: str, node: list[Name]) -> list[str]:
    return [image_id for name, image_id in node if name == part]


def _clusters(nodes: list[list[Name]], pairs: Pairs) -> tuple[dict[str, str], int]:
    kept = pairs[_has("train", nodes)[pairs].all(axis=1)]
    train = [_of("train", node) for node in nodes]
    centres = star_clusters([min(ids, default="") for ids in train], kept)
    members: dict[int, list[str]] = {}
    for centre, ids in zip(centres.tolist(), train, strict=True):
        members.setdefault(centre, []).extend(ids)
    clusters = {image_id: min(ids) for ids in members.values() if len(ids) > 1 for image_id in ids}
    return clusters, int(np.count_nonzero(centres[kept[:, 0]] != centres[kept[:, 1]]))


def _leaks(nodes: list[list[Name]], pairs: Pairs, similarity: Floats) -> list[tuple[str, str, str, float]]:
    found = [(test, train, "exact", 1.0) for n in nodes for test in _of("test", n) for train in _of("train", n)]
    in_test, in_train = _has("test", nodes), _has("train", nodes)
    for one, other in ((0, 1), (1, 0)):
        across = np.flatnonzero(in_test[pairs[:, one]] & in_train[pairs[:, other]])
        for (i, j), s in zip(pairs[across][:, [one, other]].tolist(), similarity[across].tolist(), strict=True):
            found += [(test, train, "near", s) for test in _of("test", nodes[i]) for train in _of("train", nodes[j])]
    return sorted(found)


def _nearest(nodes: list[list[Name]], pairs: Pairs, similarity: Floats) -> dict[Name, float]:
    best = np.full(len(nodes), -1.0)
    for side in (0, 1):
        np.maximum.at(best, pairs[:, side], similarity)
    return {name: float(best[k]) for k in np.unique(pairs).tolist() for name in nodes[k]}


def contrasts(thumbs: Image) -> Floats:
    """Return the standard deviation of each thumbnail in grey levels, (images,)."""
    spread: Floats = thumbs.reshape(len(thumbs), SIDE**2).std(axis=1, dtype=np.float64)
    return spread


def digest(image: Image) -> str:
    """Hash the size and pixels of an image (height, width, 3)."""
    return hashlib.sha256(repr(image.shape).encode() + np.ascontiguousarray(image).tobytes()).hexdigest()


def thumbnail(image: Image) -> Image:
    """Return a grey (SIDE, SIDE) version of an RGB image; the aspect ratio is given up."""
    small: Image = cv2.resize(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
    return small


def perceptual_hashes(thumbs: Image) -> npt.NDArray[np.uint64]:
    """Return the signs of the lowest frequencies of each thumbnail as 64 bits, (images,).

    Unlike the usual threshold at the median, the sign makes the hash of a mirrored image the same
    image's hash with some bits turned over, so that mirrored pairs are found from either side.

    Source: Zauner 2010, Implementation and Benchmarking of Perceptual Image Hash Functions (pHash).
    """
    hashes = np.zeros(len(thumbs), np.uint64)
    powers = np.uint64(1) << np.arange(HASH_SIDE**2, dtype=np.uint64)
    for i, thumb in enumerate(thumbs):
        frequencies = cv2.dct(thumb.astype(np.float64))[:HASH_SIDE, :HASH_SIDE]
        frequencies[0, 0] = 0  # the mean says nothing about the picture
        hashes[i] = powers[frequencies.ravel() > 0].sum(dtype=np.uint64)
    return hashes


def near_pairs(thumbs: Image, max_hash_distance: int, min_similarity: float) -> tuple[Pairs, Floats]:
    """Find the pairs of thumbnails that are near duplicates, upright or mirrored.

    Args:
        thumbs: (images, SIDE, SIDE), all with some contrast.
        max_hash_distance: bits of 64 in which the hashes of candidates differ at most.
        min_similarity: correlation of the thumbnails that confirms a candidate.

    Returns:
        Pairs (i < j) in order, and the similarity of each.

    Raises:
        InputError: so many images look alike that their pairs would not fit the memory.
    """
    n = len(thumbs)
    both_ways = np.concatenate([thumbs, thumbs[:, :, ::-1]])  # image i mirrored stands at n + i
    found, count = [np.empty((0, 3))], 0
    for pairs in _candidates(perceptual_hashes(both_ways), n, max_hash_distance):
        for start in range(0, len(pairs), CHUNK):
            chunk = pairs[start : start + CHUNK]
            similarity = similarities(both_ways[chunk[:, 0]], both_ways[chunk[:, 1]])
            found.append(np.column_stack([np.sort(chunk % n), similarity])[similarity >= min_similarity])
            count += len(found[-1])
            if count > MAX_PAIRS:
                raise InputError(
                    f"more than {MAX_PAIRS:,} pairs of images look alike (one camera that does not move?): raise"
                    f" analyze.min_similarity ({min_similarity:g}) in params.yaml"
                )
    rows = np.concatenate(found)
    rows = rows[np.lexsort((-rows[:, 2], rows[:, 1], rows[:, 0]))]  # a pair's best way, upright or mirrored, first
    _, first = np.unique(rows[:, :2], axis=0, return_index=True)
    return rows[first, :2].astype(np.int64), rows[first, 2]


def similarities(first: Image, second: Image) -> Floats:
    """Return the correlation of each pair of thumbnails, (pairs, side, side) each -> (pairs,).

    The sums are of integers of at most 128 x 128 x SIDE x SIDE = 2 ** 24, which float32 holds exactly: a pair's
    similarity never depends on the order of summation, so neither on its company nor on the machine.
    """
    a, b = (x.reshape(len(x), SIDE**2).astype(np.float32) - 128 for x in (first, second))
    totals = [x.sum(axis=1).astype(np.float64) for x in (a, b)]
    products = [np.einsum("ij,ij->i", x, y).astype(np.float64) for x, y in ((a, b), (a, a), (b, b))]
    covariance = SIDE**2 * products[0] - totals[0] * totals[1]
    scale = np.sqrt((SIDE**2 * products[1] - totals[0] ** 2) * (SIDE**2 * products[2] - totals[1] ** 2))
    correlation: Floats = np.divide(covariance, scale, out=np.zeros_like(covariance), where=scale > 0)
    return correlation


def _candidates(hashes: npt.NDArray[np.uint64], n: int, max_distance: int) -> Iterator[Pairs]:
    """Yield blocks of pairs (i < n, j) of different images within the distance, no pair twice.

    Hashes within d bits agree in full in one of d + 1 bands, so that only hashes that share a band are
    compared (multi-index hashing: Norouzi, Punjani & Fleet 2012).
    """
    bands = _bands(max_distance + 1)
    for k, band in enumerate(bands):
        for group in _equal(hashes & band):
            upright = group[group < n]
            step = max(1, BLOCK // len(group))
            for start in range(0, len(upright), step):
                some = upright[start : start + step]
                difference = hashes[some, None] ^ hashes[None, group]
                near = np.bitwise_count(difference) <= max_distance
                near &= (group % n != some[:, None]) & ((group >= n) | (group > some[:, None]))
                for earlier in bands[:k]:
                    near &= (difference & earlier) != 0
                rows, columns = np.nonzero(near)
                yield np.stack([some[rows], group[columns]], axis=1)


def _equal(keys: npt.NDArray[np.uint64]) -> list[npt.NDArray[np.int64]]:
    """Return the positions of each key that stands there more than once."""
    order = np.argsort(keys, kind="stable")
    starts = np.flatnonzero(keys[order][1:] != keys[order][:-1]) + 1
    return [group for group in np.split(order, starts) if len(group) > 1]


def _bands(count: int) -> list[np.uint64]:
    edges = [round(64 * k / count) for k in range(count + 1)]
    return [np.uint64((1 << high) - (1 << low)) for low, high in itertools.pairwise(edges)]


def star_clusters(names: Sequence[str], pairs: Pairs) -> npt.NDArray[np.int64]:
    """Group nodes around centres: each member is paired with its cluster's centre itself.

    The node with the most neighbours still free becomes a centre (ties: the smaller name) and takes them;
    then the next. A chain of pairs therefore never joins its ends.

    Args:
        names: one name a node.
        pairs: positions of the nodes that are alike, each pair once.

    Returns:
        The centre of each node, itself for a centre or a node alone.

    Source: Aslam, Pelekhov & Rus 2004, The Star Clustering Algorithm.
    """
    n = len(names)
    ends = np.concatenate([pairs, pairs[:, ::-1]])
    ends = ends[np.argsort(ends[:, 0], kind="stable")]
    starts = np.searchsorted(ends[:, 0], np.arange(n + 1))
    neighbours = [ends[low:high, 1] for low, high in itertools.pairwise(starts)]
    degree, free, centres = np.diff(starts), np.ones(n, np.bool_), np.arange(n)
    heap = [(-int(degree[node]), names[node], node) for node in np.flatnonzero(degree).tolist()]
    heapq.heapify(heap)
    while heap:
        counted, name, node = heapq.heappop(heap)
        if free[node] and degree[node] != -counted:  # counted before some neighbours were taken
            heapq.heappush(heap, (-int(degree[node]), name, node))
        elif free[node]:
            star = np.append(neighbours[node][free[neighbours[node]]], node)
            free[star], centres[star] = False, node
            for taken in star.tolist():
                degree[neighbours[taken]] -= 1
    return centres
