"""What is wrong with a file that cannot be read as a CSV, and what to do: a web page, a workbook, `;` for commas."""

import re
from pathlib import Path

SNIFFED = 4096  # bytes from the beginning of a file
SEPARATORS = {";": "semicolons", "\t": "tabs", "|": "vertical bars"}

_SIGNATURES = {  # beginning of a file (without a byte order mark and blanks) -> what it is, and what to do
    b"<": "is a web page or XML, not a CSV: download the file itself, if need be after a login",
    b"{": "is JSON, not a CSV: convert it; a table of labels may be JSON if its name ends in .json",
    b"PK\x03\x04": "is a zip archive or an .xlsx workbook: unpack it, or save the sheet as `CSV UTF-8`",
    b"\x1f\x8b": "is compressed by gzip: unpack it, or name it .csv.gz",
    b"\xd0\xcf\x11\xe0": "is an .xls workbook: save the sheet as `CSV UTF-8`",
    b"\xff\xfe": "is UTF-16, not UTF-8: save it as `CSV UTF-8`",
    b"\xfe\xff": "is UTF-16, not UTF-8: save it as `CSV UTF-8`",
    b"version https://git-lfs": "is a pointer of Git LFS: run `git lfs pull`",
}
COMPRESSED = (".bz2", ".gz", ".tar", ".xz", ".zip", ".zst")  # pandas unpacks files of these endings
_RAGGED = re.compile(r"Expected (\d+) fields in line (\d+), saw (\d+)")  # pandas' messages
_OPEN_QUOTE = re.compile(r"EOF inside string starting at row (\d+)")


def of_beginning(path: Path) -> str:
    """Return what the file's first bytes say that it is instead of a UTF-8 CSV; "" for a CSV and a compressed one."""
    if path.suffix in COMPRESSED:
        return ""
    with path.open("rb") as file:
        start = file.read(SNIFFED)
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip()
    found = next((fault for signature, fault in _SIGNATURES.items() if text.startswith(signature)), "")
    return found or ("holds NUL bytes, so it is UTF-16 or damaged: save it as `CSV UTF-8`" if b"\0" in start else "")


def of_separators(header: str, path: Path) -> str:
    """Return a message if the cells of a file's first line are separated by something else than commas, else ""."""
    counts = {separator: header.count(separator) for separator in SEPARATORS}
    separator = max(counts, key=lambda one: counts[one])
    if counts[separator] <= header.count(","):
        return ""
    return (
        f"its cells are separated by {SEPARATORS[separator]}, Podium needs commas: convert it, e.g. by `import pandas;"
        f" pandas.read_csv({str(path)!r}, sep={separator!r}, dtype=str, keep_default_na=False).to_csv({str(path)!r},"
        " index=False)`"
    )


def of_error(error: Exception, path: Path, separator: str = ",") -> str:
    """Return what an error of pandas' reader means, and what to do."""
    if path.suffix in COMPRESSED:
        return f"cannot be unpacked ({_first_line(error)}): is it cut? Copy or download it again, or unpack it"
    if isinstance(error, UnicodeDecodeError):
        return f"is not UTF-8 ({_first_line(error)}): save it as `CSV UTF-8`"
    if ragged := _RAGGED.search(str(error)):
        expected, line, actual = ragged.groups()
        other = of_separators(_first_line_of(path), path) if separator == "," else ""
        mark = "a comma" if separator == "," else repr(separator)
        return other or (
            f"line {line} has {actual} cells, the lines before it have {expected}; put quotes around a cell that holds"
            f" {mark}, and remove {mark} at the end of a line"
        )
    if opened := _OPEN_QUOTE.search(str(error)):
        return f"row {int(opened[1]) + 1}: a quote is opened and never closed; close it, or double it inside of a cell"
    if not path.read_bytes().strip(b"\xef\xbb\xbf \t\r\n"):
        return "holds no cells; write its header and rows"
    return f"cannot be read as a UTF-8 CSV: {_first_line(error)}; save it again as `CSV UTF-8`"


def _first_line_of(path: Path) -> str:
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        return file.readline()


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)
