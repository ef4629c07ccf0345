"""Messages as each version wrote them.

They stay for ever: what was once sent must be read for ever.

A file is added when a contract grows (`python -m tests.contracts.test_golden` writes those that are
missing) and is never changed. An event in a version that is no longer written stands beside what it
is read as (`.upcast.json`).
"""

import json
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID

import msgspec
import pytest

from cardmint_contracts.cards import (
    Candidate,
    Card,
    Condition,
    Decision,
    Edition,
    Finish,
    Image,
    Money,
    ScanDefaults,
)
from cardmint_contracts.changes import AddedGroup, ItemsGroup, ItemValues
from cardmint_contracts.control import (
    Command,
    CommandReply,
    DesiredConfig,
    Manifest,
    NewestSets,
    ReleasedSet,
    ReportedConfig,
    decode_manifest,
    encode_manifest,
)
from cardmint_contracts.envelope import BATCH, Envelope, decode_batch, encode_batch, seal
from cardmint_contracts.events import (
    NAMES,
    TYPES,
    CardScanned,
    EventData,
    ImageEvicted,
    ItemsAdded,
    ItemsChanged,
    PriceJudged,
    Question,
    RecogniserIdentity,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
    ScanWithdrawn,
    StreamOpened,
)
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.upcasters import EARLIER, decode_data
from cardmint_contracts.wire import decode, encode

