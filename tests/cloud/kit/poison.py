"""Batches that a station should not send, and the reasons under which they are parked."""

import gzip
from collections.abc import Callable
from typing import Any

import msgspec

from cardmint_contracts.envelope import BATCH, BATCH_GZIP
from cardmint_contracts.wire import encode
from tests.cloud.kit.cards import accepted, sealed

Changes = dict[str, Any]


def batch(envelope: Changes | None = None, data: Changes | None = None) -> bytes:
    """One good event, with what is wrong about it in its envelope or its data."""
    (whole,) = msgspec.json.decode(encode(sealed(accepted())))
    whole["data"] = {**whole["data"], **(data or {})}
    return encode([{**whole, **(envelope or {})}])


def raw(old: bytes, new: bytes) -> bytes:
    """One good event with some of its bytes changed: what no JSON writer would write."""
    whole = encode(sealed(accepted()))
    assert old in whole
    return whole.replace(old, new, 1)


POISON: dict[str, tuple[Callable[[], bytes], str, str]] = {
    "malformed JSON": (lambda: batch()[:-1], BATCH, "malformed"),
    "wrong content type": (batch, "text/plain", "malformed"),
    "no content type's bytes": (lambda: b"\x1f\x8b\x00", BATCH_GZIP, "malformed"),
    "a batch of 10 MB": (lambda: b"[" + b" " * 10_000_000 + b"]", BATCH, "oversized"),
    "10 MB in 10 kB": (lambda: gzip.compress(b" " * 10_000_000), BATCH_GZIP, "oversized"),
    "an empty batch": (lambda: b"[]", BATCH, "invalid"),
    "under another's name": (lambda: batch({"source": "/stations/right"}), BATCH, "wrong-source"),
    "sequence 2^63": (lambda: batch({"sequence": str(2**63)}), BATCH, "invalid"),
    "sequence 0": (lambda: batch({"sequence": "0" * 19}), BATCH, "invalid"),
    "NUL": (lambda: batch(data={"defaults": {"bin": "A\x003"}}), BATCH, "invalid"),
    "a raw NUL": (lambda: raw(b'"lot":""', b'"lot":"\x00"'), BATCH, "malformed"),
    "a lone surrogate": (lambda: raw(b'"lot":""', b'"lot":"\\ud800"'), BATCH, "malformed"),
    "a raw surrogate": (lambda: raw(b'"lot":""', b'"lot":"\xed\xa0\x80"'), BATCH, "malformed"),
    "a price as float": (lambda: batch(data={"price": 12.5}), BATCH, "unknown-field"),
    "confidence as text": (lambda: batch(data={"confidence": "high"}), BATCH, "invalid"),
    "an unknown type": (lambda: batch({"type": "cardmint.card.melted.v1"}), BATCH, "unknown-type"),
    "a newer version of a type": (
        lambda: batch({"type": "cardmint.card.scanned.v9"}),
        BATCH,
        "unknown-type",
    ),
}
