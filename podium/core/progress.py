"""Whether to show progress bars: an environment variable, because it must not change any output."""

import os


def shown() -> bool:
    """Return False if `PODIUM_PROGRESS=0` turns progress bars off."""
    return os.environ.get("PODIUM_PROGRESS", "1") != "0"
