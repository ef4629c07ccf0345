"""What a pack that is behind makes of cards: each photo with all of its card's set taken out."""

from collections import Counter
from collections.abc import Iterable
from itertools import groupby

from cardmint_contracts.reasons import Reason
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.recogniser import Recognisers
from cardmint_edge.scan import scan
from cardmint_lab.recognition.evaluate import Photo
from cardmint_lab.recognition.samples import ReducedGallery

OUTSIDE = "not in this catalogue"


def count_outcomes(pack: Pack, photos: Iterable[Photo]) -> Counter[str]:
    """Return how many labelled photos had each outcome: a decision, or `OUTSIDE`."""
    recognisers = Recognisers(pack)
    set_of = {
        one.card_id: card.set_id
        for one in pack.prints()
        if (card := pack.card(one.card_id)) is not None
    }
    known = [photo for photo in photos if photo.labelled and photo.card_id in set_of]
    outcomes: Counter[str] = Counter()
    by_set = sorted(known, key=lambda photo: set_of[photo.card_id])
    for set_id, own in groupby(by_set, key=lambda photo: set_of[photo.card_id]):
        gone = frozenset(card_id for card_id, of_set in set_of.items() if of_set == set_id)
        rows = {row for card_id in gone if (row := pack.row(card_id)) is not None}
        recogniser = recognisers.over(ReducedGallery(pack, rows), gone)
        for scanned in scan((photo.path for photo in own), recogniser):
            outside = Reason.NOT_IN_CATALOGUE in scanned.recognition.reasons
            outcomes[OUTSIDE if outside else scanned.recognition.decision.value] += 1
    return outcomes
