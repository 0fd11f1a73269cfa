"""Large arrays in blocks of rows, so that no copy of a whole one is needed."""

from collections.abc import Iterator


def of(shape: tuple[int, ...], cells: int) -> Iterator[slice]:
    """Yield slices of the rows of an array (rows, columns), of about `cells` cells each and at least a row."""
    n_rows, n_columns = shape
    step = max(cells // n_columns, 1)
    return (slice(start, start + step) for start in range(0, n_rows, step))
