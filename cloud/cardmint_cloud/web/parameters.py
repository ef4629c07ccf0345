"""Types of parameters, with the bounds of the columns that they are compared with."""

from typing import Annotated

from litestar.params import PathParameter
from msgspec import Meta

RowNumber = Annotated[int, PathParameter(ge=1, le=2**63 - 1)]
"""A number of a row, in a path."""

Version = Annotated[int, Meta(ge=0, le=2**31 - 1)]
"""A version of a review, in a form."""
