"""Whether progress bars are shown: `PODIUM_PROGRESS=0` turns them off; environment, never in a hashed file."""

import os


def shown() -> bool:
    """Return False where the person turned progress bars off."""
    return os.environ.get("PODIUM_PROGRESS", "1") != "0"
