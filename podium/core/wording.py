"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 image" or "1,200 images".

    Args:
        number: of them.
        noun: in the singular, e.g. "image".
        plural: of the noun, if it is not the noun and an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"


def counted_of(shown: int, total: int, noun: str) -> str:
    """Return "12 images", or "3 of 12 images" where fewer are shown."""
    of_all = counted(total, noun)
    return of_all if shown == total else f"{shown} of {of_all}"
