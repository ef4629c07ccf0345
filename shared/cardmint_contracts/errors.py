"""What can be wrong with something that came over the wire.

    ContractError
    ├── Oversized           larger than the contract allows, before or after decompression
    ├── Malformed           not JSON, not text, another content type, or damaged compression
    ├── Invalid             JSON of the wrong shape: a field missing, mistyped or out of range
    │   ├── UnknownField    a field that this version does not know
    │   └── LaterFormat     a folder that only a later version reads
    ├── UnknownType         an event of a type that this version does not know
    └── BadTopic            a topic outside the scheme, or a name that may not stand in one

The reader parks what raised any of these; `reason` is the code that it parks it under.
"""

from typing import ClassVar


class ContractError(ValueError):
    """Something from the wire does not keep to the contract."""

    reason: ClassVar[str] = "contract"


class Oversized(ContractError):
    """Larger than the contract allows."""

    reason = "oversized"


class Malformed(ContractError):
    """Cannot be read at all."""

    reason = "malformed"


class Invalid(ContractError):
    """Readable, but of the wrong shape."""

    reason = "invalid"


class UnknownField(Invalid):
    """Carries a field that this version does not know: the writer is newer than the reader."""

    reason = "unknown-field"


class LaterFormat(Invalid):
    """Written in a format that only a later version reads."""

    reason = "later-format"


class UnknownType(ContractError):
    """An event type that this version does not know: the writer is newer than the reader."""

    reason = "unknown-type"


class BadTopic(ContractError):
    """A topic outside the scheme."""

    reason = "bad-topic"
