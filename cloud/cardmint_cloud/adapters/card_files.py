"""Files of cards, read row by row and written block by block: CSV, JSON and XLSX.

XLSX is written by XlsxWriter, which keeps one row in memory, and read by calamine, which holds a
whole sheet: its size is bounded before it is opened.
"""

import codecs
import contextlib
import csv
import io
import itertools
import json
import re
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import python_calamine
import xlsxwriter

from cardmint_cloud.domain.file_formats import FileFormat, heading, own_columns, recognised
from cardmint_cloud.domain.item_rows import (
    COLUMNS,
    FORMULA,
    column_name,
    defused,
    unknown_columns,
)
from cardmint_cloud.domain.market_formats import BY_NAME, FORMATS
from cardmint_cloud.errors import StopService

MAX_SHEET_BYTES = 256 << 20
"""Bytes of an XLSX file's parts, unpacked."""

MAX_SHEET_CELLS = 10_000_000
"""Cells from the first to the last one of an XLSX file, of which calamine holds each."""

_PLACE = re.compile(rb'\br="([A-Z]{0,3})([0-9]{1,9})"')
MAX_OBJECT = 1 << 20
"""Characters of one object of a JSON file."""

MAX_CELL = 10_000
MAX_HEAD = 10_000
MAX_LINE = 1 << 20
MAX_FILE_BYTES = 1 << 30
KINDS = (".csv", ".json", ".xlsx")
KINDS_IN_WORDS = ".csv, .json or .xlsx"
WRITTEN = datetime(2000, 1, 1, tzinfo=UTC)
"""The time of writing that a sheet names."""

_CHUNK = 1 << 16
_DELIMITERS = (",", ";", "\t")
_PRELUDE = re.compile(r'\s*"?sep=|"?Info,Version=|\s*\Z', re.IGNORECASE)
"""Lines that some programs write before the names of the columns."""

Row = tuple[int, Mapping[str, str]]
"""A row's number, as a spreadsheet shows it, and its cells by column."""


def format_of(path: Path, named: str = "") -> FileFormat | None:
    """Return of which format a file is, by its headings, or as it is named; None for our own.

    Raises:
        StopService: it cannot be read, or it is of no format, of several, or not of the named one.
    """
    if named and named not in BY_NAME:
        raise StopService(f"there is no format {named!r}; there are {', '.join(BY_NAME)}")
    with _said(path):
        headings = _headings(path)
    if named and headings is None:
        raise StopService(f"{path}: a file of {BY_NAME[named].title} is .csv or .xlsx")
    if headings is None:
        return None
    if named:
        if missing := sorted(BY_NAME[named].marks - set(headings)):
            raise StopService(
                f"{path}: is no {BY_NAME[named].title}: there is no column {missing[0]!r}"
            )
        return BY_NAME[named]
    if own_columns(headings):
        return None
    found = recognised(headings, FORMATS)
    if len(found) > 1:
        names = ", ".join(one.name for one in found)
        raise StopService(f"{path}: may be {names}: say which with --format")
    return found[0] if found else None


def read_rows(path: Path, form: FileFormat | None = None) -> Iterator[Row]:
    """Yield the rows of a file, whose kind its name tells, without holding them.

    Of a file of a format, all columns are read, under their headings; else only ours may be there.

    Raises:
        StopService: the file cannot be read; the message says where and what to do.
    """
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise StopService(f"{path}: a file of cards is {KINDS_IN_WORDS}")
    with _said(path):
        if (size := path.stat().st_size) > MAX_FILE_BYTES:
            raise StopService(
                f"{path}: {size >> 20:,} MiB are too many: at most {MAX_FILE_BYTES >> 20:,};"
                " split it into several files"
            )
        if kind == ".json":
            yield from _json_rows(path)
        elif kind == ".xlsx":
            yield from _xlsx_rows(path, form)
        else:
            yield from _csv_rows(path, form)


