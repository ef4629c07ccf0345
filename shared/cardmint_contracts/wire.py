"""JSON in and out, with this package's errors.

What stations send is read strictly: an unknown field is an error, and the reader parks the event until it is
upgraded, so that nothing is dropped in silence. What the cloud sends is read leniently, because a station may be older
than the cloud and must still understand its receipts (docs/decisions/0002).
"""

from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from cardmint_contracts.errors import Invalid, Malformed, Oversized, UnknownField

MAX_MESSAGE_BYTES = 1 << 20
"""The largest message, compressed or not, that any reader takes: 1 MiB."""

Instant = Annotated[datetime, Meta(tz=True)]
"""A moment with its offset from UTC."""

Code = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}\Z")]
"""A machine-readable word, such as a reason: an open set, because contracts grow."""

Line = Annotated[str, Meta(max_length=200, pattern=r"^[^\x00-\x1f\x7f]*\Z")]
"""One line of text for people, without control characters: Postgres stores no NUL."""

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

T = TypeVar("T")
_encoder = msgspec.json.Encoder()


class Upward(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """What a station sends: read strictly. It holds no cycles, so the garbage collector need not look."""


class Downward(Struct, frozen=True, kw_only=True, gc=False):
    """What the cloud sends: unknown fields are passed over."""


def encode(value: object) -> bytes:
    """Return `value` as UTF-8 JSON."""
    return _encoder.encode(value)


def decode(payload: bytes | memoryview, as_type: type[T], *, max_bytes: int = MAX_MESSAGE_BYTES) -> T:
    """Read JSON as `as_type`.

    Raises:
        Oversized: longer than `max_bytes`.
        Malformed: not UTF-8 JSON.
        UnknownField, Invalid: JSON of the wrong shape; the message names the field.
    """
    if len(payload) > max_bytes:
        message = f"{len(payload)} bytes, but at most {max_bytes} are taken"
        raise Oversized(message)
    decoder = _decoders.get(as_type)
    if decoder is None:
        decoder = _decoders[as_type] = msgspec.json.Decoder(as_type)
    try:
        value: T = decoder.decode(payload)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    return value


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _named(error: msgspec.ValidationError) -> Invalid:
    text = str(error)
    return UnknownField(text) if text.startswith("Object contains unknown field") else Invalid(text)
