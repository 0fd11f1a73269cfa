"""Draw sheets of labelled tiles, such as contact sheets; same input, same bytes."""

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from podium.core import seeding, tables

TILE = 120  # width and height of a tile's image, in pixels
COLUMNS = 8  # tiles in a row
GAP = 8  # pixels between tiles
CAPTION = 14  # height of a line of text below a tile, in pixels
TITLE, HEADING, SMALL = 22, 15, 10  # font sizes
INK, GREY, PAPER, EMPTY, MARK = (30, 30, 30), (110, 110, 110), (255, 255, 255), (225, 225, 225), (200, 20, 20)

Canvas = Image.Image
Pixels = npt.NDArray[np.uint8]


@dataclass(frozen=True)
class Tile:
    """One image of a sheet.

    Attributes:
        pixels: (height, width, 3), or None for an image that could not be read.
        lines: lines of text below the image.
        marked: whether the image gets a red frame.
    """

    pixels: Pixels | None
    lines: tuple[str, ...]
    marked: bool = False


@dataclass(frozen=True)
class SheetSection:
    """Tiles under one heading.

    Attributes:
        heading: "" for none.
        tiles: in drawing order.
        marked: whether the heading is red.
    """

    heading: str
    tiles: Sequence[Tile] = field(default_factory=list)
    marked: bool = False


def sheet(
    title: str, sections: Sequence[SheetSection], columns: int = COLUMNS, flow: bool = False, tile_size: int = TILE
) -> Canvas:
    """Draw sections below each other, their tiles in rows of `columns`; `flow` puts short sections side by side."""
    shelves = _shelves(sections, columns) if flow else [[section] for section in sections]
    heights = [max(_section_height(section, columns, tile_size) for section in shelf) for shelf in shelves]
    width = columns * (tile_size + GAP) + GAP
    canvas = Image.new("RGB", (width, TITLE + 3 * GAP + sum(heights)), PAPER)
    _text(canvas, (GAP, GAP, width - 2 * GAP), title, TITLE, INK)
    top = TITLE + 3 * GAP
    for shelf, height in zip(shelves, heights, strict=True):
        first = 0
        for section in shelf:
            n_columns = columns if len(shelf) == 1 else len(section.tiles)
            _draw_section(canvas, section, (first, top), n_columns, tile_size)
            first += len(section.tiles)
        top += height
    return canvas


def write(image: Canvas, path: Path) -> None:
    """Write a PNG."""
    with tables.replacing(path) as temporary:
        image.save(temporary, format="PNG")


def spread(image_ids: Sequence[str], limit: int) -> list[str]:
    """Choose up to `limit` images by a hash of their id.

    The choice is spread over the class, and it changes little when images are added.
    """
    chosen = sorted(image_ids, key=lambda image_id: (seeding.derive("sheet", image_id), image_id))[:limit]
    return sorted(chosen)


def slug(name: str) -> str:
    """Return a file name from a class name, safe on every system; "class" if no character is safe."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")[:40] or "class"


def legible(text: str) -> str:
    r"""Replace characters outside ASCII by codes such as \u798f: the built-in font draws the same box for all."""
    return ascii(text)[1:-1]


def _section_height(section: SheetSection, columns: int, tile_size: int) -> int:
    rows = -(-len(section.tiles) // columns)
    return (HEADING + GAP if section.heading else 0) + rows * _row_height(section, tile_size) + GAP


def _row_height(section: SheetSection, tile_size: int) -> int:
    return tile_size + CAPTION * max((len(tile.lines) for tile in section.tiles), default=0) + GAP


def _shelves(sections: Sequence[SheetSection], columns: int) -> list[list[SheetSection]]:
    """Fill shelves of `columns` tiles with sections, in order; a longer section gets a shelf of its own."""
    shelves: list[list[SheetSection]] = []
    free = 0
    for section in sections:
        if len(section.tiles) > free:
            shelves.append([])
            free = columns
        shelves[-1].append(section)
        free -= len(section.tiles)
    return shelves


def _draw_section(canvas: Canvas, section: SheetSection, at: tuple[int, int], columns: int, size: int) -> None:
    """Draw a section whose corner is at (first column, top in pixels)."""
    first, top = at
    left = GAP + first * (size + GAP)
    if section.heading:
        colour = MARK if section.marked else INK
        _text(canvas, (left, top, columns * (size + GAP) - GAP), section.heading, HEADING, colour)
        top += HEADING + GAP
    for k, tile in enumerate(section.tiles):
        row, column = divmod(k, columns)
        _draw_tile(canvas, tile, left + column * (size + GAP), top + row * _row_height(section, size), size)


def _draw_tile(canvas: Canvas, tile: Tile, left: int, top: int, size: int) -> None:
    draw = ImageDraw.Draw(canvas)
    box = (left, top, left + size - 1, top + size - 1)
    draw.rectangle(box, fill=EMPTY)
    if tile.pixels is None:
        draw.line(box, fill=GREY)
    else:
        picture = _fit(tile.pixels, size)
        canvas.paste(picture, (left + (size - picture.width) // 2, top + (size - picture.height) // 2))
    if tile.marked:
        draw.rectangle(box, outline=MARK, width=3)
    for k, line in enumerate(tile.lines):
        _text(canvas, (left, top + size + 1 + k * CAPTION, size), line, SMALL, GREY if k == 0 else INK)


def _fit(pixels: Pixels, tile_size: int) -> Image.Image:
    """Scale an image to fill a tile, small ones too; keep the aspect ratio, at least one pixel a side."""
    height, width = pixels.shape[:2]
    scale = tile_size / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return Image.fromarray(pixels).resize(size, Image.Resampling.BOX if scale < 1 else Image.Resampling.NEAREST)


def _text(canvas: Canvas, box: tuple[int, int, int], text: str, size: int, colour: tuple[int, int, int]) -> None:
    """Write a line of text; `box` is (left, top, width) in pixels."""
    left, top, width = box
    ImageDraw.Draw(canvas).text((left, top), _shorten(legible(text), size, width), fill=colour, font=_font(size))


def _shorten(text: str, size: int, width: int) -> str:
    """Cut the middle out of a text that is too wide, because ids differ at their ends."""
    font = _font(size)
    if font.getlength(text) <= width:
        return text

    def cut(length: int) -> str:
        return text[: length // 2] + "..." + text[len(text) - (length - length // 2) :]

    return cut(max(0, bisect_right(range(len(text)), width, key=lambda n: int(font.getlength(cut(n)) + 1)) - 1))


@cache
def _font(size: int) -> ImageFont.FreeTypeFont:
    """Return Pillow's built-in font, laid out without Raqm: some machines lack Raqm, and the bytes must agree."""
    font = ImageFont.load_default(size)
    if not isinstance(font, ImageFont.FreeTypeFont):
        raise RuntimeError("this Pillow lacks FreeType; run `make setup` to install the one of requirements.lock")
    return font.font_variant(layout_engine=ImageFont.Layout.BASIC)
