"""Findings about images: rows of contracts.FINDINGS, each a fact, or a value beyond a threshold.

podium.analysis.image_checks adds the findings about what the pixels look like.
"""

from collections.abc import Iterable, Mapping, Sequence

import pandas as pd

from podium import contracts

MIN_SHORT_SIDE = 64  # pixels

Name = tuple[str, str]  # (subset, image_id)
Row = tuple[str, str, str, str, str]  # in the order of contracts.FINDINGS


def of_facts(facts: pd.DataFrame, subset: str) -> list[Row]:
    """Report unusable images and notes of `prepare`, and small images, by a fixed threshold."""
    rows: list[Row] = []
    for image_id, width, height, problem, note in zip(
        *(facts[column] for column in ("image_id", "width", "height", "problem", "note")), strict=True
    ):
        if note:
            rows.append((image_id, subset, "note", note, ""))
        if problem:
            rows.append((image_id, subset, "unusable", problem, ""))
            continue
        if min(width, height) < MIN_SHORT_SIDE:
            rows.append((image_id, subset, "small", str(min(width, height)), str(MIN_SHORT_SIDE)))
    return rows


def of_contrast(image_ids: Sequence[str], contrasts: Iterable[float], subset: str, minimum: float) -> list[Row]:
    """Report near-uniform images: those whose thumbnail has less contrast than `minimum`, in grey levels."""
    return [
        (image_id, subset, "near_uniform", f"{contrast:.3g}", f"{minimum:g}")
        for image_id, contrast in zip(image_ids, contrasts, strict=True)
        if contrast < minimum
    ]


def of_files(sha256: Mapping[Name, str]) -> list[Row]:
    """Report files with equal bytes, unusable ones too; the value is the first other file."""
    groups: dict[str, list[Name]] = {}
    for name, digest in sha256.items():
        if not digest:
            continue  # the file was not read, e.g. a link that leaves the folder
        groups.setdefault(digest, []).append(name)
    pairs = [
        (name, group[1] if name == group[0] else group[0]) for group in groups.values() if group[1:] for name in group
    ]
    return [(image_id, subset, "same_file", "/".join(other), "") for (subset, image_id), other in pairs]


def of_pixels(exact: Iterable[Sequence[Name]], sha256: Mapping[Name, str]) -> list[Row]:
    """Report images with equal pixels whose files differ; the value is the first such other image."""
    rows: list[Row] = []
    for group in exact:
        first = group[0]
        second = next((name for name in group if sha256[name] != sha256[first]), None)
        if second is not None:
            pairs = ((name, second if sha256[name] == sha256[first] else first) for name in group)
            rows += [(image_id, subset, "same_pixels", "/".join(other), "") for (subset, image_id), other in pairs]
    return rows


def of_nearness(nearest: Mapping[Name, float], minimum: float) -> list[Row]:
    """Report images with a near duplicate; the value is the similarity of the nearest one."""
    return [(i, subset, "near_duplicate", f"{value:.4f}", f"{minimum:g}") for (subset, i), value in nearest.items()]


def table(rows: Iterable[Row]) -> pd.DataFrame:
    """Return the rows as a table, sorted by its key."""
    findings = pd.DataFrame(list(rows), columns=list(contracts.FINDINGS.columns), dtype="str")
    return findings.sort_values(list(contracts.FINDINGS.key), ignore_index=True)


def counts(findings: pd.DataFrame, subset: str) -> dict[str, int]:
    """Count the findings of one subset by check."""
    return {
        str(check): int(n) for check, n in findings.loc[findings["subset"] == subset, "check"].value_counts().items()
    }