GOLDEN = Path(__file__).parent / "golden"
NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, tzinfo=UTC)
NOON_TEXT = "2026-11-22T12:00:00.250000Z"
FOX = Card(id="fic1-7", name="Ember Fox", number="007/040", set_id="fic1", set_name="First Light")
IMAGE = Image(sha256="ab" * 32, bytes=81234, width=734, height=1024)
EVENTS: dict[str, EventData] = {
    "scanned-accepted": CardScanned(
        scan=UUID(int=11),
        decision=Decision.ACCEPT,
        card=FOX,
        confidence=0.97,
        margin=0.97,
        likeness_gap=0.4,
        candidates=(Candidate(card=FOX, confidence=0.97),),
        recogniser=RecogniserIdentity(
            method="classical", pack="2026-11-22", models={"reader": "3"}, rules="1"
        ),
        defaults=ScanDefaults(
            bin="A3",
            lot="estate",
            condition=Condition.NEAR_MINT,
            finish=Finish.REVERSE_HOLO,
            edition=Edition.FIRST,
            language="en",
        ),
        image=IMAGE,
        possible_duplicate_of=UUID(int=10),
    ),
    "scanned-review": CardScanned(
        scan=UUID(int=12),
        decision=Decision.REVIEW,
        reasons=("same-art",),
        confidence=0.5,
        margin=0.01,
        candidates=(Candidate(card=FOX, confidence=0.5),),
        recogniser=RecogniserIdentity(method="classical", pack="2026-11-22"),
    ),
    "scanned-rejected": CardScanned(
        scan=UUID(int=13),
        decision=Decision.REJECT,
        reasons=("no-card-found",),
        recogniser=RecogniserIdentity(method="classical", pack="2026-11-22"),
    ),
    "scanned-language": CardScanned(
        scan=UUID(int=15),
        decision=Decision.ACCEPT,
        card=FOX,
        confidence=0.97,
        margin=0.97,
        candidates=(Candidate(card=FOX, confidence=0.97),),
        recogniser=RecogniserIdentity(method="classical", pack="2026-11-27"),
        language="fr",
        language_confidence=0.98,
    ),
    "scanned-several": CardScanned(
        scan=UUID(int=16),
        decision=Decision.REJECT,
        reasons=("several-cards",),
        recogniser=RecogniserIdentity(method="classical", pack="2026-11-22"),
        image=IMAGE,
        outlines=((0.1, 0.1, 0.4, 0.1, 0.4, 0.9, 0.1, 0.9),),
    ),
    "scanned-variant": CardScanned(
        scan=UUID(int=14),
        decision=Decision.ACCEPT,
        card=FOX,
        confidence=0.97,
        margin=0.97,
        candidates=(Candidate(card=FOX, confidence=0.97),),
        recogniser=RecogniserIdentity(method="classical", pack="2026-11-27"),
        defaults=ScanDefaults(finish=Finish.REVERSE_HOLO),
        finish=Finish.HOLO,
        edition=Edition.FIRST,
    ),
    "review-answered": ReviewAnswered(
        task=UUID(int=21),
        task_version=1,
        scan=UUID(int=12),
        verdict="card",
        card=FOX,
        by="station:left",
    ),
    "review-answered-language": ReviewAnswered(
        task=UUID(int=21),
        task_version=1,
        scan=UUID(int=12),
        verdict="card",
        card=FOX,
        by="station:left",
        language="fr",
    ),
    "review-answered-variant": ReviewAnswered(
        task=UUID(int=21),
        task_version=1,
        scan=UUID(int=12),
        verdict="card",
        card=FOX,
        by="station:left",
        finish=Finish.HOLO,
        edition=Edition.FIRST,
    ),
    "review-opened": ReviewOpened(
        task=UUID(int=22),
        scan=UUID(int=11),
        question=Question.AUDIT,
        reasons=("random-audit",),
        by="rules/1",
        card=FOX,
        recogniser="classical/3",
    ),
    "review-undone": ReviewUndone(task=UUID(int=21), task_version=2, scan=UUID(int=12), by="ann"),
    "review-rescan": RescanRequested(
        task=UUID(int=21), task_version=3, scan=UUID(int=12), by="ann", place="bin A3, slot 12"
    ),
    "review-aged": ReviewAged(
        task=UUID(int=21), task_version=4, scan=UUID(int=12), outcome="escalated"
    ),
    "price-judged": PriceJudged(
        card_id="fic1-7",
        finish="holo",
        source="tcgdex/tcgplayer",
        price=Money(minor=50_000, currency="USD"),
        verdict="take",
        by="ann",
    ),
    "scanned-again": CardScanned(
        scan=UUID(int=14),
        decision=Decision.ACCEPT,
        card=FOX,
        confidence=0.99,
        margin=0.6,
        recogniser=RecogniserIdentity(method="classical", pack="2026-11-22"),
        rescan_of=UUID(int=12),
    ),
    "stream-opened": StreamOpened(
        reason="cloud-restored",
        previous=UUID(int=7),
        acknowledged=15,
        last=18,
        resent=4,
        missing=1,
        missing_first=11,
        missing_last=15,
    ),
    "image-evicted": ImageEvicted(
        sha256="ab" * 32, bytes=81234, kind="full", uploaded=False, reason="disk-short"
    ),
    "image-evicted-thumbnail": ImageEvicted(
        sha256="ab" * 32, bytes=81234, kind="thumbnail", uploaded=True, reason="disk-short"
    ),
    "items-changed": ItemsChanged(
        change=UUID(int=31),
        by="ann",
        groups=(
            ItemsGroup(
                items=(UUID(int=11), UUID(int=14)),
                before=ItemValues(bin="A3", condition=Condition.NEAR_MINT, cleared=("paid",)),
                after=ItemValues(
                    bin="B1", paid=Money(minor=250, currency="EUR"), cleared=("condition",)
                ),
            ),
        ),
        undoes=UUID(int=30),
    ),
    "items-added": ItemsAdded(
        change=UUID(int=33),
        by="ann",
        groups=(
            AddedGroup(
                items=(UUID(int=16), UUID(int=17)),
                references=("box 3, card 1", "box 3, card 2"),
                values=ItemValues(card=FOX, language="en", condition=Condition.NEAR_MINT),
            ),
        ),
    ),
    "scan-withdrawn": ScanWithdrawn(scan=UUID(int=11), by="station"),
}
OTHERS: dict[str, msgspec.Struct] = {
    "command": Command(name="rescan", scan=UUID(int=11)),
    "command-reply": CommandReply(
        command=UUID(int=5), done=True, says="taken", lines=("disk: 5 GB free",)
    ),
    "config-desired": DesiredConfig(version=4, max_kb_per_s=200, uploads_paused=False),
    "config-reported": ReportedConfig(
        version=4,
        max_kb_per_s=200,
        reserve_mb=500,
        uploads_paused=False,
        catalogue="2026-11-22",
        models="built in",
    ),
    "manifest": Manifest(
        artifact="catalogue",
        version="2026-11-22",
        url="https://cards.example.com/packs/1.sqlite",
        bytes=41_000_000,
        sha256="ab" * 32,
        signature="A" * 86 + "==",
    ),
    "newest-sets": NewestSets(
        sets=(ReleasedSet(id="me4", name="Pitch Black", released="2026-07-17"),)
    ),
    "receipt": Receipt(stream=UUID(int=1), sequence=41),
    "receipt-refused": Receipt(stream=UUID(int=1), sequence=41, refused=50),
    "receipt-proving": Receipt(
        stream=UUID(int=1),
        sequence=41,
        refused=50,
        digest="ab" * 32,
        database=UUID(int=5),
        replaces=(UUID(int=4),),
        reason="other-content",
    ),
    "task": ReviewTask(
        task=UUID(int=21),
        version=1,
        scan=UUID(int=12),
        opened=NOON,
        reasons=("same-art",),
        candidates=(Candidate(card=FOX, confidence=0.5),),
        image=IMAGE,
    ),
    "task-rescan": ReviewTask(
        task=UUID(int=21),
        version=4,
        scan=UUID(int=12),
        opened=NOON,
        reasons=("same-art",),
        place="bin A3, slot 12",
        escalated=True,
    ),
    "outcome": ReviewOutcome(
        task=UUID(int=21), version=2, scan=UUID(int=12), verdict="card", by="ann", at=NOON, card=FOX
    ),
    "outcome-language": ReviewOutcome(
        task=UUID(int=21),
        version=2,
        scan=UUID(int=12),
        verdict="card",
        by="ann",
        at=NOON,
        card=FOX,
        language="fr",
    ),
    "state-birth": StationState(
        online=True,
        epoch=3,
        bootid=UUID(int=3),
        stream=UUID(int=1),
        time=NOON_TEXT,
        version="0.1.0",
    ),
    "health": StationHealth(
        time=NOON_TEXT,
        queued=2,
        oldest_unsent_s=0.5,
        disk_free_bytes=10**9,
        clock_synced=True,
        pack="2026-11-22",
        scanned=7,
    ),
}