@contextlib.contextmanager
def _said(path: Path) -> Iterator[None]:
    """Say of what cannot be read where it is, and what to do."""
    try:
        yield
    except OSError as error:
        raise StopService(f"{path}: cannot be read: {error.strerror or error}") from error
    except UnicodeDecodeError as error:
        raise StopService(
            f"{path}: not UTF-8 at byte {error.start}; save it again as `CSV UTF-8`"
        ) from error
    except csv.Error as error:
        raise StopService(f"{path}: the first row cannot be read: {error}") from error


def _headings(path: Path) -> list[str] | None:
    """Return the headings of a file; None where it cannot be a file of others."""
    match path.suffix.lower():
        case ".xlsx":
            return [heading(str(one)) for one in next(_sheet(path), [])]
        case ".csv":
            return _csv_head(path).headings
    return None


class _CsvHead(NamedTuple):
    """What the first lines of a CSV file say: the lines before the names, and the headings."""

    before: int
    delimiter: str
    names: list[str]
    headings: list[str]


def _csv_head(path: Path) -> _CsvHead:
    """Read the names of the columns, of whose letters only ASCII ones count."""
    with path.open(encoding="utf-8-sig", errors="replace", newline="") as lines:
        before, head = 0, lines.readline(MAX_HEAD)
        while head and _PRELUDE.match(head):
            before, head = before + 1, lines.readline(MAX_HEAD)
    found = []
    for sign in _DELIMITERS:
        names = next(csv.reader([head], delimiter=sign), [])
        headings = [heading(one) for one in names]
        marks = max((len(one.marks) for one in recognised(headings, FORMATS)), default=0)
        found.append((max(marks, _known(names)), _CsvHead(before, sign, names, headings)))
    return max(found, key=lambda one: one[0])[1]


def _csv_rows(path: Path, form: FileFormat | None) -> Iterator[Row]:
    head = _csv_head(path)
    encoding = "utf-8-sig" if form is None else text_encoding(path)
    with path.open(encoding=encoding, newline="") as lines:
        lines.readline(MAX_HEAD)  # What is not text says so, rather than that it names no column.
    columns = _columns(path, head.names) if form is None else _headed(path, head.headings)
    first, number = head.before + 2, head.before + 1
    with path.open(encoding=encoding, newline="") as lines:
        for _ in range(head.before + 1):
            lines.readline(MAX_HEAD)
        try:
            for number, cells in enumerate(csv.reader(lines, delimiter=head.delimiter), first):
                if form and form.footer and cells and cells[0].startswith(form.footer):
                    continue
                if any(cells):
                    yield number, _cells(path, number, columns, cells)
        except csv.Error as error:
            raise StopService(f"{path}: row {number + 1} cannot be read: {error}") from error


def text_encoding(path: Path) -> str:
    """Return the encoding of a file of others: UTF-8, or that of older Windows programs.

    Raises:
        StopService: some lines are UTF-8 and others are not.
    """
    utf8 = other = 0
    with path.open("rb") as lines:
        for number, line in enumerate(iter(lambda: lines.readline(MAX_LINE), b""), 1):
            if line.isascii():
                continue
            try:
                line.decode()
                utf8 = utf8 or (number if not line.startswith(codecs.BOM_UTF8) else 0)
            except UnicodeDecodeError:
                other = other or number
            if utf8 and other:
                raise StopService(
                    f"{path}: line {utf8} is UTF-8 and line {other} is not; save it again as"
                    " `CSV UTF-8`"
                )
    return "cp1252" if other else "utf-8-sig"


def _json_rows(path: Path) -> Iterator[Row]:
    """Yield the objects of an array, or of one a line, from a window that moves over the file."""
    decoder = json.JSONDecoder(parse_constant=str, parse_int=str, parse_float=str)
    with path.open(encoding="utf-8-sig") as text:
        window, number = text.read(_CHUNK).lstrip(), 0
        closing = "]" if window.startswith("[") else ""
        window = window.removeprefix("[")
        while True:
            window = window.lstrip(" \t\r\n,")
            try:
                found, end = decoder.raw_decode(window)
            except (json.JSONDecodeError, RecursionError) as error:
                more = text.read(max(_CHUNK, len(window))) if len(window) < MAX_OBJECT else ""
                if more:
                    window += more
                    continue
                if window.strip() == closing:
                    return
                raise StopService(f"{path}: object {number + 1} is no whole JSON") from error
            number, window = number + 1, window[end:]
            if not isinstance(found, dict):
                raise StopService(f"{path}: objects are expected, or an array of them")
            yield number, _object(path, number, found)


