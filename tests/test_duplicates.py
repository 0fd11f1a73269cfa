import itertools

import cv2
import numpy as np
import pytest

from docs.measure import measure_drawings
from podium import contracts
from podium.analysis import duplicates, fingerprints, hash_variants, near_duplicates, thumbnail_similarity
from podium.analysis.fingerprints import Prints
from podium.analysis.hash_variants import SIDE
from podium.core.errors import InputError
from tests.photos import brighter, cropped, jpeg, photo

SETTINGS = {"max_hash_distance": 10, "min_similarity": 0.97}

CHANGES = {
    "jpeg 30": ("near", lambda image: jpeg(image, 30)),
    "quarter": ("near", lambda image: cv2.resize(image, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)),
    "double": ("near", lambda image: cv2.resize(image, None, fx=2, fy=2, interpolation=cv2.INTER_CUBIC)),
    "mirrored": ("mirrored", lambda image: image[:, ::-1]),
    "upside down": ("mirrored", lambda image: image[::-1]),
    "mirrored, jpeg 50": ("mirrored", lambda image: jpeg(image[:, ::-1], 50)),
    "darker": ("near", lambda image: brighter(image, 0.7)),
    "brighter": ("near", lambda image: brighter(image, 1.3)),
    "grey": ("near", lambda image: np.repeat(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)),
    "cropped": ("cropped", lambda image: cropped(image, 0.05, 0.05, 0.05, 0.05)),
    "cropped on one side": ("cropped", lambda image: cropped(image, 0, 0, 0.05, 0)),
    "turned by 90": ("rotated", np.rot90),
    "turned by 180": ("rotated", lambda image: np.rot90(image, 2)),
    "turned by 270": ("rotated", lambda image: np.rot90(image, 3)),
    "all of it": ("mirrored", lambda image: jpeg(brighter(cropped(image[:, ::-1], 0.05, 0.05, 0.05, 0.05), 1.3), 50)),
}


def prints(images: dict[str, np.ndarray]) -> Prints:
    return fingerprints.prints({name: np.ascontiguousarray(image) for name, image in images.items()}, sorted(images))


def search(
    train: dict[str, np.ndarray], test: dict[str, np.ndarray] | None = None, workers: int = 0
) -> duplicates.Duplicates:
    return duplicates.search(prints(train), prints(test or {}), **SETTINGS, workers=workers)


def in_colour(grey: np.ndarray) -> np.ndarray:
    return np.repeat(grey[..., None], 3, axis=2)


@pytest.mark.parametrize("change", CHANGES)
def test_changed_copies_are_found_with_their_kind_and_nothing_else(change: str) -> None:
    kind, alter = CHANGES[change]
    train = {f"{k:02}": photo(k) for k in range(20)}
    found = search(train | {f"{k:02}x": alter(train[f"{k:02}"]) for k in range(10)})
    assert found.clusters == {name: f"{k:02}" for k in range(10) for name in (f"{k:02}", f"{k:02}x")}
    assert found.exact == []
    assert found.apart == 0
    leaks = search(train, {f"{k:02}x": alter(train[f"{k:02}"]) for k in range(10)}).leaks
    assert [leak[:3] for leak in leaks] == [(f"{k:02}x", f"{k:02}", kind) for k in range(10)]
    assert all(0.97 <= leak[3] <= 1 for leak in leaks)


def drawings(n: int) -> dict[str, np.ndarray]:
    """Boxes, discs and rings on contrasting grounds."""
    pictures = (measure_drawings.drawing(measure_drawings.SHAPES[k % 3], k) for k in itertools.count())
    contrasting = (one for one in pictures if fingerprints.contrasts(fingerprints.thumbnails(one)[:1])[0] > 15)
    return {f"{k:03}": one for k, one in enumerate(itertools.islice(contrasting, n))}


def test_plain_drawings_are_no_duplicates_of_each_other() -> None:
    found = search(drawings(150))
    assert (found.near, found.clusters, found.apart) == ([], {}, 0)


def test_plain_drawings_get_no_search_for_a_window_at_any_similarity() -> None:
    boxes = {}
    for radius in (40, 41):
        image = np.full((160, 160, 3), 200, np.uint8)
        image[80 - radius : 80 + radius, 80 - radius : 80 + radius] = 60
        boxes[f"{radius}"] = image
    found = duplicates.search(prints(boxes), prints({}), max_hash_distance=10, min_similarity=0.995)
    assert found.near == []


