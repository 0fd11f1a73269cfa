"""Measure the search for duplicates; docs/duplicates.md holds the results.

    python -m docs.measure.measure_duplicates planted antbee TRAIN TEST
    python -m docs.measure.measure_duplicates growth FOLDER ... --images 5000 10000 20000

`planted` adds altered copies of a contest's images and counts how many the search finds. It also compares the pairs
found among the original images with the list of pairs judged by eye. `growth` makes many images from few and measures
time and memory.
"""

import argparse
import itertools
import sys
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import numpy as np
from scipy.sparse import coo_matrix, csgraph

from docs.measure import growing, planting
from podium.analysis import duplicates, fingerprints
from podium.analysis.duplicates import Duplicates, Name
from podium.analysis.fingerprints import Prints
from podium.analysis.settings import AnalyzeSettings
from podium.core import cli, parallel, tables
from podium.core.errors import InputError
from podium.images import image_files
from podium.pictures import drawing

SUBSETS = ("train", "test")
COPY = "copy/"  # prefix of a copy's image_id
SAME = ("same", "scene")  # verdicts of true duplicates
LIST = Path("docs/results/natural_duplicates.csv")
JUDGED = tables.Contract(
    {
        "contest": "text",
        "a": "text",  # subset/image_id
        "b": "text",
        "verdict": "text",  # same: one picture, altered; scene: two frames of one scene; different
        "why": "text",
    },
    key=("contest", "a", "b"),
)
Link = tuple[Name, Name]  # in order


@dataclass(frozen=True)
class FingerprintedContest:
    """A contest's readable images and their fingerprints.

    Attributes:
        short_side: `prepare.short_side`, in pixels.
        prints: subset -> fingerprints.
        paths: (subset, image_id) -> file.
    """

    name: str
    short_side: int
    prints: dict[str, Prints]
    paths: dict[Name, Path]


def main(*words: str) -> None:
    """Run the measurement that the first word names."""
    parser = argparse.ArgumentParser(prog="python -m docs.measure.measure_duplicates")
    commands = parser.add_subparsers(dest="what", required=True)
    planted = commands.add_parser(
        "planted", help="recall of planted copies, and the pairs found among the original images"
    )
    planted.add_argument("name", help="of the contest in the list of judged pairs")
    planted.add_argument("--every", type=int, default=1, help="copy only every n-th image")
    planted.add_argument("--sheets", type=Path, help="folder for pictures of the pairs found, for judging by eye")
    growth = commands.add_parser("growth", help="time and memory by the number of images")
    growth.add_argument("--images", type=int, nargs="+", default=[5000, 10000, 20000])
    planted.add_argument("folders", type=Path, nargs=2, metavar=("TRAIN", "TEST"))
    growth.add_argument("folders", type=Path, nargs="+", help="folders of the images to vary")
    for command in (planted, growth):
        command.add_argument("--short-side", type=int, default=320, help="prepare.short_side, in pixels")
    options = parser.parse_args(words)
    if options.what == "growth":
        files = [file for folder in options.folders for file in image_files.walk(folder)[0] if not file.problem]
        growing.measure([file.path for file in files], options.images, options.short_side, search)
    else:
        contest = read(options.name, options.folders, options.short_side)
        measure_planted(contest, every=options.every, sheets=options.sheets)


def read(name: str, folders: Sequence[Path], short_side: int) -> FingerprintedContest:
    """Fingerprint the readable images of a train and a test folder."""
    prints: dict[str, Prints] = {}
    paths: dict[Name, Path] = {}
    for subset, folder in zip(SUBSETS, folders, strict=True):
        if not folder.is_dir():
            raise InputError(f"{folder} is not a folder")
        files = [file for file in image_files.walk(folder)[0] if not file.problem]
        print_file = partial(_print_file, short_side=short_side)
        done = parallel.in_order(
            print_file, [f.path for f in files], workers=parallel.worker_count(), name=str, preload=(__name__,)
        )
        readable = [(file, made) for file, made in zip(files, done, strict=True) if made is not None]
        prints[subset] = fingerprints.collected([file.image_id for file, _ in readable], [made for _, made in readable])
        paths |= {(subset, file.image_id): file.path for file, _ in readable}
    return FingerprintedContest(name, short_side, prints, paths)


