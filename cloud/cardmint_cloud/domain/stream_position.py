"""Where a batch belongs in its stream: behind what the log has of it, or nowhere."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import NamedTuple

from cardmint_contracts.chain import extend_all
from cardmint_contracts.envelope import Envelope


class StreamMark(NamedTuple):
    """What the log has of a stream: its owner, its last sequence, and the chain's digest there.

    The digest is None for a stream of version 0.1.0, whose messages say nothing about it.
    `has_moved` is whether the log has events of this stream under another one.
    """

    source: str
    sequence: int
    digest: bytes | None
    has_moved: bool = False


class BatchRefusal(Enum):
    """Why a batch is not taken."""

    ANOTHERS_STREAM = auto()
    GAP = auto()
    OTHER_CONTENT = auto()


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPosition:
    """How many events of a batch the log has already (`repeated`), and the digest after the rest.

    With a `refusal` nothing of the batch is taken.
    """

    repeated: int = 0
    digest: bytes | None = None
    refusal: BatchRefusal | None = None


def refusal_of(mark: StreamMark, source: str, first: int) -> BatchRefusal | None:
    """Return why a batch of `source` that begins at `first` cannot follow `mark`, if so."""
    if mark.source != source:
        return BatchRefusal.ANOTHERS_STREAM
    return BatchRefusal.GAP if first > mark.sequence + 1 else None


def needs_log(mark: StreamMark, envelopes: Sequence[Envelope], before: bytes | None) -> int:
    """Return how many events at the head of a batch must be compared with the log.

    None, where the digests of both sides tell. `refusal_of` has passed.
    """
    if mark.digest is not None and before is not None:
        return 0
    return _overlap(mark, envelopes)


def position_of(
    mark: StreamMark, envelopes: Sequence[Envelope], before: bytes | None, *, as_logged: bool
) -> StreamPosition:
    """Return where a batch belongs, given whether the events that `needs_log` named are the same.

    `before` is the digest that the sender names before the batch. Where only a part of the batch is
    new, the digest over the other part must be the log's: then all of it is the same, and nothing
    has to be read. A batch without new events changes nothing; its sender compares the receipt.
    `refusal_of` has passed.
    """
    overlap = _overlap(mark, envelopes)
    reaches_mark = envelopes[-1].number >= mark.sequence
    theirs = (
        extend_all(before, ((one, one.data) for one in envelopes[:overlap]))
        if before is not None and reaches_mark
        else None
    )
    differs = mark.digest is not None and theirs is not None and theirs != mark.digest
    if differs or not as_logged:
        return StreamPosition(refusal=BatchRefusal.OTHER_CONTENT)
    digest = mark.digest if mark.digest is not None else theirs
    if digest is not None:
        digest = extend_all(digest, ((one, one.data) for one in envelopes[overlap:]))
    return StreamPosition(repeated=overlap, digest=digest)


def _overlap(mark: StreamMark, envelopes: Sequence[Envelope]) -> int:
    return min(len(envelopes), mark.sequence + 1 - envelopes[0].number)
