"""Find exact and near duplicates within and across subsets, and cluster them.

Two images are exact duplicates if their decoded pixels are equal. Near duplicates are found in two steps. If the hash
of a variant of one image (brightened, cropped, turned or mirrored) is close to the other's, the pair is a candidate.
Then the two thumbnails are compared pixel by pixel, because two scenes may share a hash without being duplicates (two
sunsets). If they differ only at the margins, a search finds the window of one image that shows the other.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from podium import contracts
from podium.analysis import clustering, near_duplicates
from podium.analysis.fingerprints import MIN_CONTRAST, Prints, contrasts
from podium.analysis.near_duplicates import NearDuplicatePairs

Name = tuple[str, str]  # (subset, image_id)
Pairs = npt.NDArray[np.int64]  # (pairs, 2), positions
Leak = tuple[str, str, str, float]


@dataclass(frozen=True)
class Duplicates:
    """Exact and near duplicates of a contest's images.

    Attributes:
        clusters: train image -> its cluster, for clusters of at least 2 images.
        apart: number of near-duplicate train pairs that are in different clusters, because clusters do not chain.
        leaks: (test image, train image, kind, similarity), sorted; kind as in contracts.LEAKS. For each test image,
            the contracts.MAX_DUPLICATES_NAMED most similar train images.
        leaks_left_out: number of further pairs.
        exact: groups of at least 2 images of equal pixels, each image as (subset, image_id).
        near: pairs of near duplicates, with kind and similarity; one image stands for all with equal pixels.
        nearest: (subset, image_id) -> similarity of its nearest near duplicate.
    """

    clusters: dict[str, str]
    apart: int
    leaks: list[Leak]
    leaks_left_out: int
    exact: list[list[Name]]
    near: list[tuple[Name, Name, str, float]]
    nearest: dict[Name, float]


def search(
    train: Prints, test: Prints, *, max_hash_distance: int | None, min_similarity: float, workers: int = 0
) -> Duplicates:
    """Find exact and near duplicates within and across subsets; test images change no cluster.

    Images of equal pixels are one node. Nodes with too little contrast have no near duplicates. Plain drawings are near
    duplicates only if they show the same at the same place in the same colours.
    """
    names = [("train", i) for i in train.image_ids] + [("test", i) for i in test.image_ids]
    groups: dict[str, list[int]] = {}
    for position, key in enumerate(train.digests + test.digests):
        groups.setdefault(key, []).append(position)
    nodes = [[names[position] for position in group] for group in groups.values()]
    thumbs = np.concatenate([train.thumbs, test.thumbs])[[group[0] for group in groups.values()]]
    colours = np.concatenate([train.colours, test.colours])[[group[0] for group in groups.values()]]
    searched = np.flatnonzero(contrasts(thumbs[:, 0]) >= MIN_CONTRAST)
    near_pairs = near_duplicates.near_pairs(
        thumbs[searched],
        colours[searched],
        max_hash_distance=max_hash_distance,
        min_similarity=min_similarity,
        workers=workers,
    )
    near_pairs = NearDuplicatePairs(
        searched[near_pairs.pairs], near_pairs.similarity, near_pairs.kinds, searched[near_pairs.doubtful]
    )
    clusters, apart = _clusters(nodes, near_pairs)
    leaks, left_out = _leaks(nodes, near_pairs)
    return Duplicates(
        clusters=clusters,
        apart=apart,
        leaks=leaks,
        leaks_left_out=left_out,
        exact=[node for node in nodes if len(node) > 1],
        near=_near(nodes, near_pairs),
        nearest=_nearest(nodes, near_pairs),
    )


def _has(subset: str, nodes: list[list[Name]]) -> npt.NDArray[np.bool_]:
    return np.array([any(name == subset for name, _ in node) for node in nodes], np.bool_)


def _of(subset: str, node: list[Name]) -> list[str]:
    return [image_id for name, image_id in node if name == subset]


def _clusters(nodes: list[list[Name]], near_pairs: NearDuplicatePairs) -> tuple[dict[str, str], int]:
    in_train = _has("train", nodes)
    sure, doubtful = (pairs[in_train[pairs].all(axis=1)] for pairs in (near_pairs.pairs, near_pairs.doubtful))
    sure = np.concatenate([sure, clustering.supported(doubtful, sure)])
    train = [_of("train", node) for node in nodes]
    centres = clustering.star_clusters([min(ids, default="") for ids in train], sure)
    members: dict[int, list[str]] = {}
    for centre, ids in zip(centres.tolist(), train, strict=True):
        members.setdefault(centre, []).extend(ids)
    clusters = {image_id: min(ids) for ids in members.values() if len(ids) > 1 for image_id in ids}
    return clusters, int(np.count_nonzero(centres[sure[:, 0]] != centres[sure[:, 1]]))


def _leaks(nodes: list[list[Name]], near_pairs: NearDuplicatePairs) -> tuple[list[Leak], int]:
    """Return the leaks and the number of pairs left out; test images of one node have the same duplicates."""
    near: dict[int, list[tuple[float, str, int]]] = {}
    for pair, similarity, kind in zip(
        near_pairs.pairs.tolist(), near_pairs.similarity.tolist(), near_pairs.kinds, strict=True
    ):
        for one, other in (pair, pair[::-1]):
            near.setdefault(one, []).append((similarity, kind, other))
    leaks, left_out = [], 0
    for position, node in enumerate(nodes):
        if tests := _of("test", node):
            duplicate_nodes = [(1.0, "exact", position), *near.get(position, [])]
            matches = [(train, kind, s) for s, kind, other in duplicate_nodes for train in _of("train", nodes[other])]
            matches.sort(key=lambda match: (match[1] != "exact", -match[2], match[0]))
            leaks += [(test, *match) for test in tests for match in matches[: contracts.MAX_DUPLICATES_NAMED]]
            left_out += len(tests) * len(matches[contracts.MAX_DUPLICATES_NAMED :])
    return sorted(leaks), left_out


def _near(nodes: list[list[Name]], near_pairs: NearDuplicatePairs) -> list[tuple[Name, Name, str, float]]:
    rows = zip(near_pairs.pairs.tolist(), near_pairs.kinds, near_pairs.similarity.tolist(), strict=True)
    return [(nodes[one][0], nodes[other][0], kind, similarity) for (one, other), kind, similarity in rows]


def _nearest(nodes: list[list[Name]], near_pairs: NearDuplicatePairs) -> dict[Name, float]:
    best = np.full(len(nodes), -1.0)
    for side in (0, 1):
        np.maximum.at(best, near_pairs.pairs[:, side], near_pairs.similarity)
    return {name: float(best[k]) for k in np.unique(near_pairs.pairs).tolist() for name in nodes[k]}
