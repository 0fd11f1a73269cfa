"""The sheet of the most suspect labels, with the members' predictions of each image."""

import pandas as pd

from podium.core.pixels import PixelPack
from podium.pictures import drawing
from podium.pictures.drawing import SheetSection, Tile

TILES, TILE_SIZE, COLUMNS = 24, 240, 4  # most tiles of a section; pixels of a tile; tiles in a row
MEMBERS = 6  # most members listed below a tile


def draw(suspects: pd.DataFrame, pack: PixelPack, warning: str = "") -> drawing.Canvas:
    """Draw the worst of contracts.SUSPECTS: those that confident learning flags, then those it does not.

    Args:
        suspects: contracts.SUSPECTS.
        pack: pixels of the train images.
        warning: text of the title, in place of "the worst first".
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
    """Draw one suspect, marked if it has a duplicate with another label."""
    votes = str(row["members"]).split("; ")
    lines = [
        str(row["image_id"]),
        f"given {row['given']} (p {row['p_given']:.2f})",
        f"rather {row['suggested']} (p {row['p_suggested']:.2f})",
        *votes[:MEMBERS],
    ]
    if len(votes) > MEMBERS:
        lines.append(f"in all {row['members_agreeing']} of {row['members_asked']} members say so")
    if row["other_duplicates"]:
        lines.append(f"duplicate: {row['other_duplicates']}")
    return Tile(pack[str(row["image_id"])], tuple(lines), marked=bool(row["other_duplicates"]))
