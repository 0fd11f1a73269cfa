"""Whether to show progress bars: an environment variable, because it must not change any output."""

import os
import sys


def shown() -> bool:
    """Return whether `PODIUM_PROGRESS` is 1 (bars) or 0; where it is not set, whether a terminal would show them."""
    wanted = os.environ.get("PODIUM_PROGRESS", "")
    return wanted != "0" if wanted else sys.stderr.isatty()