def _print_file(path: Path, short_side: int) -> fingerprints.Print | None:
    image = planting.read(path, short_side)
    return None if image is None else fingerprints.of_image(image)


def search(prints: Mapping[str, Prints]) -> Duplicates:
    """Search both subsets with the default settings of `analyze`."""
    settings = AnalyzeSettings()
    return duplicates.search(
        prints["train"],
        prints["test"],
        max_hash_distance=settings.max_hash_distance,
        min_similarity=settings.min_similarity,
        workers=parallel.worker_count(),
    )


def measure_planted(contest: FingerprintedContest, *, every: int, sheets: Path | None) -> None:
    """Print the pairs among original images, then a row per kind of copy: copies found, different images merged."""
    natural = search(contest.prints)
    groups = judge(contest, natural)
    if sheets:
        draw(contest, natural, sheets)
    sources = list(contest.paths)[::every]
    copy = partial(planting.copies, short_side=contest.short_side)
    paths = [contest.paths[source] for source in sources]
    made = list(parallel.in_order(copy, paths, workers=parallel.worker_count(), name=str, preload=(__name__,)))
    print(f"\n{len(contest.paths)} images, {len(sources)} copies of each kind, within and across subsets\n")
    print("| target | copies | found | recall | different images merged |\n|---|---|---|---|---|")
    for k, kind in enumerate(planting.KINDS):
        planted = {source: made[i][k] for i, source in enumerate(sources)}
        found = search(_with_copies(contest.prints, planted))
        links = _links(found)
        counted = links if kind.group != "exact" else _links(replace(found, near=[]))
        hits = sum(_is_found(found, counted, source, _copy(i, source)) for i, source in enumerate(sources))
        wrong = _wrong_links(links, groups)
        target = f"{kind.group} >= {planting.TARGETS[kind.group]:.0%}" if kind.group in planting.TARGETS else "none"
        share = hits / len(sources)
        print(f"| {target} | {kind.name} | {hits} of {len(sources)} | {share:.1%} | {len(wrong)} |", flush=True)
        for a, b in sorted(wrong):
            print(f"  merged: {'/'.join(a)} with {'/'.join(b)}", file=sys.stderr)


def _copy(i: int, source: Name) -> Name:
    """Return the subset and image_id of the i-th source's copy, alternately in the source's subset and in the other."""
    return SUBSETS[(SUBSETS.index(source[0]) + i) % 2], COPY + "/".join(source)


def _with_copies(prints: Mapping[str, Prints], planted: Mapping[Name, fingerprints.Print]) -> dict[str, Prints]:
    copies: dict[str, dict[str, fingerprints.Print]] = {subset: {} for subset in SUBSETS}
    for i, (source, made) in enumerate(planted.items()):
        subset, image_id = _copy(i, source)
        copies[subset][image_id] = made
    return {
        subset: _joined(prints[subset], fingerprints.collected(list(copies[subset]), copies[subset].values()))
        for subset in SUBSETS
    }


def _joined(first: Prints, second: Prints) -> Prints:
    thumbs = np.concatenate([first.thumbs, second.thumbs])
    colours = np.concatenate([first.colours, second.colours])
    return Prints(first.image_ids + second.image_ids, first.digests + second.digests, thumbs, colours)


def _links(found: Duplicates) -> set[Link]:
    """Return all pairs of images that are exact or near duplicates, each in order."""
    group_of = {name: group for group in found.exact for name in group}
    links = {link for group in found.exact for link in itertools.combinations(sorted(group), 2)}
    for a, b, *_ in found.near:
        links |= {_link(x, y) for x in group_of.get(a, [a]) for y in group_of.get(b, [b])}
    return links


