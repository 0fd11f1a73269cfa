"""A whole picture: a background, a motif with its figure, ornaments around it, perspective, light and noise."""

from dataclasses import dataclass
from typing import TypeVar

import cv2
import numpy as np

from demo import backgrounds, brush, motifs, ornaments
from demo.brush import Floats, Mask
from demo.motifs import Colour, Palette, Patch, Pixels, bytes_of
from demo.strokes import FU, OTHERS

_REDS: tuple[Colour, ...] = ((200, 24, 30), (178, 18, 26), (214, 44, 36), (190, 20, 54))
_PALE: tuple[Colour, ...] = ((242, 200, 160), (236, 220, 190), (244, 190, 90), (250, 240, 230))
_GOLDS: tuple[Colour, ...] = ((240, 200, 90), (226, 178, 60), (250, 224, 150))
_BLACKS: tuple[Colour, ...] = ((24, 18, 16), (46, 30, 26))


T = TypeVar("T")


@dataclass(frozen=True)
class Difficulty:
    """How hard the pictures are to classify.

    Attributes:
        min_glyph, max_glyph: range of the main figure's side, as a share of the picture's short side.
        characters: share of the pictures without 福 that show another character; the others show an ornament.
        clutter: mean number of ornaments around the motif.
        contrast: lowest contrast of ink on paper, in (0, 1]; each picture's contrast is drawn between it and 1.
        distortion: strength of tilts, bends and careless handwriting; 0 is straight print.
        noise: largest standard deviation of the sensor noise, in grey levels of 255.
    """

    min_glyph: float
    max_glyph: float
    characters: float
    clutter: float
    contrast: float
    distortion: float
    noise: float

    def __post_init__(self) -> None:
        """Check the ranges.

        Raises:
            ValueError: a setting is out of range.
        """
        is_valid = {
            "min_glyph, max_glyph (0.1 <= min_glyph <= max_glyph <= 0.9)": (
                0.1 <= self.min_glyph <= self.max_glyph <= 0.9
            ),
            "characters (0 to 1)": 0 <= self.characters <= 1,
            "contrast (above 0, at most 1)": 0 < self.contrast <= 1,
            "clutter (0 to 20)": 0 <= self.clutter <= 20,
            "distortion (0 to 2)": 0 <= self.distortion <= 2,
            "noise (0 to 128)": 0 <= self.noise <= 128,
        }
        if wrong := [name for name, valid in is_valid.items() if not valid]:
            raise ValueError(f"demo/params.yaml: draw: out of range: {', '.join(wrong)}")


def paint(width: int, height: int, has_fu: bool, d: Difficulty, rng: np.random.Generator) -> Pixels:
    """Paint one picture, with or without 福.

    Everything but the main figure is drawn the same way for both classes, so that nothing else leaks the label.

    Returns:
        (height, width, 3), RGB.
    """
    canvas = backgrounds.paint(width, height, rng)
    for _ in range(int(rng.poisson(d.clutter))):
        _add_ornament(canvas, rng)
    side = max(24, round(min(width, height) * rng.uniform(d.min_glyph, d.max_glyph)))
    motif = str(rng.choice(list(motifs.MOTIFS)))
    count = int(rng.integers(2, 5)) if motif == "couplet" else 1
    figures = _figures(count, side, has_fu, d, rng)
    palette = _palette(_is_red(motif, canvas, rng), d.contrast, rng)
    if motif == "couplet" and width > height:  # a horizontal strip, with upright characters
        patch = _transposed(motifs.couplet([figure.T for figure in figures], palette, rng))
    else:
        patch = motifs.MOTIFS[motif](figures, palette, rng)
    _lay(canvas, patch, _homography(canvas, patch, side, d.distortion, rng), casts_shadow=motif != "seal")
    return _photographed(canvas, d.noise, rng)


def _figures(count: int, side: int, has_fu: bool, d: Difficulty, rng: np.random.Generator) -> list[Mask]:
    """Draw a motif's figures: the main one (福, another character or an ornament) comes first."""
    hand = brush.random_hand(rng, d.distortion)
    if not has_fu and rng.random() >= d.characters:
        return [ornaments.draw(str(name), side) for name in rng.choice(list(ornaments.ORNAMENTS), count)]
    names = [str(name) for name in rng.choice(OTHERS, count, replace=False)]
    if has_fu:
        names[0] = FU
    return [brush.write(name, side, hand, rng) for name in names]


