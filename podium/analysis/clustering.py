"""Cluster nodes by pairs of near duplicates, without chaining.

If A is a near duplicate of B and B of C, A and C need not share a cluster.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Pairs = npt.NDArray[np.int64]  # (pairs, 2), positions


def supported(doubtful: Pairs, pairs: Pairs) -> Pairs:
    """Return the doubtful pairs whose two nodes share a neighbour, i.e. are both in pairs with a third node."""
    neighbours: dict[int, set[int]] = defaultdict(set)
    for one, other in pairs.tolist():
        neighbours[one].add(other)
        neighbours[other].add(one)
    shared = [not neighbours[one].isdisjoint(neighbours[other]) for one, other in doubtful.tolist()]
    return doubtful[np.array(shared, np.bool_)]


def star_clusters(names: Sequence[str], pairs: Pairs) -> npt.NDArray[np.int64]:
    """Group nodes around centres: each node of a cluster is in a pair with the centre.

    The node with the most free neighbours becomes a centre (ties: the smaller name), and these neighbours become its
    cluster; then the next node. So a chain of pairs does not join its two ends.

    Args:
        names: one name per node.
        pairs: positions of the near duplicates, each pair once.

    Returns:
        The centre of each node; a centre or a single node is its own centre.

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
        if free[node] and degree[node] != -counted:  # outdated: some neighbours have joined a cluster since
            heapq.heappush(heap, (-int(degree[node]), name, node))
        elif free[node]:
            star = np.append(neighbours[node][free[neighbours[node]]], node)
            free[star], centres[star] = False, node
            for member in star.tolist():
                degree[neighbours[member]] -= 1
    return centres