def _object(path: Path, number: int, found: Mapping[str, Any]) -> dict[str, str]:
    cells: dict[str, str] = {}
    for name, value in found.items():
        _text(path, number, name)
        if isinstance(value, list | dict):
            raise StopService(f"{path}: object {number}: `{name[:40]}` is text or a number")
        cells[column_name(name)] = "" if value is None else str(value)
    _columns(path, list(cells))
    return {name: _text(path, number, value) for name, value in cells.items()}


def _xlsx_rows(path: Path, form: FileFormat | None) -> Iterator[Row]:
    rows = _sheet(path)
    names = [str(one) for one in next(rows, [])]
    columns = _columns(path, names) if form is None else _headed(path, list(map(heading, names)))
    for number, cells in enumerate(rows, 2):
        texts = [_cell_text(one) for one in cells]
        if form and form.footer and texts and texts[0].startswith(form.footer):
            continue
        if any(texts):
            yield number, _cells(path, number, columns, texts)


def _sheet(path: Path) -> Iterator[list[Any]]:
    """Return the rows of the first sheet, once its size is known."""
    try:
        with zipfile.ZipFile(path) as parts:
            size = sum(one.file_size for one in parts.infolist())
            if size > MAX_SHEET_BYTES:
                raise StopService(
                    f"{path}: {size >> 20:,} MiB unpacked are too many: at most"
                    f" {MAX_SHEET_BYTES >> 20}; save it as CSV"
                )
            sheets = [one for one in parts.namelist() if one.startswith("xl/worksheets/")]
            extent = max((_extent(parts, one) for one in sheets), default=0)
        if extent > MAX_SHEET_CELLS:
            raise StopService(
                f"{path}: a sheet of {extent:,} cells is too large: at most {MAX_SHEET_CELLS:,};"
                " remove what stands far to the right or below, or save it as CSV"
            )
        book = python_calamine.CalamineWorkbook.from_path(str(path))
        rows = book.get_sheet_by_index(0).iter_rows()
    except (
        *(zipfile.BadZipFile, python_calamine.CalamineError, IndexError),
        *(zlib.error, NotImplementedError, RuntimeError),  # of a part that cannot be unpacked
    ) as error:
        raise StopService(f"{path}: not an XLSX file that can be read: {error}") from error
    return iter(rows)


def _extent(parts: zipfile.ZipFile, name: str) -> int:
    """Return how many cells a sheet's last row and last column span, without holding the sheet."""
    rows = columns = 0
    kept = b""
    with parts.open(name) as sheet:
        while piece := sheet.read(_CHUNK):
            text = kept + piece
            for letters, digits in _PLACE.findall(text):
                rows = max(rows, int(digits))
                columns = max(columns, _column(letters))
            kept = text[-32:]
    return rows * columns


def _column(letters: bytes) -> int:
    number = 0
    for letter in letters:
        number = number * 26 + letter - 64
    return number


def _cell_text(value: Any) -> str:
    """Return a cell as it is shown: 4 rather than 4.0."""
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _known(names: Sequence[str]) -> int:
    named = [column_name(name) for name in names]
    return len(named) - len(unknown_columns(named))


def _columns(path: Path, names: Sequence[str]) -> list[str]:
    columns = [column_name(name) for name in names]
    unknown = unknown_columns(columns)
    if unknown or not columns:
        said = ", ".join(f"`{one[:40]}`" for one in unknown[:5]) or "nothing"
        raise StopService(
            f"{path}: the first row names the columns; {said} is none. Known are"
            f" reference, quantity, product, {', '.join(COLUMNS)}; or it is a file of others whose"
            f" columns are not complete: {', '.join(BY_NAME)}"
        )
    _no_column_twice(path, columns)
    return columns


def _headed(path: Path, headings: list[str]) -> list[str]:
    _no_column_twice(path, [one for one in headings if one])
    return headings


