"""Characters as masks: strokes written with a brush, carved or printed, each with random variation."""

from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from demo.strokes import CHARACTERS, Stroke

Mask = npt.NDArray[np.uint8]  # (height, width): 0 empty, 255 ink
Floats = npt.NDArray[np.float64]

_BOARD = 256  # pixels; characters are written at this size, then scaled
_MARGIN = 0.06  # share of the board, on every side
_POINTS = 14  # points of a stroke, after smoothing

# Pressure at evenly spaced points of a stroke, from start to end; 1 is the brush's width.
_PRESSURE: dict[str, tuple[float, ...]] = {
    "heng": (0.90, 0.65, 0.60, 0.70, 1.05),
    "shu": (1.15, 0.95, 0.90, 0.95, 1.00),
    "zhe": (0.85, 0.65, 1.15, 1.00, 0.95),
    "pie": (1.10, 1.00, 0.85, 0.55, 0.15),
    "na": (0.35, 0.65, 1.00, 1.40, 0.25),
    "dian": (0.35, 0.80, 1.15, 1.25, 0.70),
    "gou": (1.10, 0.95, 0.95, 1.05, 0.15),
    "ti": (1.20, 1.00, 0.70, 0.40, 0.15),
}
_CURVED = ("pie", "na", "dian")


@dataclass(frozen=True)
class Hand:
    """How a character is written.

    Attributes:
        width: width of the brush, as a share of the character's side.
        pressure: 0 writes every stroke with even width (carved or printed), 1 follows the brush's pressure.
        wobble: standard deviation of the points, as a share of the side.
        dryness: 0 is wet ink; 1 removes a fifth of it as streaks ("flying white").
    """

    width: float
    pressure: float
    wobble: float
    dryness: float


def random_hand(rng: np.random.Generator, distortion: float) -> Hand:
    """Return a random hand; `distortion` scales the wobble (1 is careless but legible)."""
    return Hand(
        width=float(rng.uniform(0.055, 0.09)),
        pressure=float(rng.choice([0.0, 0.6, 1.0], p=[0.25, 0.35, 0.4])),
        wobble=0.016 * distortion,
        dryness=float(rng.choice([0.0, 0.5, 1.0], p=[0.7, 0.2, 0.1])),
    )


def write(character: str, size: int, hand: Hand, rng: np.random.Generator) -> Mask:
    """Write one of strokes.CHARACTERS.

    Returns:
        (size, size), 0 to 255.
    """
    board = np.zeros((_BOARD, _BOARD), np.uint8)
    bend = _random_bend(rng, hand.wobble)
    for stroke in CHARACTERS[character]:
        points, widths = _trace(stroke, hand, bend, rng)
        _press(board, points, widths)
    if hand.dryness > 0:
        board = _streaks(board, hand.dryness, rng)
    return resize(board, size, size)


def resize(image: Mask, width: int, height: int) -> Mask:
    """Resize; average over areas when shrinking, cubic interpolation when enlarging."""
    shrinks = width * height < image.shape[0] * image.shape[1]
    return np.asarray(
        cv2.resize(image, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC), np.uint8
    )


def _random_bend(rng: np.random.Generator, wobble: float) -> Floats:
    """Return (2, 3): amplitude, cycles and phase of two waves; the first shifts x along y, the second y along x."""
    return np.stack([rng.normal(0, 1.2 * wobble, 2), rng.uniform(0.4, 1.2, 2), rng.uniform(0, 2 * np.pi, 2)], axis=1)


def _trace(stroke: Stroke, hand: Hand, bend: Floats, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Return the brush's path (n, 2) and its width (n,), both as shares of the character's side."""
    kind, corners = stroke
    points = np.array(corners) + rng.normal(0, hand.wobble, (len(corners), 2))
    if kind in _CURVED:
        points = _round_corners(_round_corners(points))
    points = _even_steps(points, _POINTS)
    waves = bend[:, 0] * np.sin(2 * np.pi * bend[:, 1] * points[:, ::-1] + bend[:, 2])
    moments = np.linspace(0, 1, len(points))
    pressure = np.interp(moments, np.linspace(0, 1, len(_PRESSURE[kind])), _PRESSURE[kind])
    return points + waves, hand.width * (hand.pressure * pressure + (1 - hand.pressure) * 0.85)


def _round_corners(points: Floats) -> Floats:
    """Replace every corner by points at a quarter and three quarters of its sides. Source: Chaikin 1974."""
    near, far = points[:-1] * 0.75 + points[1:] * 0.25, points[:-1] * 0.25 + points[1:] * 0.75
    return np.concatenate([points[:1], np.stack([near, far], axis=1).reshape(-1, 2), points[-1:]])


def _even_steps(points: Floats, count: int) -> Floats:
    """Add points until neighbours are at most 1 / count of the path apart; keep the corners."""
    lengths = np.linalg.norm(np.diff(points, axis=0), axis=1)
    along = np.concatenate([[0.0], np.cumsum(lengths)])
    distances = np.union1d(along, np.linspace(0, along[-1], count))
    return np.stack([np.interp(distances, along, points[:, axis]) for axis in (0, 1)], axis=1)


def _press(board: Mask, points: Floats, widths: Floats) -> None:
    """Draw one stroke on the board."""
    scale = _BOARD * (1 - 2 * _MARGIN)
    pixels = np.rint(_BOARD * _MARGIN + points * scale).astype(int)
    for start, end, width in zip(pixels[:-1], pixels[1:], (widths[:-1] + widths[1:]) / 2, strict=True):
        cv2.line(board, tuple(start), tuple(end), 255, max(2, round(width * scale)), cv2.LINE_AA)


def _streaks(board: Mask, dryness: float, rng: np.random.Generator) -> Mask:
    """Remove streaks of ink along the brush's main direction."""
    noise = rng.random((_BOARD, _BOARD), dtype=np.float32)
    blurred = cv2.blur(noise, (25, 3))
    limit = np.quantile(blurred, 0.2 * dryness)
    return np.where(blurred < limit, 0, board).astype(np.uint8)