def _is_red(motif: str, canvas: Pixels, rng: np.random.Generator) -> bool:
    """Decide whether the motif's paper is red; seals and paper cuts let the background through: never red on red."""
    if motif in ("seal", "paper_cut"):
        red, green, _ = canvas.reshape(-1, 3)[::97].mean(axis=0)
        return bool(red < 1.6 * green)
    return bool(rng.random() < 0.75)


def _palette(is_red: bool, contrast: float, rng: np.random.Generator) -> Palette:
    """Choose colours: red paper with gold or black ink, or pale paper with red or black ink."""
    if is_red:
        paper, inks = _one(_REDS, rng), _one((_GOLDS, _BLACKS), rng)
    else:
        paper, inks = _one(_PALE, rng), _one((_REDS, _BLACKS), rng)
    strength = rng.uniform(contrast, 1)
    return Palette(paper, motifs.mix(paper, _one(inks, rng), strength), motifs.mix(paper, _one(_GOLDS, rng), strength))


def _one(choices: tuple[T, ...], rng: np.random.Generator) -> T:
    return choices[int(rng.integers(len(choices)))]


def _transposed(patch: Patch) -> Patch:
    x, y = patch.centre
    return Patch(np.ascontiguousarray(patch.pixels.swapaxes(0, 1)), np.ascontiguousarray(patch.alpha.T), (y, x))


def _add_ornament(canvas: Pixels, rng: np.random.Generator) -> None:
    """Paint one ornament of a single colour at a random place, possibly cut off by the border."""
    height, width = canvas.shape[:2]
    side = max(16, int(min(width, height) * rng.uniform(0.12, 0.3)))
    ornament = ornaments.draw(str(rng.choice(list(ornaments.ORNAMENTS))), side)
    motifs.ink(canvas, ornament, _one(_REDS + _GOLDS + _BLACKS, rng), (rng.uniform(0, width), rng.uniform(0, height)))


def _homography(canvas: Pixels, patch: Patch, side: int, distortion: float, rng: np.random.Generator) -> Floats:
    """Choose a random place, tilt and perspective for the motif; its main figure stays inside the picture.

    Returns:
        (3, 3), the homography from the patch's pixels to the canvas's.
    """
    extent, half = np.array(canvas.shape[1::-1]), side / 2
    slack = np.maximum(extent - 1.1 * side, 0)
    middle = extent / 2 + rng.uniform(-0.5, 0.5, 2) * slack
    angle = np.deg2rad(rng.normal(0, 7 * distortion))
    turn = np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))
    square = half * np.array(((-1, -1), (1, -1), (1, 1), (-1, 1)))
    target = middle + square @ turn.T + rng.normal(0, 0.02 * distortion * side, (4, 2))
    source = (square + patch.centre).astype(np.float32)
    return np.asarray(cv2.getPerspectiveTransform(source, target.astype(np.float32)), np.float64)


def _lay(canvas: Pixels, patch: Patch, homography: Floats, casts_shadow: bool) -> None:
    """Paint a patch over the canvas."""
    size = (canvas.shape[1], canvas.shape[0])
    alpha = cv2.warpPerspective(patch.alpha, homography, size, flags=cv2.INTER_LINEAR)
    pixels = cv2.warpPerspective(
        patch.pixels, homography, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    if casts_shadow:
        reach = max(3, min(size) // 50)
        shadow = np.zeros_like(alpha)
        shadow[reach // 2 :, reach // 2 :] = cv2.blur(alpha, (reach, reach))[: -(reach // 2), : -(reach // 2)]
        canvas[:] = cv2.multiply(canvas, cv2.merge([255 - shadow // 2] * 3), scale=1 / 255)
    share = cv2.merge([alpha] * 3)
    painted = cv2.multiply(pixels, share, scale=1 / 255)
    canvas[:] = cv2.add(painted, cv2.multiply(canvas, 255 - share, scale=1 / 255))


def _photographed(canvas: Pixels, noise: float, rng: np.random.Generator) -> Pixels:
    """Add uneven light, blur and sensor noise."""
    height, width = canvas.shape[:2]
    corners = rng.uniform(0.72, 1.08, (2, 2)).astype(np.float32)
    light = cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR)
    blur = rng.uniform(0, min(width, height) / 250)
    if blur > 0.4:
        canvas = np.asarray(cv2.GaussianBlur(canvas, (0, 0), blur), np.uint8)
    grain = rng.standard_normal((height, width), dtype=np.float32) * np.float32(rng.uniform(0, noise))
    return bytes_of(canvas * light[..., None] + grain[..., None])
