"""Stage `page`: the tables of the other stages -> data/report/index.html, the contest's report as one page.

The page is offline, runs no JavaScript and has the same bytes for the same tables, settings and libraries. So it holds
neither the commit nor times; `make` writes logs/report.html, a copy with both. No stage depends on it.
"""

from pathlib import Path

from podium.core import cli, tables
from podium.page import content, page_inputs

PAGE = Path("data/report/index.html")


def main(*, root: Path = Path()) -> None:
    """Write the page."""
    text = content.page(page_inputs.load(root))
    tables.write_text(text, root / PAGE)
    print(f"page: {PAGE}, {len(text.encode()) / 1e6:.1f} MB; open it in a browser")


if __name__ == "__main__":
    cli.run(main)
