"""The finish and edition of a counted card: the catalogue's where it leaves one, else those set."""

from uuid import UUID

import pytest

from cardmint_contracts.cards import Card, Decision, Edition, Finish, ScanDefaults
from cardmint_contracts.catalogue import Variant
from cardmint_contracts.events import CardScanned, RecogniserIdentity
from cardmint_contracts.reasons import Reason
from cardmint_edge.domain.variants import with_variant

NORMAL, HOLO, REVERSE = Finish.NORMAL, Finish.HOLO, Finish.REVERSE_HOLO
FIRST, UNLIMITED = Edition.FIRST, Edition.UNLIMITED
PLAIN = (Variant(finish=NORMAL), Variant(finish=REVERSE))
GERMAN = (Variant(finish=NORMAL), Variant(finish=HOLO, languages=("de",)))
OLD = (
    Variant(finish=NORMAL, edition=UNLIMITED),
    Variant(finish=HOLO, edition=UNLIMITED),
    Variant(finish=HOLO, edition=FIRST),
)


def scan(**defaults: object) -> CardScanned:
    return CardScanned(
        scan=UUID(int=1),
        decision=Decision.ACCEPT,
        recogniser=RecogniserIdentity(method="test", pack="1"),
        card=Card(id="a-1", name="A"),
        defaults=ScanDefaults(**defaults),  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("variants", "defaults", "finish", "edition"),
    [
        ((), {"finish": HOLO}, HOLO, None),
        ((), {}, None, None),
        ((Variant(finish=HOLO),), {}, HOLO, None),
        ((Variant(finish=HOLO),), {"finish": REVERSE}, HOLO, None),
        (PLAIN, {}, None, None),
        (PLAIN, {"finish": REVERSE}, REVERSE, None),
        (PLAIN, {"finish": REVERSE, "edition": UNLIMITED}, REVERSE, UNLIMITED),
        (GERMAN, {"language": "fr"}, NORMAL, None),
        (GERMAN, {"language": "de", "finish": HOLO}, HOLO, None),
        (OLD, {"edition": FIRST}, HOLO, FIRST),
        (OLD, {"edition": UNLIMITED, "finish": NORMAL}, NORMAL, UNLIMITED),
        (OLD, {}, None, None),
        (OLD[2:], {}, HOLO, FIRST),
        ((*OLD[2:], Variant(finish=HOLO, stamps=("winner",))), {}, HOLO, FIRST),
    ],
    ids=str,
)
def test_what_a_card_is_counted_with(
    variants: tuple[Variant, ...],
    defaults: dict[str, object],
    finish: Finish | None,
    edition: Edition | None,
) -> None:
    counted = with_variant(scan(**defaults), variants)
    assert counted.decision is Decision.ACCEPT
    assert (counted.counted_finish, counted.counted_edition) == (finish, edition)


@pytest.mark.parametrize(
    ("variants", "defaults", "reasons"),
    [
        (PLAIN, {"finish": HOLO}, (Reason.OTHER_FINISH,)),
        (PLAIN, {"edition": FIRST}, (Reason.OTHER_EDITION,)),
        (PLAIN, {"edition": FIRST, "finish": HOLO}, (Reason.OTHER_EDITION, Reason.OTHER_FINISH)),
        (OLD, {"edition": UNLIMITED, "finish": REVERSE}, (Reason.OTHER_FINISH,)),
    ],
    ids=str,
)
def test_a_person_is_asked_about_what_the_printing_has_not(
    variants: tuple[Variant, ...], defaults: dict[str, object], reasons: tuple[Reason, ...]
) -> None:
    asked = with_variant(scan(**defaults), variants)
    assert (asked.decision, asked.card, asked.reasons) == (Decision.REVIEW, None, reasons)
    if Reason.OTHER_FINISH in reasons:
        assert asked.counted_finish is None
    if Reason.OTHER_EDITION in reasons:
        assert asked.counted_edition is None


def test_a_card_that_is_not_accepted_stays_as_it_is() -> None:
    rejected = CardScanned(
        scan=UUID(int=1),
        decision=Decision.REJECT,
        recogniser=RecogniserIdentity(method="test", pack="1"),
    )
    assert with_variant(rejected, PLAIN) is rejected