def envelope(data: EventData) -> Envelope:
    return seal(
        data,
        source="/stations/left",
        time=NOON,
        stream=UUID(int=1),
        sequence=41,
        bootid=UUID(int=3),
        monotonic_ms=123_456,
        clock_synced=True,
    )


def grown_from(now: object, then: object) -> bool:
    """Return whether a message has all its old values, and beside them only defaults."""
    if isinstance(now, dict) and isinstance(then, dict):
        added = [now[key] for key in now.keys() - then.keys()]
        return all(grown_from(now.get(key), then[key]) for key in then) and not any(added)
    if isinstance(now, list) and isinstance(then, list):
        return len(now) == len(then) and all(map(grown_from, now, then))
    return now == then


VERSIONS = {"manifest": 2}
"""Which version of a message is written today, where it is not the first."""

FILES = {f"{name}.{NAMES[type(data)].rpartition('.')[2]}": data for name, data in EVENTS.items()}
UPCAST = sorted(file.name.removesuffix(".upcast.json") for file in GOLDEN.glob("*.upcast.json"))


def kept(name: str) -> bytes:
    return (GOLDEN / f"{name}.json").read_bytes().rstrip(b"\n")


@pytest.mark.parametrize("name", sorted(FILES))
def test_events(name: str) -> None:
    (read,) = decode_batch(kept(name), BATCH)
    assert decode_data(read.type, bytes(read.data)) == FILES[name]
    assert grown_from(json.loads(encode_batch([envelope(FILES[name])])[0]), json.loads(kept(name)))


@pytest.mark.parametrize("name", UPCAST)
def test_earlier_versions_are_read_as_todays(name: str) -> None:
    (read,) = decode_batch(kept(name), BATCH)
    event = decode_data(read.type, bytes(read.data))
    assert (read.type in EARLIER, NAMES[type(event)] in TYPES) == (True, True)
    assert grown_from(json.loads(read_as(event)), json.loads(kept(f"{name}.upcast")))


def test_every_golden_message_is_read() -> None:
    names = {file.name.removesuffix(".json") for file in GOLDEN.iterdir()}
    assert names == {
        *FILES,
        *(f"{name}.v{n}" for name in OTHERS for n in range(1, VERSIONS.get(name, 1) + 1)),
        *UPCAST,
        *(f"{name}.upcast" for name in UPCAST),
    }
    assert {decode_batch(kept(name), BATCH)[0].type for name in UPCAST} == set(EARLIER)


def test_a_manifest_of_the_first_version_is_read_and_todays_is_read_by_the_first() -> None:
    manifest = OTHERS["manifest"]
    assert isinstance(manifest, Manifest)
    assert decode_manifest(kept("manifest.v1")) == decode_manifest(kept("manifest.v2")) == manifest
    assert grown_from(
        json.loads(kept("manifest.v2")), json.loads(kept("manifest.v1")) | {"artifact": "catalogue"}
    )
    assert encode_manifest(manifest) == kept("manifest.v2")


@pytest.mark.parametrize("name", sorted(OTHERS.keys() - VERSIONS.keys()))
def test_other_messages(name: str) -> None:
    golden = kept(f"{name}.v1")
    assert decode(golden, type(OTHERS[name])) == OTHERS[name]
    assert grown_from(json.loads(encode(OTHERS[name])), json.loads(golden))


def read_as(event: EventData) -> bytes:
    return encode({"type": NAMES[type(event)], "data": event})


if __name__ == "__main__":
    written = {name: encode_batch([envelope(data)])[0] for name, data in FILES.items()}
    written |= {
        f"{name}.v{VERSIONS.get(name, 1)}": encode_manifest(value)
        if isinstance(value, Manifest)
        else encode(value)
        for name, value in OTHERS.items()
    }
    for name, payload in written.items():
        file = GOLDEN / f"{name}.json"
        if not file.exists():
            file.write_bytes(payload + b"\n")
    for file in GOLDEN.glob("*.v*[0-9].json"):
        if isinstance(batch := json.loads(file.read_bytes()), list) and batch[0]["type"] in EARLIER:
            (one,) = decode_batch(file.read_bytes().rstrip(b"\n"), BATCH)
            expected = file.with_name(f"{file.stem}.upcast.json")
            if not expected.exists():
                expected.write_bytes(read_as(decode_data(one.type, bytes(one.data))) + b"\n")
