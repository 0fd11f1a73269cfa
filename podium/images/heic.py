"""HEIC, as iPhones write it: PIL reads it where pi-heif or pillow-heif is installed beside Podium.

Neither is in requirements.lock, because their wheels hold libheif and libde265 (LGPL), and pillow-heif's x265 (GPL).
"""

import importlib

FORMAT = "HEIF"  # the name under which both packages register themselves in PIL
ENDINGS = {".heic", ".heif", ".hif"}
PACKAGES = ("pi_heif", "pillow_heif")
MISSING = (
    "a HEIC image, which needs the package pi-heif: run `python -m pip install pi-heif` (in a project"
    " `.venv/bin/python -m pip install pi-heif && dvc repro -f prepare`), or save it as JPEG or PNG"
)
SNIFFED = 132  # bytes of a file's start that `is_heic` looks at
_BRANDS = {b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"}  # ISO/IEC 23008-12


def is_heic(start: bytes) -> bool:
    """Say whether a file is HEIC by its first bytes; AVIF has the same container, and PIL reads it alone."""
    return start[4:8] == b"ftyp" and start[8:12] in _BRANDS and b"avif" not in start


def register() -> bool:
    """Let PIL read HEIC, by the first of PACKAGES that is installed; return whether one is."""
    for name in PACKAGES:
        try:
            package = importlib.import_module(name)
        except ImportError:
            continue
        package.register_heif_opener(thumbnails=False, decode_threads=1)
        return True
    return False
