"""Motifs that carry a figure: the red diamond, couplets, seals, paper cuts, lanterns, envelopes.

A motif is painted upright around its main figure, as a patch with an alpha channel. scenes.py chooses its place in the
image and the perspective.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from demo.brush import Mask
from demo.ornaments import draw as draw_ornament

Colour = tuple[int, int, int]  # red, green, blue
Pixels = npt.NDArray[np.uint8]  # (height, width, 3), RGB


@dataclass(frozen=True)
class Palette:
    """The colours of one motif."""

    paper: Colour
    ink: Colour
    trim: Colour


@dataclass
class Patch:
    """A painted motif.

    Attributes:
        pixels: (height, width, 3), RGB.
        alpha: (height, width), 255 where the motif hides the background.
        centre: x and y of the main figure's centre, in pixels.
    """

    pixels: Pixels
    alpha: Mask
    centre: tuple[float, float]


def diamond(figures: list[Mask], palette: Palette, rng: np.random.Generator) -> Patch:
    """Paint a square of paper hung by its corner; its figure is sometimes upside down.

    An upside-down 福 is a custom: "upside down" (倒) sounds like "has arrived" (到).
    """
    side = len(figures[0])
    reach = round(side * rng.uniform(1.05, 1.3))
    patch = _blank(2 * reach + 3, 2 * reach + 3, palette.paper)
    _fill(patch.alpha, _square_on_corner(reach, reach), 255)
    inner = round(reach * 0.92)
    line = max(1, side // 45)
    cv2.polylines(patch.pixels, [_square_on_corner(reach, inner)], True, palette.trim, line, cv2.LINE_AA)
    if rng.random() < 0.5:
        _corner_flowers(patch, reach, side, palette)
    figure = np.rot90(figures[0], 2) if rng.random() < 0.35 else figures[0]
    ink(patch.pixels, figure, palette.ink, patch.centre)
    return patch


def couplet(figures: list[Mask], palette: Palette, rng: np.random.Generator) -> Patch:
    """Paint a strip of paper with a column of figures in random order; figures[0] is the main one."""
    side = len(figures[0])
    step, width = round(side * 1.12), round(side * rng.uniform(1.2, 1.45))
    patch = _blank(width, step * len(figures) + side // 3, palette.paper)
    patch.alpha[:] = 255
    _frame(patch, side // 14, max(1, side // 50), palette.trim)
    places = [(width / 2, side / 6 + step * (k + 0.5)) for k in range(len(figures))]
    order = rng.permutation(len(figures))
    for figure, place in zip(figures, order, strict=True):
        ink(patch.pixels, figure, palette.ink, places[place])
    patch.centre = places[order[0]]
    return patch


def seal(figures: list[Mask], palette: Palette, rng: np.random.Generator) -> Patch:
    """Paint a seal's print, square or round: the figure cut out of a solid area, or solid in a frame."""
    side = len(figures[0])
    size, is_round, is_relief = round(side * 1.4), rng.random() < 0.4, rng.random() < 0.5
    patch = _blank(size, size, palette.paper)
    shape, inner = np.zeros((size, size), np.uint8), np.zeros((size, size), np.uint8)
    for mask, inset in ((shape, 2), (inner, max(3, side // 14))):
        _seal_outline(mask, inset, is_round)
    figure = _placed(figures[0], patch)
    patch.alpha = cv2.subtract(shape, figure) if is_relief else cv2.max(cv2.subtract(shape, inner), figure)
    patch.alpha = _worn(patch.alpha, rng)
    return patch


def paper_cut(figures: list[Mask], palette: Palette, rng: np.random.Generator) -> Patch:
    """Paint a disc of cut paper with a lace border; the figure is cut out of it, or solid in a ring."""
    side = len(figures[0])
    radius = round(side * rng.uniform(0.88, 1.0))
    patch = _blank(2 * radius + 3, 2 * radius + 3, palette.paper)
    petals = int(rng.integers(14, 25))
    _lace(patch.alpha, radius, petals)
    figure = _placed(figures[0], patch)
    if rng.random() < 0.5:
        patch.alpha = cv2.subtract(patch.alpha, figure)
    else:
        cv2.circle(patch.alpha, (radius, radius), round(radius * 0.76), 0, -1, cv2.LINE_AA)
        patch.alpha = cv2.max(patch.alpha, figure)
    return patch


def lantern(figures: list[Mask], palette: Palette, rng: np.random.Generator) -> Patch:
    """Paint a lantern with its figure in the middle."""
    side = len(figures[0])
    width, height, cap = round(side * rng.uniform(1.65, 1.85)), round(side * 1.45), round(side * 0.16)
    patch = _blank(width, height + 4 * cap, palette.paper)
    middle, axes = (width // 2, height // 2 + cap), (width // 2 - 2, height // 2)
    cv2.ellipse(patch.alpha, middle, axes, 0, 0, 360, 255, -1, cv2.LINE_AA)
    for share in (0.3, 0.6, 0.85):
        ribs = (round(axes[0] * share), axes[1])
        cv2.ellipse(patch.pixels, middle, ribs, 0, 0, 360, mix(palette.paper, palette.trim, 0.3), max(1, side // 60))
    for top in (0, height + cap):
        _box(patch, (middle[0] - side // 3, top, middle[0] + side // 3, top + cap + 2), palette.trim)
    for x in range(-side // 5, side // 5 + 1, max(2, side // 10)):
        _box(
            patch, (middle[0] + x, height + 2 * cap, middle[0] + x + max(1, side // 40), height + 4 * cap), palette.trim
        )
    patch.centre = (float(middle[0]), float(middle[1]))
    ink(patch.pixels, figures[0], palette.ink, patch.centre)
    return patch


def envelope(figures: list[Mask], palette: Palette, rng: np.random.Generator) -> Patch:
    """Paint an upright envelope with a flap, a frame, and clouds, coins or flowers in its lower corners."""
    side = len(figures[0])
    width, height = round(side * rng.uniform(1.3, 1.6)), round(side * rng.uniform(1.9, 2.2))
    patch = _blank(width, height, palette.paper)
    patch.alpha[:] = 255
    flap = np.array([(0, 0), (width, 0), (width // 2, round(side * 0.42))])
    cv2.fillPoly(patch.pixels, [flap], mix(palette.paper, (60, 0, 0), 0.35), cv2.LINE_AA)
    _frame(patch, side // 16, max(1, side // 60), palette.trim)
    patch.centre = (width / 2, height * 0.5)
    small = draw_ornament(str(rng.choice(["cloud", "coin", "flower"])), max(8, side // 3))
    for x in (width * 0.24, width * 0.76):
        ink(patch.pixels, small, palette.trim, (x, height - side * 0.28))
    ink(patch.pixels, figures[0], palette.ink, patch.centre)
    return patch


MOTIFS: dict[str, Callable[[list[Mask], Palette, np.random.Generator], Patch]] = {
    "diamond": diamond,
    "couplet": couplet,
    "seal": seal,
    "paper_cut": paper_cut,
    "lantern": lantern,
    "envelope": envelope,
}


def ink(pixels: Pixels, figure: Mask, colour: Colour, centre: tuple[float, float]) -> None:
    """Paint a figure in one colour; parts outside the image are cut off."""
    window, figure = _window(pixels[..., 0], figure, centre)
    share = figure[..., None].astype(np.float32) / 255
    pixels[window] = (pixels[window] * (1 - share) + np.array(colour, np.float32) * share).astype(np.uint8)


def bytes_of(levels: npt.NDArray[Any]) -> Pixels:
    """Clip grey levels to 0..255 and truncate them to whole numbers."""
    return np.asarray(np.clip(levels, 0, 255), np.uint8)


def mix(one: Colour, other: Colour, share: float) -> Colour:
    """Blend two colours; `share` is the second one's."""
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


def _blank(width: int, height: int, paper: Colour) -> Patch:
    pixels = np.full((height, width, 3), paper, np.uint8)
    return Patch(pixels, np.zeros((height, width), np.uint8), ((width - 1) / 2, (height - 1) / 2))


def _fill(mask: Mask, corners: npt.NDArray[np.int64], value: int) -> None:
    cv2.fillPoly(mask, [corners], value, cv2.LINE_AA)


def _square_on_corner(centre: int, reach: int) -> npt.NDArray[np.int64]:
    return np.array([(0, -reach), (reach, 0), (0, reach), (-reach, 0)]) + centre


def _window(canvas: Mask, figure: Mask, centre: tuple[float, float]) -> tuple[tuple[slice, slice], Mask]:
    """Return the slices of a canvas that a figure centred at a point covers, and the figure cropped to them."""
    height, width = figure.shape
    left, top = round(centre[0] - width / 2), round(centre[1] - height / 2)
    rows = slice(max(0, top), max(0, min(canvas.shape[0], top + height)))
    columns = slice(max(0, left), max(0, min(canvas.shape[1], left + width)))
    return (rows, columns), figure[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]


def _placed(figure: Mask, patch: Patch) -> Mask:
    """Place a figure in the middle of a mask of the patch's size."""
    mask = np.zeros_like(patch.alpha)
    window, figure = _window(mask, figure, patch.centre)
    mask[window] = figure
    return mask


def _box(patch: Patch, corners: tuple[int, int, int, int], colour: Colour) -> None:
    left, top, right, bottom = corners
    cv2.rectangle(patch.pixels, (left, top), (right, bottom), colour, -1)
    cv2.rectangle(patch.alpha, (left, top), (right, bottom), 255, -1)


def _frame(patch: Patch, inset: int, line: int, colour: Colour) -> None:
    height, width = patch.alpha.shape
    cv2.rectangle(patch.pixels, (inset, inset), (width - 1 - inset, height - 1 - inset), colour, line)


def _corner_flowers(patch: Patch, reach: int, side: int, palette: Palette) -> None:
    flower = draw_ornament("flower", max(8, side // 6))
    for x, y in ((0, -0.76), (0.76, 0), (0, 0.76), (-0.76, 0)):
        ink(patch.pixels, flower, palette.trim, (reach * (1 + x), reach * (1 + y)))


def _seal_outline(mask: Mask, inset: int, is_round: bool) -> None:
    size = len(mask)
    if is_round:
        cv2.circle(mask, (size // 2, size // 2), size // 2 - inset, 255, -1, cv2.LINE_AA)
    else:
        cv2.rectangle(mask, (inset, inset), (size - 1 - inset, size - 1 - inset), 255, -1)


def _worn(mask: Mask, rng: np.random.Generator) -> Mask:
    """Remove specks, as in the print of a seal with too little paste."""
    grain = cv2.resize(rng.random((24, 24), dtype=np.float32), mask.shape[::-1], interpolation=cv2.INTER_CUBIC)
    fine = rng.random(mask.shape, dtype=np.float32)
    return np.where(grain + 0.25 * fine < 0.22, 0, mask).astype(np.uint8)


def _lace(mask: Mask, radius: int, petals: int) -> None:
    """Draw a disc with a scalloped rim and a round hole in every scallop and a narrow gap between them."""
    middle, bow = (radius + 1, radius + 1), round(radius * np.pi / petals * 0.95)
    cv2.circle(mask, middle, radius - bow, 255, -1, cv2.LINE_AA)
    angles = 2 * np.pi * np.arange(petals) / petals
    for fill, size in ((255, bow), (0, max(1, bow // 2))):
        for angle in angles:
            x, y = (np.rint(middle[0] + (radius - bow) * np.array((np.cos(angle), np.sin(angle))))).astype(int)
            cv2.circle(mask, (int(x), int(y)), size, fill, -1, cv2.LINE_AA)
