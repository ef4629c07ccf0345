"""Review tasks to test with."""

from datetime import timedelta
from uuid import UUID

from tests.edge.kit.scans import CARDS, NOW

from cardmint_contracts.cards import Candidate, Card
from cardmint_contracts.reasons import Reason
from cardmint_contracts.tasks import ReviewTask

ELSEWHERE = Card(id="set7-7", name="Card of another set")
CATALOGUE = {ELSEWHERE.id: ELSEWHERE}


def task_of(number: int, version: int = 1) -> ReviewTask:
    return ReviewTask(
        task=UUID(int=number),
        version=version,
        scan=UUID(int=1000 + number),
        opened=NOW + timedelta(seconds=number),
        reasons=(Reason.SMALL_MARGIN,),
        candidates=tuple(Candidate(card=card, confidence=0.3) for card in CARDS[:3]),
    )