def test_a_plain_drawing_saved_again_is_the_same_but_in_another_colour_it_is_not() -> None:
    train = drawings(40)
    copies = {f"{i}x": jpeg(image, 75) for i, image in train.items()}
    copies |= {f"{i}y": cv2.resize(image, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
               for i, image in train.items()}  # fmt: skip
    other_colours = {f"{i}z": np.roll(image, 1, axis=2) for i, image in train.items()}
    found = search(train | copies | other_colours)
    same = [i for i in train if {f"{i}x", f"{i}y"} <= {name for name, c in found.clusters.items() if c == i}]
    assert len(same) >= 36
    assert not any(name.endswith("z") and cluster != name for name, cluster in found.clusters.items())


def test_equal_pixels_are_exact_whatever_the_settings() -> None:
    train = {"b": photo(1), "a": photo(1), "c": photo(2), "flat": np.full((50, 50, 3), 9, np.uint8)}
    test = {"z": photo(2), "flat": np.full((50, 50, 3), 9, np.uint8)}
    found = duplicates.search(prints(train), prints(test), max_hash_distance=0, min_similarity=1)
    assert found.clusters == {"a": "a", "b": "a"}
    assert found.leaks == [("flat", "flat", "exact", 1.0), ("z", "c", "exact", 1.0)]
    assert sorted(found.exact) == [
        [("train", "a"), ("train", "b")],
        [("train", "c"), ("test", "z")],
        [("train", "flat"), ("test", "flat")],
    ]


def test_thousands_of_equal_images_in_both_parts_make_no_millions_of_pairs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contracts, "MAX_DUPLICATES_NAMED", 3)
    train = {f"b{k}": photo(1) for k in range(5)} | {"a": jpeg(photo(1), 60), "other": photo(2)}
    test = {f"t{k}": photo(1) for k in range(4)} | {"u": jpeg(photo(2), 60)}
    found = search(train, test)
    likest = [(f"t{k}", f"b{b}", "exact") for k in range(4) for b in range(3)]
    assert [leak[:3] for leak in found.leaks] == [*likest, ("u", "other", "near")]
    assert found.leaks_left_out == 4 * 3  # two equal ones and a near one, each of four times
    assert search(train, {"u": test["u"]}).leaks_left_out == 0


def test_a_near_duplicate_of_equal_images_is_one_of_both() -> None:
    found = search({"a": photo(1), "b": photo(1), "c": jpeg(photo(1), 60)}, {"t": jpeg(photo(1), 60)})
    assert found.clusters == dict.fromkeys("abc", "a")
    assert [leak[:3] for leak in found.leaks] == [("t", "a", "near"), ("t", "b", "near"), ("t", "c", "exact")]
    assert [pair[:3] for pair in found.near] == [(("train", "a"), ("train", "c"), "near")]
    assert found.nearest.keys() == {("train", "a"), ("train", "b"), ("train", "c"), ("test", "t")}


