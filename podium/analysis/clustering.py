"""Clusters of nodes that are alike in pairs; a chain of pairs never joins its ends."""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int64]  # (pairs, 2), positions


def supported(doubtful: Pairs, pairs: Pairs) -> Pairs:
    """Return the doubtful pairs whose two nodes have a neighbour in common: both are in pairs with a third node."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for one, other in pairs.tolist():
        neighbours[one].add(other)
        neighbours[other].add(one)
    shared = [not neighbours[one].isdisjoint(neighbours[other]) for one, other in doubtful.tolist()]
    return doubtful[np.array(shared, np.bool_)]


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
