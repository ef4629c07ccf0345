"""Which finish and edition a counted card has: the only one of its printing, or the one set."""

from collections.abc import Sequence

from msgspec.structs import replace

from cardmint_contracts.cards import Decision, Edition, ScanDefaults
from cardmint_contracts.catalogue import Variant, editions_of, finishes_of
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason


def with_variant(event: CardScanned, variants: Sequence[Variant]) -> CardScanned:
    """Return the event of an accepted card with its finish and edition, by the card's variants.

    A printing with one finish has it, whatever is set. With several, the set one is taken; when it
    is none of them, a person is asked. The same holds for editions, but that a printing without a
    first edition cannot be of the first. Without known variants nothing changes.
    """
    if not variants or event.decision is not Decision.ACCEPT:
        return event
    defaults = event.defaults
    editions = editions_of(variants)
    edition = editions[0] if len(editions) == 1 else None
    doubts = []
    if _is_other_edition(defaults, editions):
        doubts.append(Reason.OTHER_EDITION)
    known = edition or (defaults.edition if defaults.edition in editions else None)
    finishes = finishes_of(variants, language=event.counted_language, edition=known)
    finish = finishes[0] if len(finishes) == 1 else None
    if len(finishes) > 1 and defaults.finish is not None and defaults.finish not in finishes:
        doubts.append(Reason.OTHER_FINISH)
    event = replace(event, finish=finish, edition=edition)
    if not doubts:
        return event
    return replace(event, decision=Decision.REVIEW, card=None, reasons=tuple(doubts))


def _is_other_edition(defaults: ScanDefaults, editions: Sequence[Edition]) -> bool:
    if not editions:
        return defaults.edition is Edition.FIRST
    return len(editions) > 1 and defaults.edition not in {None, *editions}
