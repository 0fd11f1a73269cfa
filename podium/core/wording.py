"""Numbers in sentences."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return "1 image" or "1,200 images".

    Args:
        number: of them.
        noun: in the singular, e.g. "image".
        plural: of the noun, if it is not the noun and an s.
    """
    return f"{number:,} {noun if number == 1 else plural or noun + 's'}"