def test_images_that_only_share_a_hash_are_not_merged() -> None:
    """Two scenes with one sky (the low frequencies that the hash sees) and other ground."""
    sky = cv2.resize(np.random.default_rng(0).normal(size=(4, 4)), (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    scenes = []
    for seed in (1, 2):
        spectrum = cv2.dct(np.random.default_rng(seed).normal(size=(SIDE, SIDE)))
        spectrum[: hash_variants.HASH_SIDE, : hash_variants.HASH_SIDE] = 0
        scene = sky / sky.std() + 0.6 * cv2.idct(spectrum)
        scenes.append(np.clip(128 + 40 * scene / scene.std(), 0, 255).round().astype(np.uint8))
    same, other = hash_variants.hashes(np.stack(scenes), turns=[0])[0]
    assert int(same ^ other).bit_count() <= SETTINGS["max_hash_distance"]
    large = [cv2.resize(scene, (128, 128), interpolation=cv2.INTER_NEAREST) for scene in scenes]
    assert search(dict(zip("ab", map(in_colour, large), strict=True))).clusters == {}


def drawn(at: tuple[int, int], size: int = 24) -> np.ndarray:
    """A dark sign on a plain, softly lit ground."""
    image = in_colour(np.tile(np.linspace(150, 220, 128).astype(np.uint8), (96, 1)))
    image[at[0] : at[0] + size, at[1] : at[1] + size] = 30
    return image


def test_the_same_sign_in_another_place_is_another_image() -> None:
    train = {
        "left": drawn((30, 30)),
        "right": drawn((30, 70)),
        "low": drawn((50, 30)),
        "again": jpeg(drawn((30, 30)), 60),
    }
    assert search(train).clusters == {"again": "again", "left": "again"}


def test_near_uniform_images_resemble_nothing() -> None:
    rng = np.random.default_rng(0)
    train = {str(k): (200 + rng.integers(0, 2, (60, 60, 3))).astype(np.uint8) for k in range(8)}
    assert search(train).clusters == {}


def test_bright_images_that_saturate_when_brightened_resemble_nothing_else() -> None:
    """Brightened, all but a few of their pixels are white."""
    train = {str(k): (200 + photo(k) // 6).astype(np.uint8) for k in range(12)}
    assert search(train).clusters == {}


def test_too_many_pairs_are_an_error_that_names_the_setting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "MAX_MATCHES", 20)
    with pytest.raises(InputError, match=r"analyze\.max_hash_distance \(10\)"):
        search({str(k): jpeg(photo(1), 50 + k) for k in range(12)})


def test_without_candidates_only_exact_duplicates_are_found() -> None:
    same = {"a": photo(1), "b": photo(1), "c": jpeg(photo(1), 90)}
    found = duplicates.search(prints(same), prints({"t": photo(1)}), max_hash_distance=None, min_similarity=0.97)
    assert found.clusters == {"a": "a", "b": "a"}
    assert [leak[:3] for leak in found.leaks] == [("t", "a", "exact"), ("t", "b", "exact")]


def test_a_slowly_changing_series_is_not_one_cluster() -> None:
    first, last = photo(1).astype(float), photo(2).astype(float)
    steps = {f"{k:02}": np.round(first + (last - first) * k / 30).astype(np.uint8) for k in range(31)}
    found = search(steps)
    assert found.apart > 0
    shots = {name: hash_variants.shot(prints({name: image}).thumbs, 0) for name, image in steps.items()}
    for cluster in set(found.clusters.values()):
        members = [name for name, c in found.clusters.items() if c == cluster]
        assert members[0] == cluster
        alike = [[thumbnail_similarity.similarities(shots[a], shots[b])[0] >= 0.95 for b in members] for a in members]
        assert any(all(row) for row in alike), "no member resembles all others"


def test_a_test_image_changes_no_cluster_and_links_nothing() -> None:
    first, last = photo(1).astype(float), photo(2).astype(float)
    mix = {share: np.round(first + (last - first) * share).astype(np.uint8) for share in (0.0, 0.1, 0.2, 0.3)}
    train = {"a": mix[0.0], "c": mix[0.3], "d": photo(5), "e": jpeg(photo(5), 60)}
    test = {"a": mix[0.1], "b": mix[0.2], "e": photo(5)}
    assert search(train).clusters == search(train, test).clusters == {"d": "d", "e": "d"}
    leaks = {(a, b): kind for a, b, kind, _ in search(train, test).leaks}
    assert leaks["a", "a"] == "near"
    assert leaks["b", "c"] == "near"
    assert (leaks["e", "d"], leaks["e", "e"]) == ("exact", "near")


def test_a_doubtful_pair_is_one_cluster_if_a_third_train_image_is_near_both() -> None:
    first, last = photo(1).astype(float), photo(2).astype(float)
    a, b, c, d = (np.round(first + (last - first) * share).astype(np.uint8) for share in (0, 0.14, 0.27, 0.41))
    assert search({"a": a, "c": c}).clusters == search({"a": a, "c": c}, {"b": b}).clusters == {}
    assert search({"a": a, "b": b, "c": c}).clusters == dict.fromkeys("abc", "a")
    found = search({"a": a, "b": b, "c": c, "d": d})
    assert found.clusters == dict.fromkeys("abcd", "a"), "around b: d is almost alike to it, and c to both"


def test_a_cluster_takes_the_smallest_name_whatever_its_centre() -> None:
    whole = photo(1, 320, 480)
    train = {"z": whole, "a": cropped(whole, 0.06, 0, 0, 0), "b": cropped(whole, 0, 0.06, 0, 0)}
    assert search(train).clusters == dict.fromkeys("abz", "a"), "z is like both, which are less like each other"


@pytest.mark.parametrize("n", [0, 1])
def test_none_and_one_image(n: int) -> None:
    found = search({str(k): photo(k) for k in range(n)})
    assert (found.clusters, found.leaks, found.exact, found.near, found.nearest) == ({}, [], [], [], {})


def test_the_number_of_workers_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_duplicates, "CHUNK", 3)
    train = {f"{k}": photo(k) for k in range(8)}
    test = {f"{k}": cropped(image, 0, 0, 0.05, 0) for k, image in enumerate(train.values())}
    alone = search(train, test)
    assert len(alone.leaks) == 8
    assert search(train, test, workers=2) == alone
