"""The summary of the search for duplicates and odd images: numbers for summary.json, and sentences to print."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from podium import contracts
from podium.analysis import findings
from podium.analysis.duplicates import Duplicates


def summarise(
    usable: Mapping[str, int], table: pd.DataFrame, clusters: pd.DataFrame, leaks: pd.DataFrame, result: Duplicates
) -> dict[str, Any]:
    """Count what was found.

    Args:
        usable: number of usable images by subset.
        table: findings of both subsets (contracts.FINDINGS).
        clusters: train images with a duplicate in train (contracts.CLUSTERS).
        leaks: test images with a duplicate in train (contracts.LEAKS).
        result: of the search for duplicates.
    """
    sizes = clusters["cluster"].value_counts()
    return {
        "usable_images": dict(usable),
        "findings": {subset: findings.counts(table, subset) for subset in usable},
        "exact_groups": len(result.exact),  # within and across subsets
        "train_clusters": len(sizes),
        "train_images_in_clusters": len(clusters),
        "largest_train_cluster": int(sizes.max()) if len(sizes) else 0,
        "near_train_pairs_in_different_clusters": result.apart,
        "test_images_with_a_train_duplicate": int(leaks["test_image_id"].nunique()),
        "leaks_left_out": result.leaks_left_out,
    }


def messages(summary: Mapping[str, Any]) -> list[str]:
    """Return the sentences that the stage prints about its summary."""
    said = []
    for subset, usable in summary["usable_images"].items():
        counts = ", ".join(f"{check} {n}" for check, n in sorted(summary["findings"][subset].items()))
        said.append(f"{subset}: {usable} usable images; {counts or 'no findings'}")
    if summary["train_clusters"] or summary["test_images_with_a_train_duplicate"]:
        said.append(
            "look at data/picture/clusters.png and leaks.png; if some images there are no duplicates, raise"
            " analyze.min_similarity, or set analyze.max_hash_distance: null to report exact duplicates only"
        )
    if left_out := summary["leaks_left_out"]:
        said.append(
            f"leaks.csv names the {contracts.MAX_DUPLICATES_NAMED} most similar train images of each test image;"
            f" {left_out:,} more pairs are left out"
        )
    if apart := summary["near_train_pairs_in_different_clusters"]:
        said.append(
            f"WARNING: {apart} pairs of near duplicates lie in different clusters (a series that changes slowly?), so"
            " folds may split them and scores be optimistic; give the series a group column, and name it in"
            " contest.columns.group"
        )
    said.append(  # last, because `make` shows a stage's last line
        "{train_images_in_clusters} train images in {train_clusters} clusters of duplicates, the largest of"
        " {largest_train_cluster}; test images with a duplicate in train: {test_images_with_a_train_duplicate}".format(
            **summary
        )
    )
    return said
