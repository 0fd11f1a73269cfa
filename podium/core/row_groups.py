"""A parquet file written table by table, a row group each: only one table is in memory at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from podium.core import tables


@contextmanager
def writing(path: Path) -> Iterator[Callable[[pd.DataFrame], None]]:
    """Yield a function that appends a table to the parquet file; `path` is replaced when the block succeeds."""
    writer: pq.ParquetWriter | None = None

    def append(table: pd.DataFrame) -> None:
        nonlocal writer
        arrow = pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None)
        writer = writer or pq.ParquetWriter(temporary, arrow.schema, compression="zstd")
        writer.write_table(arrow)

    with tables.replacing(path) as temporary:
        try:
            yield append
        finally:
            if writer is not None:
                writer.close()
