"""Files of an image folder that are no images: `prepare` says so of each."""

import pandas as pd

from podium import contracts


def split_files(facts: pd.DataFrame) -> tuple[list[str], list[str]]:
    """Return the ids of the images (contracts.FACTS), unreadable ones too, and those of files that are no images."""
    is_other = facts["problem"].str.startswith(contracts.NOT_AN_IMAGE)
    return list(facts.loc[~is_other, "image_id"]), list(facts.loc[is_other, "image_id"])
