"""JSON encoding and decoding, with this package's errors.

Messages of stations are read strictly: an unknown field is an error, and the reader parks the event
until it is upgraded, so that nothing is dropped silently. Messages of the cloud are read leniently:
a station may be older than the cloud and must still understand its receipts (docs/decisions/0002).
"""

import re
from datetime import datetime
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct

from cardmint_contracts.errors import Invalid, Malformed, Oversized, UnknownField

MAX_MESSAGE_BYTES = 1 << 20
"""Greatest size of a message, compressed or not: 1 MiB."""

Instant = Annotated[datetime, Meta(tz=True)]
"""A moment, with its offset from UTC."""

ClockText = Annotated[
    str, Meta(min_length=1, max_length=40, extra_json_schema={"format": "date-time"})
]
"""A moment as a station's clock has it, unchecked: nothing is refused for its date."""

Code = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_-]{0,63}\Z")]
"""A machine-readable word, such as a reason: an open set, because contracts grow."""

Line = Annotated[str, Meta(max_length=200, extra_json_schema={"pattern": r"^[^\x00-\x1f\x7f]*\Z"})]
"""One line of text for people, without control characters: Postgres stores no NUL.

`decode` and `convert` check that. A pattern here would be checked twenty times an event, and took
longer than the rest of reading it. In JSON a control character needs a backslash, or is DEL.
"""

Sha256 = Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]
Probability = Annotated[float, Meta(ge=0.0, le=1.0)]
Count = Annotated[int, Meta(ge=0, le=2**63 - 1)]

T = TypeVar("T")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_encoder = msgspec.json.Encoder()


class Upward(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, gc=False):
    """Base of messages that stations send, read strictly; without cycles, so gc is off."""


class Downward(Struct, frozen=True, kw_only=True, gc=False):
    """Base of messages that the cloud sends; `decode` ignores unknown fields at every level."""


def clock_text(moment: datetime) -> str:
    """Return a moment in UTC as messages have it, such as `2026-11-27T12:00:00.250000Z`."""
    return moment.isoformat().replace("+00:00", "Z")


def encode(value: object) -> bytes:
    """Return `value` as UTF-8 JSON."""
    return _encoder.encode(value)


def decode(payload: bytes, as_type: type[T], *, max_bytes: int = MAX_MESSAGE_BYTES) -> T:
    """Read JSON as `as_type`.

    Raises:
        Oversized: longer than `max_bytes`.
        Malformed: not UTF-8 JSON.
        UnknownField, Invalid: JSON of the wrong shape, or a text with control characters; the
            message names the field.
    """
    if len(payload) > max_bytes:
        message = f"{len(payload)} bytes, but at most {max_bytes} are taken"
        raise Oversized(message)
    decoder = _decoders.get(as_type)
    if decoder is None:
        decoder = _decoders[as_type] = msgspec.json.Decoder(as_type)
    try:
        try:
            value: T = decoder.decode(payload)
        except msgspec.ValidationError as error:
            if not (isinstance(_named(error), UnknownField) and _is_downward(as_type)):
                raise
            value = _decode_known(payload, as_type)
    except msgspec.ValidationError as error:
        raise _named(error) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise Malformed(f"not JSON: {error}") from None
    if (b"\\" in payload or b"\x7f" in payload) and (field := _uncontrolled(value)) is not None:
        raise Invalid(_SAID.format(field))
    return value


def convert(value: object, as_type: type[T]) -> T:
    """Read plain values, such as a form's, as `as_type`.

    Raises:
        msgspec.ValidationError: values of the wrong shape, or a text with control characters.
    """
    found: T = msgspec.convert(value, as_type)
    if (field := _uncontrolled(found)) is not None:
        raise msgspec.ValidationError(_SAID.format(field))
    return found


def _is_downward(as_type: Any) -> bool:
    return isinstance(as_type, type) and issubclass(as_type, Downward)


def _decode_known(payload: bytes, as_type: type[T]) -> T:
    """Read JSON without the fields that this version does not know.

    Structs within a downward message are read strictly elsewhere: they are parts of events too.
    """
    known = _without_unknown(msgspec.json.decode(payload), msgspec.inspect.type_info(as_type))
    return msgspec.convert(known, as_type)


def _without_unknown(value: Any, kind: msgspec.inspect.Type) -> Any:
    """Return plain values without the keys that a type does not have, at every level."""
    match kind:
        case msgspec.inspect.Metadata():
            return _without_unknown(value, kind.type)
        case msgspec.inspect.StructType() if isinstance(value, dict):
            return {
                field.encode_name: _without_unknown(value[field.encode_name], field.type)
                for field in kind.fields
                if field.encode_name in value
            }
        case msgspec.inspect.VarTupleType() | msgspec.inspect.ListType() if isinstance(value, list):
            return [_without_unknown(one, kind.item_type) for one in value]
        case msgspec.inspect.UnionType():
            for one in kind.types:
                value = _without_unknown(value, one)
            return value
        case _:
            return value


_SAID = "control characters in the text - at `${}`"


def _uncontrolled(value: object) -> str | None:
    """Return the path of a text with control characters; None when there is none."""
    match value:
        case str():
            return "" if _CONTROL.search(value) else None
        case Struct():
            parts = [(f".{name}", getattr(value, name)) for name in value.__struct_fields__]
        case dict():
            parts = [(f".{key}", part) for key, part in value.items()]
        case tuple() | list():
            parts = [(f"[{index}]", part) for index, part in enumerate(value)]
        case _:
            return None
    for name, part in parts:
        if (path := _uncontrolled(part)) is not None:
            return name + path
    return None


_decoders: dict[Any, msgspec.json.Decoder[Any]] = {}


def _named(error: msgspec.ValidationError) -> Invalid:
    text = str(error)
    return UnknownField(text) if text.startswith("Object contains unknown field") else Invalid(text)
