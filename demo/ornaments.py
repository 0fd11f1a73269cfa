"""Plain ornaments as masks, drawn in place of a character or as clutter."""

from collections.abc import Callable

import cv2
import numpy as np

from demo.brush import Mask, resize

_BOARD = 256  # pixels
_CENTRE = (128, 128)


def draw(name: str, size: int) -> Mask:
    """Draw one of ORNAMENTS.

    Returns:
        (size, size), 0 to 255.
    """
    board = np.zeros((_BOARD, _BOARD), np.uint8)
    ORNAMENTS[name](board)
    return resize(board, size, size)


def _lantern(board: Mask) -> None:
    cv2.ellipse(board, (128, 118), (88, 66), 0, 0, 360, 255, -1, cv2.LINE_AA)
    for half_width in (28, 60):
        cv2.ellipse(board, (128, 118), (half_width, 66), 0, 0, 360, 0, 5, cv2.LINE_AA)
    for top in (44, 178):
        cv2.rectangle(board, (94, top), (162, top + 14), 255, -1)
    cv2.line(board, (128, 8), (128, 44), 255, 6)
    for x in range(104, 153, 12):
        cv2.line(board, (x, 196), (x, 246), 255, 5)


def _knot(board: Mask) -> None:
    """Draw the endless knot: a woven lattice on its corner with loops at its rim and a tassel."""
    for step in range(-54, 55, 27):
        for sign in (-1, 1):
            start, end = (128 + step - 62, 110 + sign * (step + 62)), (128 + step + 62, 110 + sign * (step - 62))
            cv2.line(board, start, end, 255, 11, cv2.LINE_AA)
    for x, y in ((128, 16), (34, 110), (222, 110), (64, 48), (192, 48), (64, 172), (192, 172)):
        cv2.circle(board, (x, y), 17, 255, 8, cv2.LINE_AA)
    for x in range(112, 145, 8):
        cv2.line(board, (x, 200), (x, 250), 255, 4)


def _fish(board: Mask) -> None:
    cv2.ellipse(board, (112, 128), (88, 52), 0, 0, 360, 255, -1, cv2.LINE_AA)
    cv2.fillPoly(board, [np.array([(184, 128), (246, 70), (228, 128), (246, 186)])], 255, cv2.LINE_AA)
    cv2.fillPoly(board, [np.array([(90, 82), (128, 36), (150, 84)])], 255, cv2.LINE_AA)
    for x in range(86, 170, 24):
        for y in (104, 128, 152):
            cv2.ellipse(board, (x, y), (12, 12), 0, -80, 80, 0, 4, cv2.LINE_AA)
    cv2.circle(board, (52, 116), 9, 0, -1, cv2.LINE_AA)
    cv2.ellipse(board, (58, 128), (26, 44), 0, -70, 70, 0, 4, cv2.LINE_AA)


def _cloud(board: Mask) -> None:
    for (x, y), radius in (((84, 120), 58), ((160, 100), 66), ((212, 146), 38)):
        for share in (1.0, 0.62, 0.28):
            cv2.ellipse(board, (x, y), (int(radius * share), int(radius * share)), 0, 150, 420, 255, 11, cv2.LINE_AA)
    cv2.line(board, (16, 178), (236, 178), 255, 11, cv2.LINE_AA)
    cv2.line(board, (56, 206), (190, 206), 255, 11, cv2.LINE_AA)


def _flower(board: Mask) -> None:
    for angle in np.deg2rad(np.arange(-90, 270, 72)):
        petal = (128 + round(64 * np.cos(angle)), 128 + round(64 * np.sin(angle)))
        cv2.circle(board, petal, 50, 255, -1, cv2.LINE_AA)
        cv2.circle(board, petal, 34, 0, 5, cv2.LINE_AA)
    cv2.circle(board, _CENTRE, 32, 0, -1, cv2.LINE_AA)
    cv2.circle(board, _CENTRE, 22, 255, -1, cv2.LINE_AA)


def _coin(board: Mask) -> None:
    cv2.circle(board, _CENTRE, 110, 255, -1, cv2.LINE_AA)
    cv2.circle(board, _CENTRE, 92, 0, 6, cv2.LINE_AA)
    cv2.rectangle(board, (96, 96), (160, 160), 0, -1)
    cv2.rectangle(board, (86, 86), (170, 170), 0, 4)


def _lattice(board: Mask) -> None:
    """Draw a window lattice: a frame, a smaller frame inside, and bars between the two."""
    for inset in (14, 66):
        cv2.rectangle(board, (inset, inset), (255 - inset, 255 - inset), 255, 11)
    for place in (96, 160):
        for start, end in ((14, 66), (190, 242)):
            cv2.line(board, (place, start), (place, end), 255, 9)
            cv2.line(board, (start, place), (end, place), 255, 9)
    cv2.line(board, (66, 66), (190, 190), 255, 9, cv2.LINE_AA)
    cv2.line(board, (190, 66), (66, 190), 255, 9, cv2.LINE_AA)


ORNAMENTS: dict[str, Callable[[Mask], None]] = {
    "lantern": _lantern,
    "knot": _knot,
    "fish": _fish,
    "cloud": _cloud,
    "flower": _flower,
    "coin": _coin,
    "lattice": _lattice,
}
