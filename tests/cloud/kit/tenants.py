"""A tenant with every kind of event in its database, and what is counted there."""

from datetime import timedelta
from uuid import uuid4

from cardmint_cloud.adapters.postgres.connection import Pool, TenantDatabase
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.ingest.dead_letters import replay
from cardmint_cloud.reviews.answers import submit_answer
from cardmint_contracts.cards import Decision
from cardmint_contracts.events import CardScanned, ReviewAnswered
from tests.cloud.kit.cards import NOW, OWL, RECOGNISER, accepted, doubtful, send


async def counted_cards(pool: Pool) -> dict[str, int]:
    """Return the number of counted cards of the tenant `shop` for each card's id."""
    return {
        row["card_id"]: row["count"]
        for row in await TenantDatabase(pool, "shop").fetch(
            "SELECT * FROM holdings WHERE count > 0"
        )
    }


async def fill_tenant(pool: Pool) -> CardScanned:
    """Ingest scans of each decision, an answer and a replayed letter; return the answered scan."""
    asked, early = doubtful(), doubtful()
    await send(pool, accepted(), accepted(OWL), asked, doubtful())
    await send(
        pool,
        CardScanned(scan=uuid4(), decision=Decision.REJECT, recogniser=RECOGNISER, confidence=-0.0),
    )
    task = review_task_id(asked.scan)
    await submit_answer(
        pool,
        "shop",
        task,
        version=1,
        verdict="card",
        card=OWL,
        user="ann",
        now=NOW + timedelta(hours=1),
    )
    late = ReviewAnswered(
        task=review_task_id(early.scan),
        task_version=1,
        scan=early.scan,
        verdict="no_card",
        by="left",
    )
    await send(pool, late)
    await send(pool, early)
    letter = await TenantDatabase(pool, "shop").fetchval("SELECT id FROM dead_letters")
    await replay(pool, "shop", letter, NOW + timedelta(hours=2))
    return asked
