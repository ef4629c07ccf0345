"""The operator says that a rejected scan shows a card."""

from collections.abc import Iterator
from uuid import UUID

import pytest
from msgspec.structs import replace
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import STAMP, image_of, scan_of

from cardmint_contracts.cards import Decision
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.objections import objection_to, open_to_objection, record_objection


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with quick_folder() as folder:
        opened = Outbox.open(folder / "outbox.db")
        yield opened
        opened.close()


def rejected(number: int, *reasons: str) -> CardScanned:
    return replace(
        scan_of(number, image=image_of(number)),
        decision=Decision.REJECT,
        card=None,
        reasons=reasons or (Reason.NO_CARD_FOUND,),
    )


def test_a_rejected_scan_is_asked_about_once(outbox: Outbox) -> None:
    scan = rejected(1)
    first = outbox.record(scan, STAMP, "a.jpg", b"code", "11" * 32)
    assert open_to_objection(outbox, [first]) == {scan.scan}
    for _ in range(2):
        assert record_objection(outbox, lambda _: True, scan.scan, STAMP)
    objection, before = outbox.recent_scans(3)
    assert before.scan.decision is Decision.REJECT
    assert objection.scan == replace(
        scan,
        scan=objection_to(scan.scan),
        decision=Decision.REVIEW,
        reasons=(Reason.SAID_TO_BE_A_CARD,),
    )
    assert objection.fingerprint == b"code"
    assert open_to_objection(outbox, [objection, before]) == frozenset()
    assert len(outbox.events(1, 9)) == 2
    assert outbox.scan_of_picture("11" * 32) == scan.scan
    assert outbox.withdraw(objection.scan.scan, "station", STAMP)
    assert not record_objection(outbox, lambda _: True, UUID(int=7), STAMP)


def test_an_image_that_was_given_up_is_not_named_again(outbox: Outbox) -> None:
    outbox.record(rejected(1), STAMP)
    assert record_objection(outbox, lambda _: False, rejected(1).scan, STAMP)
    assert outbox.recent_scans(1)[0].scan.image is None


def test_only_a_rejected_scan_of_one_card_can_be_objected_to(outbox: Outbox) -> None:
    several = rejected(1, Reason.SEVERAL_CARDS)
    asked = replace(rejected(2), decision=Decision.REVIEW)
    undone = rejected(3)
    for scan in (several, asked, undone, scan_of(4)):
        outbox.record(scan, STAMP)
    outbox.withdraw(undone.scan, "station", STAMP)
    records = outbox.recent_scans(9)
    assert open_to_objection(outbox, records) == frozenset()
    for record in records:
        assert not record_objection(outbox, lambda _: True, record.scan.scan, STAMP)
