"""Files of marketplaces and collection apps as they are, with cards of the small catalogue."""

import csv
import io
from collections.abc import Sequence
from pathlib import Path

from cardmint_cloud.market_files import HEADER

CHARIZARD = "base1-4"
BULBASAUR = "base1-44"


def pricing_row(sku: str, name: str, number: str, condition: str, **more: str) -> dict[str, str]:
    """Return a row of TCGplayer's pricing file; `more` has headings without spaces."""
    row = dict.fromkeys(HEADER, "") | {
        "TCGplayer Id": sku,
        "Product Line": "Pokemon",
        "Set Name": "Base Set",
        "Product Name": name,
        "Number": number,
        "Rarity": "Holo Rare",
        "Condition": condition,
        "TCG Market Price": "299.9500",
        "Total Quantity": "0",
        "Add to Quantity": "0",
        "TCG Marketplace Price": "310.00",
    }
    return row | {name.replace("_", " "): text for name, text in more.items()}


def pricing_file(path: Path, rows: Sequence[dict[str, str]]) -> Path:
    """Write rows as the seller portal does: names without quotes, values in quotes, CRLF."""
    text = io.StringIO()
    text.write(",".join(HEADER) + "\r\n")
    writer = csv.writer(text, quoting=csv.QUOTE_ALL, lineterminator="\r\n")
    writer.writerows([row[name] for name in HEADER] for row in rows)
    path.write_bytes(text.getvalue().encode())
    return path


def pull_sheet(path: Path, rows: Sequence[tuple[str, str, str, str]]) -> Path:
    """Write a pull sheet; each row has SKU, name, condition and orders such as `A-1:2 | B-2:1`."""
    head = (
        "Product Line,Product Name,Condition,Number,Set,Rarity,Quantity,Main Photo URL,"
        "Set Release Date,SkuId,Order Quantity"
    )
    numbers = {"Charizard": "4/102", "Bulbasaur": "44/102"}
    lines = [
        f"Pokemon,{name},{condition},{numbers[name]},Base Set,Rare,1,,1999-01-09,{sku},{orders}"
        for sku, name, condition, orders in rows
    ]
    path.write_text("\n".join([head, *lines, "Orders Contained in Pull Sheet:,A-1,B-2,C-3,", ""]))
    return path
