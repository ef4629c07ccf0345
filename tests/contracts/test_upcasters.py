"""Earlier versions of events.

Whatever was valid then is read as a valid event of today, and says the same.
"""

from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts.cards import Candidate, Card, Decision, Image, ScanDefaults
from cardmint_contracts.events import (
    NAMES,
    TYPES,
    CardScanned,
    ImageEvicted,
    Question,
    RecogniserIdentity,
    ReviewOpened,
)
from cardmint_contracts.upcasters import (
    EARLIER,
    CardScannedV1,
    Earlier,
    ImageEvictedV1,
    ReviewOpenedV1,
    decode_data,
)
from cardmint_contracts.wire import encode

lines = st.from_regex(r"[ -~]{0,30}", fullmatch=True)
digests = st.from_regex(r"[0-9a-f]{64}", fullmatch=True)
codes = st.sampled_from(["random-audit", "possible-duplicate", "high-value"]) | st.from_regex(
    r"[a-z][a-z0-9_-]{0,63}", fullmatch=True
)
cards = st.builds(
    Card,
    id=st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._!?-]{0,9}", fullmatch=True),
    name=lines,
    number=lines,
)
candidates = st.lists(st.builds(Candidate, card=cards, confidence=st.floats(0, 1)), max_size=8)
VALID: dict[type[Earlier], st.SearchStrategy[Any]] = {
    CardScannedV1: st.builds(
        CardScannedV1,
        scan=st.uuids(),
        decision=st.sampled_from([Decision.REVIEW, Decision.REJECT]),
        recogniser=st.builds(RecogniserIdentity, method=st.just("classical"), pack=lines),
        confidence=st.floats(0, 1),
        margin=st.floats(0, 1),
        reasons=st.lists(codes, max_size=16).map(tuple),
        candidates=candidates.map(tuple),
        batch=st.builds(ScanDefaults, bin=lines, lot=lines),
        rescan_of=st.none() | st.uuids(),
    ),
    ReviewOpenedV1: st.builds(
        ReviewOpenedV1,
        task=st.uuids(),
        scan=st.uuids(),
        reasons=st.lists(codes, min_size=1, max_size=16).map(tuple),
        by=lines,
        card=cards,
        recogniser=lines,
        hold=st.booleans(),
        candidates=st.lists(
            st.builds(Candidate, card=cards, confidence=st.floats(0, 1)), max_size=8
        ).map(tuple),
        image=st.none()
        | st.builds(
            Image,
            sha256=digests,
            bytes=st.just(1),
            width=st.integers(1, 1 << 16),
            height=st.just(1),
        ),
    ),
    ImageEvictedV1: st.builds(
        ImageEvictedV1,
        sha256=digests,
        bytes=st.integers(0, 2**63 - 1),
        reason=codes
        | st.sampled_from(
            ["disk-short", "disk-short-before-upload", "a-before-upload-before-upload"]
        ),
        kind=st.sampled_from(["full", "thumbnail"]),
    ),
}


def test_every_earlier_version_is_tried_and_none_is_written() -> None:
    assert set(VALID) == set(EARLIER.values())
    assert not set(EARLIER) & set(TYPES)


@given(st.sampled_from(sorted(EARLIER)), st.data())
def test_whatever_was_valid_is_valid_today_and_stays_as_it_is(
    name: str, data: st.DataObject
) -> None:
    earlier = data.draw(VALID[EARLIER[name]])
    today = decode_data(name, encode(earlier))
    assert decode_data(NAMES[type(today)], encode(today)) == today
    for field in set(earlier.__struct_fields__) - {"candidates", "reason", "margin", "batch"}:
        assert getattr(today, field) == getattr(earlier, field)


@pytest.mark.parametrize(
    ("reasons", "question"),
    [
        (("high-value", "low-confidence"), Question.PRINTING),
        (("high-value", "possible-duplicate"), Question.DUPLICATE),
        (("random-audit",), Question.AUDIT),
        (("something-later",), Question.PRINTING),
    ],
)
def test_a_question_is_named_after_its_reasons(
    reasons: tuple[str, ...], question: Question
) -> None:
    fox, owl = Card(id="fic1-7", name="Ember Fox"), Card(id="fic1-10", name="Dusk Owl")
    said = (Candidate(card=owl, confidence=0.5),)
    for candidates, shown in ((said, said), ((), (Candidate(card=fox, confidence=0.0),))):
        earlier = ReviewOpenedV1(
            task=UUID(int=1),
            scan=UUID(int=2),
            reasons=reasons,
            by="rules/1",
            card=fox,
            candidates=candidates,
        )
        today = decode_data("cardmint.review.opened.v1", encode(earlier))
        assert isinstance(today, ReviewOpened)
        assert (today.question, today.reasons, today.candidates) == (question, reasons, shown)


@pytest.mark.parametrize(
    ("said", "uploaded", "reason"),
    [("disk-short", True, "disk-short"), ("disk-short-before-upload", False, "disk-short")],
)
def test_whether_the_cloud_had_an_image_stood_in_the_reason(
    said: str, uploaded: bool, reason: str
) -> None:
    earlier = ImageEvictedV1(sha256="ab" * 32, bytes=5, reason=said)
    today = decode_data("cardmint.image.evicted.v1", encode(earlier))
    assert today == ImageEvicted(
        sha256="ab" * 32, bytes=5, kind="full", uploaded=uploaded, reason=reason
    )


@pytest.mark.parametrize(
    ("confidences", "margin"),
    [((), 0.75), ((0.75,), 0.75), ((0.75, 0.5), 0.25), ((0.25, 0.5), 0.0)],
)
def test_a_first_margin_is_read_from_the_confidences(
    confidences: tuple[float, ...], margin: float
) -> None:
    fox = Card(id="fic1-7", name="Ember Fox")
    earlier = CardScannedV1(
        scan=UUID(int=1),
        decision=Decision.ACCEPT,
        card=fox,
        recogniser=RecogniserIdentity(method="classical", pack="1"),
        confidence=0.75,
        margin=0.9,
        candidates=tuple(Candidate(card=fox, confidence=one) for one in confidences),
        batch=ScanDefaults(bin="A3"),
    )
    today = decode_data("cardmint.card.scanned.v1", encode(earlier))
    assert isinstance(today, CardScanned)
    assert (today.margin, today.likeness_gap, today.defaults.bin) == (margin, None, "A3")


def test_a_first_scan_without_its_card_was_never_valid() -> None:
    with pytest.raises(ValueError, match="set exactly when"):
        CardScannedV1(
            scan=UUID(int=1),
            decision=Decision.ACCEPT,
            recogniser=RecogniserIdentity(method="classical", pack="1"),
        )