def _link(a: Name, b: Name) -> Link:
    return (a, b) if a < b else (b, a)


def _is_found(found: Duplicates, links: set[Link], source: Name, copy: Name) -> bool:
    """Return whether an image and its copy are linked; where both are in train, whether they share a cluster."""
    if source[0] == copy[0] == "train":
        return source[1] in found.clusters and found.clusters[source[1]] == found.clusters.get(copy[1])
    return _link(source, copy) in links


def judge(contest: FingerprintedContest, natural: Duplicates) -> dict[Name, int]:
    """Compare the pairs found among original images with the judged pairs, and print the differences.

    Returns:
        image -> group number; true duplicates (equal pixels, or judged so by eye) share one.
    """
    known = _verdicts(contest.name)
    links = [_link(a, b) for a, b, *_ in natural.near]
    verdicts = [known.get(link, "not judged") for link in links]
    print(f"{contest.name}: {len(natural.exact)} groups of equal pixels, {len(links)} pairs:", dict(Counter(verdicts)))
    for (a, b, kind, similarity), verdict in zip(natural.near, verdicts, strict=True):
        if verdict not in SAME:
            print(f"  {verdict}: {'/'.join(a)},{'/'.join(b)} ({kind}, {similarity:.4f})")
    for (a, b), verdict in known.items():
        if verdict in SAME and (a, b) not in links:
            print(f"  {verdict}, but not found: {'/'.join(a)},{'/'.join(b)}")
    same = [link for link, verdict in known.items() if verdict in SAME]
    return _connected(list(contest.paths), same + [(g[0], name) for g in natural.exact for name in g[1:]])


def _verdicts(contest: str) -> dict[Link, str]:
    if not LIST.exists():
        return {}
    judged = tables.read(LIST, JUDGED)
    rows = judged.loc[judged["contest"] == contest, ["a", "b", "verdict"]].itertuples(index=False)
    return {_link(_name(a), _name(b)): verdict for a, b, verdict in rows}


def _name(text: str) -> Name:
    subset, _, image_id = text.partition("/")
    return subset, image_id


def _connected(names: list[Name], links: Sequence[Link]) -> dict[Name, int]:
    position = {name: k for k, name in enumerate(names)}
    ends = np.array([[position[a], position[b]] for a, b in links if a in position and b in position]).reshape(-1, 2)
    graph = coo_matrix((np.ones(len(ends)), ends.T), shape=(len(names), len(names)))
    return dict(zip(names, csgraph.connected_components(graph, directed=False)[1].tolist(), strict=True))


def _wrong_links(links: Iterable[Link], groups: Mapping[Name, int]) -> list[Link]:
    """Return the links between images, or copies of images, that are not true duplicates."""
    return sorted(link for link in links if len({groups[_original(name)] for name in link}) > 1)


def _original(name: Name) -> Name:
    return _name(name[1].removeprefix(COPY)) if name[1].startswith(COPY) else name


def draw(contest: FingerprintedContest, natural: Duplicates, folder: Path) -> None:
    """Draw the pairs found side by side, the least similar first, 40 per sheet."""
    pairs = sorted(natural.near, key=lambda pair: (pair[3], pair[:2]))
    sections = [
        drawing.SheetSection(
            f"{similarity:.4f} {kind}",
            [drawing.Tile(planting.read(contest.paths[name], contest.short_side), name) for name in (a, b)],
        )
        for a, b, kind, similarity in pairs
    ]
    for k in range(0, len(sections), 40):
        sheet = drawing.sheet(f"{contest.name}: pairs from {k}", sections[k : k + 40], columns=8, flow=True)
        drawing.write(sheet, folder / f"{contest.name}_{k // 40}.png")


if __name__ == "__main__":
    cli.run(main)