def _no_column_twice(path: Path, columns: Sequence[str]) -> None:
    if len(set(columns)) != len(columns):
        twice = next(one for one in columns if columns.count(one) > 1)
        raise StopService(f"{path}: there are two columns `{twice[:40]}`")


def _cells(path: Path, number: int, columns: list[str], cells: Sequence[str]) -> dict[str, str]:
    if len(cells) > len(columns) and any(cells[len(columns) :]):
        raise StopService(f"{path}: row {number} has more cells than there are columns")
    given = itertools.zip_longest(columns, cells[: len(columns)], fillvalue="")
    return {name: _text(path, number, text) for name, text in given}


def _text(path: Path, number: int, text: str) -> str:
    if len(text) > MAX_CELL:
        raise StopService(f"{path}: row {number}: a cell of {len(text):,} characters is too long")
    if any("\ud800" <= one <= "\udfff" for one in text):
        raise StopService(f"{path}: row {number}: a text has half a character: write it again")
    return text


class RowWriter(Protocol):
    """Writes rows; `take` returns what is ready, `end` the rest."""

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows."""
        ...

    def take(self) -> bytes:
        """Return what can be sent already."""
        ...

    def end(self) -> bytes:
        """Return the rest; nothing can be added afterwards."""
        ...


class CsvWriter:
    """Rows as CSV, after one of names; no spreadsheet takes a text for a formula."""

    def __init__(self) -> None:
        self._buffer = io.StringIO()
        self._writer = csv.writer(self._buffer)
        self._writer.writerow(COLUMNS)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows."""
        self._writer.writerows(
            # Of a hundred thousand rows most cells need no second look.
            [
                value if value.__class__ is not str or value[:1] not in FORMULA else defused(value)
                for value in map(row.__getitem__, COLUMNS)
            ]
            for row in rows
        )

    def take(self) -> bytes:
        """Return what was written since the last time."""
        text = self._buffer.getvalue()
        self._buffer.seek(0)
        self._buffer.truncate()
        return text.encode()

    end = take


class JsonWriter:
    """Rows as an array of objects, one a line."""

    def __init__(self) -> None:
        self._parts: list[str] = ["["]
        self._first = True

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows."""
        for row in rows:
            self._parts += ["" if self._first else ",\n", json.dumps(row, ensure_ascii=False)]
            self._first = False

    def take(self) -> bytes:
        """Return what was written since the last time."""
        text = "".join(self._parts)
        self._parts = []
        return text.encode()

    def end(self) -> bytes:
        """Return the rest."""
        self._parts.append("]\n")
        return self.take()


class XlsxWriter:
    """Rows as a sheet whose texts are texts: no cell is a formula, a link or a number by chance.

    Nothing is ready before the end; the rows wait in a file, not in memory.
    """

    def __init__(self) -> None:
        self._file = io.BytesIO()
        self._book = xlsxwriter.Workbook(self._file, {"constant_memory": True})
        # The time of writing would make each file of the same cards another one.
        self._book.set_properties({"created": WRITTEN})
        self._sheet = self._book.add_worksheet("Cards")
        self._sheet.freeze_panes(1, 0)
        self._row = 0
        self._write(COLUMNS)

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Write rows."""
        for row in rows:
            self._write([row[name] for name in COLUMNS])

    def _write(self, cells: Sequence[Any]) -> None:
        for place, value in enumerate(cells):
            if isinstance(value, str):
                if value:
                    self._sheet.write_string(self._row, place, value)
            else:
                self._sheet.write_number(self._row, place, value)
        self._row += 1

    def take(self) -> bytes:
        """Return nothing yet."""
        return b""

    def end(self) -> bytes:
        """Return the whole file."""
        self._book.close()
        return self._file.getvalue()


WRITERS: Mapping[str, type[CsvWriter | JsonWriter | XlsxWriter]] = {
    "csv": CsvWriter,
    "json": JsonWriter,
    "xlsx": XlsxWriter,
}
MEDIA_TYPES = {
    "csv": "text/csv; charset=utf-8",
    "json": "application/json",
    "xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}
