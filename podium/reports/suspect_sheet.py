"""The picture of the most suspect labels, with what the members say of each."""

import pandas as pd

from podium.core.pixels import PixelPack
from podium.pictures import drawing
from podium.pictures.drawing import SheetSection, Tile

TILES, TILE_SIZE, COLUMNS = 24, 240, 4  # tiles of each section; pixels; tiles in a row
MEMBERS = 6  # said of a tile


def draw(suspects: pd.DataFrame, pack: PixelPack, warning: str = "") -> drawing.Canvas:
    """Draw the worst of contracts.SUSPECTS: those flagged by confident learning, then those merely predicted otherwise.

    Args:
        suspects: all of them.
        pack: of the train images.
        warning: what is wrong with them all, in the title.
    """
    sections = []
    for flagged, heading in (("yes", "Flagged by confident learning"), ("no", "Predicted otherwise, not flagged")):
        rows = suspects[suspects["flagged"] == flagged]
        tiles = [_tile(row, pack) for row in rows.head(TILES).to_dict("records")]
        shown = f"{len(tiles)} of {len(rows)}" if len(tiles) < len(rows) else f"{len(rows)}"
        sections.append(SheetSection(f"{heading}: {shown}", tiles, marked=flagged == "yes"))
    title = f"Suspected wrong labels: {len(suspects)}, {warning or 'the worst first'}"
    return drawing.sheet(title, sections, columns=COLUMNS, tile_size=TILE_SIZE)


def _tile(row: dict[str, object], pack: PixelPack) -> Tile:
    """Draw one suspect; those with a duplicate of another label are marked."""
    said = str(row["members"]).split("; ")
    lines = [
        str(row["image_id"]),
        f"given {row['given']} (p {row['p_given']:.2f})",
        f"rather {row['suggested']} (p {row['p_suggested']:.2f})",
        *said[:MEMBERS],
    ]
    if len(said) > MEMBERS:
        lines.append(f"in all {row['members_agreeing']} of {row['members_asked']} members say so")
    if row["other_duplicates"]:
        lines.append(f"duplicate: {row['other_duplicates']}")
    return Tile(pack[str(row["image_id"])], tuple(lines), marked=bool(row["other_duplicates"]))
