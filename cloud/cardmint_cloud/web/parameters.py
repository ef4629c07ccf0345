"""Types of parameters, with the bounds of the columns that they are compared with."""

from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from litestar.params import PathParameter
from msgspec import Meta

RowNumber = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
"""A number of a row, in a path."""

MAX_PAGE = 100_000
"""The last page of a list that an address may name."""

Version = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A version of a review, in a form."""


def address(path: str, values: Mapping[str, str | int]) -> str:
    """Return a path with those values as its query that are not empty."""
    query = urlencode({name: value for name, value in values.items() if value})
    return f"{path}?{query}" if query else path


def whole_number(text: str, otherwise: int, most: int) -> int:
    """Return a number from 1 to `most` of a query; `otherwise` where the text is none."""
    if text.isascii() and text.isdigit() and len(text) < 10:
        return min(most, max(1, int(text)))
    return otherwise
