"""Months of the event log as Parquet files.

Only `cardmint-cloud[archive]` installs pyarrow.
"""

import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any
from uuid import UUID

from cardmint_cloud.adapters.postgres.columns import ARCHIVED_EVENTS
from cardmint_cloud.errors import StopService

BATCH = 5000
_UUIDS = [column.name for column in ARCHIVED_EVENTS if column.type == "uuid"]


def _pyarrow() -> tuple[Any, Any]:
    try:
        # 150 MB, and only who retires months, or reads them again, needs it.
        import pyarrow as pa  # noqa: PLC0415
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ImportError:
        raise StopService(
            "pyarrow is not installed: pip install 'cardmint-cloud[archive]'"
        ) from None
    return pa, pq


def _schema(pyarrow: Any) -> Any:
    types = {
        "text": pyarrow.string(),
        "uuid": pyarrow.string(),
        "bigint": pyarrow.int64(),
        "boolean": pyarrow.bool_(),
        "timestamptz": pyarrow.timestamp("us", tz="UTC"),
    }
    return pyarrow.schema(
        [
            pyarrow.field(column.name, types[column.type], nullable=column.nullable)
            for column in ARCHIVED_EVENTS
        ]
    )


class MonthWriter:
    """Writes one file, named `FILE.part` until `finish`. UUIDs are text, for other programs."""

    def __init__(self, file: Path) -> None:
        pyarrow, parquet = _pyarrow()
        self._pyarrow = pyarrow
        self._file = file
        self._part = file.with_name(f"{file.name}.part")
        file.parent.mkdir(parents=True, exist_ok=True)
        self._schema = _schema(pyarrow)
        self._writer = parquet.ParquetWriter(self._part, self._schema, compression="zstd")

    def write(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Append rows, each a mapping of the log's columns."""
        plain = [{**row, **{name: row[name] and str(row[name]) for name in _UUIDS}} for row in rows]
        self._writer.write_table(self._pyarrow.Table.from_pylist(plain, schema=self._schema))

    def finish(self) -> None:
        """Rename the file to its final name once its bytes are on the disk."""
        self._writer.close()
        with self._part.open("rb") as written:
            os.fsync(written.fileno())
        self._part.replace(self._file)
        folder = os.open(self._file.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    def abandon(self) -> None:
        """Delete the unfinished file."""
        self._writer.close()
        self._part.unlink(missing_ok=True)


def read_file(file: Path) -> Iterator[dict[str, Any]]:
    """Yield a file's rows in the order in which they were written, a batch in memory at a time.

    Raises:
        StopService: the file is missing, or is not a month of the log.
    """
    pyarrow, parquet = _pyarrow()
    try:
        with parquet.ParquetFile(file) as opened:
            if opened.schema_arrow != _schema(pyarrow):
                raise StopService(f"{file}: has other columns than a month of the log")
            for batch in opened.iter_batches(batch_size=BATCH):
                for row in batch.to_pylist():
                    yield {**row, **{name: row[name] and UUID(row[name]) for name in _UUIDS}}
    except FileNotFoundError:
        raise StopService(
            f"{file}: is not there; `archive` in the settings names the folder of retired months"
        ) from None
    except pyarrow.ArrowException as error:
        raise StopService(f"{file}: cannot be read as Parquet: {error}") from None
