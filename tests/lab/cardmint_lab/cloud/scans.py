"""The scans that benchmarks send: about 900 bytes each, the same for the same seed."""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from cardmint_contracts.cards import (
    Candidate,
    Card,
    Condition,
    Decision,
    Finish,
    Image,
    Language,
    ScanDefaults,
)
from cardmint_contracts.chain import extend_all, start_of
from cardmint_contracts.envelope import BATCH, Envelope, encode_batch, seal
from cardmint_contracts.events import CardScanned, RecogniserIdentity

PRINTINGS = 2000
REVIEWS = 0.02
"""Share of scans that need a person."""


@dataclass(frozen=True, kw_only=True, slots=True)
class EventMessage:
    """One message, ready to publish: events `first` to `last` of its stream.

    `before` is the chain's digest before the first.
    """

    payload: bytes
    first: int
    last: int
    before: bytes


def station_name(station: int) -> str:
    """Return a station's name."""
    return f"bench-{station:04d}"


def station_stream(seed: int, station: int) -> UUID:
    """Return a station's stream."""
    return UUID(int=random.Random(f"{seed}/{station}").getrandbits(128), version=4)


def make_scans(seed: int, station: int, count: int, start: datetime) -> Iterator[Envelope]:
    """Yield a station's scans, half a second apart from `start`."""
    draw = random.Random(f"{seed}/{station}/scans")
    for number in range(1, count + 1):
        yield seal(
            make_scan(draw, UUID(int=draw.getrandbits(128), version=4)),
            source=f"/stations/{station_name(station)}",
            time=start + timedelta(seconds=number / 2),
            stream=station_stream(seed, station),
            sequence=number,
            bootid=UUID(int=station),
            monotonic_ms=500 * number,
            clock_synced=True,
        )


def make_messages(
    seed: int, station: int, count: int, start: datetime, *, size: int
) -> list[EventMessage]:
    """Return a station's messages of `size` events each."""
    made: list[EventMessage] = []
    waiting: list[Envelope] = []
    digest = start_of(station_stream(seed, station))
    for envelope in make_scans(seed, station, count, start):
        waiting.append(envelope)
        if len(waiting) == size or envelope.number == count:
            payload, content_type = encode_batch(waiting)
            assert content_type == BATCH
            made.append(
                EventMessage(
                    payload=payload,
                    first=waiting[0].number,
                    last=waiting[-1].number,
                    before=digest,
                )
            )
            digest = extend_all(digest, ((one, one.data) for one in waiting))
            waiting = []
    return made


def divide_work(
    seed: int, stations: int, events: int, start: datetime, *, size: int
) -> dict[str, tuple[UUID, list[EventMessage]]]:
    """Return the messages of `events` scans, divided among stations, by station with its stream."""
    shares = [events // stations + (number < events % stations) for number in range(stations)]
    return {
        station_name(number): (
            station_stream(seed, number),
            make_messages(seed, number, share, start, size=size),
        )
        for number, share in enumerate(shares)
        if share
    }


def make_scan(draw: random.Random, scan: UUID) -> CardScanned:
    """Return a made-up scan under the identifier `scan`."""
    review = draw.random() < REVIEWS
    cards = [_card(draw.randrange(PRINTINGS)) for _ in range(3)]
    sure = draw.uniform(0.9, 1.0)
    return CardScanned(
        scan=scan,
        decision=Decision.REVIEW if review else Decision.ACCEPT,
        recogniser=RecogniserIdentity(method="classical", pack="bench-2026-11"),
        card=None if review else cards[0],
        confidence=sure,
        margin=sure / 2,
        reasons=("same-art",) if review else (),
        candidates=tuple(
            Candidate(card=card, confidence=sure / 2**i) for i, card in enumerate(cards)
        ),
        defaults=ScanDefaults(
            bin=f"B{draw.randrange(40)}",
            lot="bench",
            condition=Condition.NEAR_MINT,
            finish=draw.choice([Finish.NORMAL, Finish.HOLO]),
            language=Language("en"),
        ),
        image=Image(sha256=f"{draw.getrandbits(256):064x}", bytes=300_000, width=2000, height=2800),
    )


def _card(number: int) -> Card:
    place = f"{number % 200 + 1:03d}"
    return Card(
        id=f"bench{number // 200}-{place}",
        name=f"Measured Fox {number}",
        number=f"{place}/200",
        set_id=f"bench{number // 200}",
        set_name=f"Benchmark Set {number // 200}",
    )
