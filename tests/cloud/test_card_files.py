"""Files of cards: what is written is read again; what cannot be read says where and what to do."""

import json
import re
import zipfile
from pathlib import Path
from typing import Any

import pytest
import xlsxwriter

from cardmint_cloud.adapters import card_files
from cardmint_cloud.adapters.card_files import WRITERS, read_rows
from cardmint_cloud.domain.item_rows import COLUMNS
from cardmint_cloud.errors import StopService

ROWS: list[dict[str, Any]] = [
    {name: f"{name} ä {n}" for name in COLUMNS} | {"version": n, "confidence": 0.5, "bin": text}
    for n, text in enumerate(["=1+1", "-3", 'a "quoted", one', "two;lines", "", "日本"], 1)
]


def written(path: Path, text: str | bytes) -> Path:
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


@pytest.mark.parametrize("form", sorted(WRITERS))
def test_what_is_written_is_read_again(form: str, tmp_path: Path) -> None:
    writer = WRITERS[form]()
    pieces = b""
    for start in range(0, len(ROWS), 2):
        writer.add(ROWS[start : start + 2])
        pieces += writer.take()
    found = list(read_rows(written(tmp_path / f"cards.{form}", pieces + writer.end())))
    assert [number for number, _ in found] == list(
        range(1 if form == "json" else 2, len(ROWS) + (1 if form == "json" else 2))
    )
    for (_, cells), row in zip(found, ROWS, strict=True):
        shown = {name: cells[name].removeprefix("'") for name in COLUMNS}
        assert shown == {name: str(value) for name, value in row.items()}


def test_a_sheet_names_no_time_of_writing(tmp_path: Path) -> None:
    with zipfile.ZipFile(written(tmp_path / "cards.xlsx", WRITERS["xlsx"]().end())) as parts:
        times = re.findall(rb"\d{4}-\d\d-\d\dT[\d:]+Z", parts.read("docProps/core.xml"))
    assert set(times) == {b"2000-01-01T00:00:00Z"}


def test_no_cell_of_a_sheet_is_a_formula(tmp_path: Path) -> None:
    writer = WRITERS["xlsx"]()
    writer.add([dict.fromkeys(COLUMNS, '=HYPERLINK("http://x")')])
    with zipfile.ZipFile(written(tmp_path / "cards.xlsx", writer.end())) as parts:
        sheet = parts.read("xl/worksheets/sheet1.xml").decode()
    assert "<f>" not in sheet
    assert "hyperlink" not in sheet
    writer = WRITERS["csv"]()
    writer.add([dict.fromkeys(COLUMNS, "=1")])
    assert writer.end().splitlines()[1].startswith(b"'=1,'=1,")


@pytest.mark.parametrize("sign", [",", ";", "\t"])
def test_a_spreadsheets_csv_is_read(sign: str, tmp_path: Path) -> None:
    lines = ["\ufeffReference,Card ID,Paid currency", 'a,"base1-4",EUR', ",,", "b,base1-5"]
    file = written(tmp_path / "cards.CSV", "\r\n".join(lines).replace(",", sign))
    assert list(read_rows(file)) == [
        (2, {"reference": "a", "card_id": "base1-4", "paid_currency": "EUR"}),
        (4, {"reference": "b", "card_id": "base1-5", "paid_currency": ""}),
    ]


def test_json_is_an_array_or_one_object_a_line(tmp_path: Path) -> None:
    many = [{"reference": f"{n} " + "x" * 900, "quantity": n, "note": None} for n in range(300)]
    wanted = [
        (n + 1, {"reference": one["reference"], "quantity": str(n), "note": ""})
        for n, one in enumerate(many)
    ]
    for text in (
        json.dumps(many),
        json.dumps(many, indent=2),
        "\n".join(json.dumps(one) for one in many),
    ):
        assert list(read_rows(written(tmp_path / "cards.json", text))) == wanted
    for empty in ("", "[]", " [ ]\n"):
        assert list(read_rows(written(tmp_path / "cards.json", empty))) == []


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("cards.txt", "reference", "is .csv, .json or .xlsx"),
        ("cards.csv", "", "nothing is none"),
        ("cards.csv", "reference,shoe\n", "`shoe` is none"),
        ("cards.csv", "reference,Reference\n", "two columns `reference`"),
        ("cards.csv", "reference,bin\na,b,c\n", "row 2 has more cells"),
        ("cards.csv", b"reference\nfl\xe9ab\n", "not UTF-8 at byte"),
        ("cards.csv", "reference\n" + "x" * 20_000, "too long"),
        ("cards.csv", "reference\n" + "x" * 200_000, "row 2 cannot be read"),
        ("cards.json", "[1]", "objects are expected"),
        ("cards.json", '[{"reference":"a"}', "object 2 is no whole JSON"),
        ("cards.json", '{"reference":', "object 1 is no whole JSON"),
        ("cards.json", "[" * 100_000, "object 1 is no whole JSON"),
        ("cards.json", '[{"shoe":1}]', "`shoe` is none"),
        ("cards.json", '[{"bin":[1]}]', "text or a number"),
        ("cards.json", '{"bin":"' + "x" * (3 << 20), "no whole JSON"),
        ("cards.json", b"[\xff]", "not UTF-8"),
        ("cards.xlsx", "PK", "not an XLSX file"),
        ("cards.xlsx", b"PK\x05\x06" + b"\0" * 18, "not an XLSX file"),
    ],
    ids=range(18),
)
def test_a_file_that_cannot_be_read_says_why(
    name: str, content: str | bytes, said: str, tmp_path: Path
) -> None:
    with pytest.raises(StopService, match=said):
        list(read_rows(written(tmp_path / name, content)))


def test_a_file_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(StopService, match="cannot be read: No such file"):
        list(read_rows(tmp_path / "cards.csv"))


def test_a_sheet_of_a_person_is_read(tmp_path: Path) -> None:
    book = xlsxwriter.Workbook(str(tmp_path / "cards.xlsx"))
    sheet = book.add_worksheet()
    for row, cells in enumerate([["reference", "quantity"], ["a", 4], [], ["b", 1.5]]):
        sheet.write_row(row, 0, cells)
    book.close()
    assert [cells for _, cells in read_rows(tmp_path / "cards.xlsx")] == [
        {"reference": "a", "quantity": "4"},
        {"reference": "b", "quantity": "1.5"},
    ]


def test_a_sheet_that_unpacks_to_too_much_is_not_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writer = WRITERS["xlsx"]()
    monkeypatch.setattr(card_files, "MAX_SHEET_BYTES", 100)
    with pytest.raises(StopService, match="save it as CSV"):
        list(read_rows(written(tmp_path / "cards.xlsx", writer.end())))
