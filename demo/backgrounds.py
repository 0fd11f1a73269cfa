"""Backgrounds: walls, doors, bricks, brocade, a blurred street."""

from collections.abc import Callable

import cv2
import numpy as np

from demo.motifs import Colour, Pixels, bytes_of
from demo.ornaments import ORNAMENTS
from demo.ornaments import draw as draw_ornament


def paint(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paint one of BACKGROUNDS, chosen at random.

    Returns:
        (height, width, 3), RGB.
    """
    painter = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))]
    return painter(width, height, rng)


def _plain(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paint a plastered wall or a sheet of paper, with soft stains."""
    return _stained(
        width, height, _pick(rng, ((236, 228, 212), (214, 206, 196), (186, 190, 192), (240, 240, 236))), rng
    )


def _red(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paint a red wall, so that red alone does not indicate a class."""
    return _stained(width, height, _pick(rng, ((176, 32, 30), (150, 24, 28), (196, 60, 44))), rng)


def _planks(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paint a wooden door of upright planks."""
    wood = _stained(width, height, _pick(rng, ((122, 78, 46), (92, 58, 40), (150, 104, 66), (110, 30, 26))), rng)
    grain = cv2.resize(rng.normal(0, 9, (6, max(2, width // 3))).astype(np.float32), (width, height))
    wood = bytes_of(wood + grain[..., None])
    plank = int(rng.integers(max(12, width // 8), max(13, width // 3)))
    for x in range(int(rng.integers(plank)), width, plank):
        cv2.line(wood, (x, 0), (x, height), (40, 24, 16), max(1, width // 150))
    return wood


def _bricks(width: int, height: int, rng: np.random.Generator) -> Pixels:
    wall = _stained(width, height, _pick(rng, ((140, 84, 66), (128, 124, 120), (160, 110, 86))), rng)
    row, joint = max(8, int(min(width, height) * rng.uniform(0.06, 0.14))), (188, 180, 170)
    for k, y in enumerate(range(0, height, row)):
        cv2.line(wall, (0, y), (width, y), joint, max(1, row // 9))
        for x in range((k % 2) * row, width, 2 * row):
            cv2.line(wall, (x, y), (x, y + row), joint, max(1, row // 9))
    return wall


def _brocade(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paint cloth or wrapping paper: one small ornament, repeated."""
    ground = _pick(rng, ((168, 30, 36), (220, 186, 120), (60, 74, 110), (228, 210, 190)))
    cloth = _stained(width, height, ground, rng)
    size = max(16, int(min(width, height) * rng.uniform(0.12, 0.22)))
    ornament = draw_ornament(str(rng.choice(list(ORNAMENTS))), size)
    tiles = np.tile(ornament, (height // size + 1, width // size + 1))[:height, :width]
    shift = np.array(rng.choice([-38, 34], 1))
    return bytes_of(cloth + shift * (tiles[..., None] / 255))


def _street(width: int, height: int, rng: np.random.Generator) -> Pixels:
    """Paint lights and objects far out of focus."""
    scene = _stained(width, height, _pick(rng, ((70, 64, 72), (110, 96, 84), (150, 150, 156))), rng)
    for _ in range(int(rng.integers(10, 24))):
        place = (int(rng.integers(width)), int(rng.integers(height)))
        colour = tuple(int(v) for v in rng.integers((120, 40, 20), (256, 200, 140)))
        cv2.circle(scene, place, int(min(width, height) * rng.uniform(0.03, 0.13)), colour, -1, cv2.LINE_AA)
    blur = max(1, min(width, height) // 24)
    return np.asarray(cv2.blur(cv2.blur(scene, (blur, blur)), (blur, blur)), np.uint8)


BACKGROUNDS: tuple[Callable[[int, int, np.random.Generator], Pixels], ...] = (
    _plain,
    _red,
    _planks,
    _bricks,
    _brocade,
    _street,
)


def _pick(rng: np.random.Generator, colours: tuple[Colour, ...]) -> Colour:
    """Choose a colour and shift it a little."""
    red, green, blue = np.clip(np.array(colours[int(rng.integers(len(colours)))]) + rng.integers(-14, 15, 3), 0, 255)
    return int(red), int(green), int(blue)


def _stained(width: int, height: int, colour: Colour, rng: np.random.Generator) -> Pixels:
    """Fill with a colour whose brightness varies a little from place to place."""
    stains = cv2.resize(rng.normal(0, 8, (5, 5)).astype(np.float32), (width, height), interpolation=cv2.INTER_CUBIC)
    return bytes_of(np.array(colour, np.float32) + stains[..., None])
