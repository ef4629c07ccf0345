"""Two tenants with rows of the same shape in every table, and identifiers of each."""

import hashlib
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from uuid import UUID, uuid4, uuid5

from cardmint_cloud.accounts import digest_of
from cardmint_cloud.adapters.postgres import factors as factor_rows
from cardmint_cloud.adapters.postgres import feed, identities, markets
from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    TenantDatabase,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.fleet import desired, stations
from cardmint_cloud.adapters.postgres.ingest.event_log import DeadLetter
from cardmint_cloud.adapters.postgres.row_security import TENANT_TABLES
from cardmint_cloud.domain.items import review_task_id
from cardmint_cloud.domain.market_stock import Listing, Offer, Sort
from cardmint_cloud.domain.permissions import Role, Scope
from cardmint_cloud.fleet import artifact_file
from cardmint_cloud.ingest.commit import commit
from cardmint_cloud.item_changes import change_items
from cardmint_cloud.pricing.price import price_card
from cardmint_cloud.reviews.answers import lease_question, submit_answer
from cardmint_cloud.reviews.opening import open_for_new_cards
from cardmint_cloud.saved_views import save_view
from cardmint_cloud.station_codes import StationCodes
from cardmint_cloud.view_links import ViewLinks
from cardmint_cloud.web.item_forms import packed
from cardmint_contracts.cards import Card, Decision, Image, Money, ScanDefaults
from cardmint_contracts.changes import ItemValues
from cardmint_contracts.control import Manifest
from cardmint_contracts.events import CardScanned
from cardmint_contracts.stations import StationState
from tests.cloud.kit.accounts import PASSWORD, accounts_of, enrol, webhooks_of
from tests.cloud.kit.cards import NOW, RECOGNISER, accepted, send
from tests.cloud.kit.images import picture
from tests.cloud.kit.prices import QuoteSourceStub, quote
from tests.cloud.kit.reviews import NO_RULES

OWN, THEIRS = "shop", "rival"
OTHER_HALL = "hall"
"""The mark of rows of the own tenant that are from another station and lot."""

BOOT = UUID(int=7)
NUMBERED = ("dead_letters", "held_quotes", "procrastinate_jobs")
"""Tables whose rows have numbers: long ones, which stand for nothing else in a page."""


@dataclass(frozen=True, kw_only=True, slots=True)
class TenantIds:
    """What of a tenant can stand in an address, a form or a job."""

    tenant: str
    item: str
    version: str
    pins: str
    change: str
    task: str
    card_id: str
    set_id: str
    lot: str
    letter: str
    job: str
    number: str
    account: str
    person: str
    token: str
    token_secret: str
    session: str
    session_secret: str
    secret: str
    recovery: str
    digest: str
    view: str
    link: str
    kept: str
    factor: str
    sha256: str
    lease: str
    station: str
    station_code: str
    webhook: str
    market_file: str


def unknown_ids(like: TenantIds) -> TenantIds:
    """Return identifiers of the same form that nobody has."""
    item = uuid4()
    return TenantIds(
        tenant="nobody",
        item=str(item),
        version=like.version,
        pins=packed({item: int(like.version)}),
        change=str(uuid4()),
        task=str(uuid4()),
        card_id="none1-7",
        set_id="none1",
        lot="none-lot",
        letter="987654321",
        job="987654322",
        number="987654323",
        account=str(uuid4()),
        person="none-keeper",
        token="plain-program",
        token_secret="cm_" + "n" * (len(like.token_secret) - 3),
        session="ab" * 32,
        session_secret="n" * len(like.session_secret),
        secret="n" * len(like.secret),
        recovery="m" * len(like.recovery),
        digest="cd" * 32,
        view="v" * len(like.view),
        link=str(uuid4()),
        kept="kept by none",
        factor=str(uuid4()),
        sha256="ab" * 32,
        lease=str(uuid4()),
        station="none-side",
        station_code="AAAA-BBBB-CCCC-DDDD",
        webhook=str(uuid4()),
        market_file=str(uuid4()),
    )


async def fill_every_table(
    pool: Pool, owner: Pool, tenant: str, folder: Path, *, mark: str | None = None
) -> TenantIds:
    """Give a tenant at least one row in every table, by the service as far as it can.

    All names in the rows have the `mark`, which is usually the tenant.
    """
    mark = mark or tenant
    for number, table in enumerate(NUMBERED, start=1):
        start = {OWN: 5, OTHER_HALL: 6, THEIRS: 7}[mark] * 1_000_000 + number * 100_000
        await owner.execute(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), {start})")
    set_id = f"{mark}1"
    card = Card(id=f"{set_id}-7", name=f"Heron of {mark}", number="007", set_id=set_id)
    place = ScanDefaults(lot=f"{mark}-lot", bin=f"{mark}-bin")
    station = f"{mark}-side"
    content = picture() + mark.encode()
    sha256 = hashlib.sha256(content).hexdigest()
    for file in (
        folder / "images" / tenant / sha256[:2] / sha256,
        artifact_file(folder / "artifacts", tenant, sha256),
    ):
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    seen = Image(sha256=sha256, width=63, height=88, bytes=len(content))
    async with tenant_transaction(pool, tenant) as connection:
        await feed.open_feed(connection, tenant, NOW)
    first = accepted(card, defaults=place, image=seen)
    doubts = [
        CardScanned(
            scan=uuid4(),
            decision=Decision.REVIEW,
            recogniser=RECOGNISER,
            defaults=place,
            candidates=(),
        )
        for _ in range(2)
    ]
    stream = uuid5(BOOT, mark)
    await send(pool, first, *doubts, tenant=tenant, station=station, stream=stream)
    letter = DeadLetter(
        tenant=tenant,
        station=station,
        topic=f"cardmint/v1/{tenant}/{station}/events",
        reason="malformed",
        detail=f"of {mark}",
        content_type="text/plain",
        payload=f"payload of {mark}".encode(),
    )
    state = StationState(
        online=True, epoch=1, bootid=BOOT, stream=stream, time="2026-11-22T12:00:00Z", version="1"
    )
    signed = Manifest(
        artifact="catalogue",
        version=f"of-{mark}",
        url="http://127.0.0.1/x",
        bytes=1,
        sha256=sha256,
        signature="A" * 86 + "==",
    )
    async with tenant_transaction(pool, tenant) as connection:
        await commit(connection, [letter], NOW)
        await stations.put_state(connection, tenant, station, state, NOW)
        await desired.put_artifact(connection, tenant, signed, NOW)
        await desired.configure_station(connection, tenant, station, {"reserve_mb": 7}, NOW)
        await connection.execute(
            "INSERT INTO moved_events VALUES ($1, $2, 1, $3)", tenant, stream, b"moved"
        )
    for minor, days in ((500, 2), (50_000, 1)):
        source = QuoteSourceStub(answers={card.id: [quote(minor), quote(900, "holo")]})
        await price_card(pool, [source], tenant, card.id, NOW - timedelta(days=days))
    task, answered = (review_task_id(scan.scan) for scan in doubts)
    lease = await lease_question(pool, tenant, task, user=f"{mark}-hand", now=NOW)
    await submit_answer(
        pool,
        tenant,
        answered,
        version=1,
        verdict="no_card",
        card=None,
        user=f"{mark}-hand",
        now=NOW,
    )
    await open_for_new_cards(pool, NO_RULES, NOW)
    hand = f"{mark}-hand"
    pins = {first.scan: 1}
    note = ItemValues(note=f"note of {mark}")
    changed = await change_items(pool, tenant, pins, note, user=hand, now=NOW)
    accounts, person = accounts_of(pool, tenant), f"{mark}-keeper"
    link = await accounts.invite(Role.ADMIN, NOW)
    session = await accounts.join(
        await accounts.invite(Role.ADMIN, NOW), person, PASSWORD, address="", agent="", now=NOW
    )
    await enrol(accounts, session, NOW)
    owner_of = await accounts.account_named(person)
    recovery = await accounts.recovery_link(owner_of, NOW, drops_factors=True)
    view = await ViewLinks(accounts).make(
        f"view of {mark}",
        f"lot:{place.lot}",
        30,
        by=owner_of,
        now=NOW - timedelta(minutes=1),  # Before those that the walk makes.
    )
    codes = StationCodes(accounts, None, 0)
    code = await codes.make(f"{mark}-new", by=owner_of, now=NOW)
    token = await accounts.add_token(f"{mark}-program", Scope.READ, NOW)
    job = await owner.fetchval(
        "INSERT INTO procrastinate_jobs (queue_name, task_name, args, status) VALUES"
        " ('prices', 'price', jsonb_build_object('tenant', $1::text, 'card_id', $2::text),"
        " 'failed') RETURNING id",
        tenant,
        card.id,
    )

    own = TenantDatabase(pool, tenant)
    await save_view(own, tenant, f"kept by {mark}", f"lot:{place.lot}", now=NOW)
    market_file = await _on_sale(own, tenant, mark, card, first.scan)
    # A name for 192.0.2.7, an address of documentation: nothing is ever sent there.
    webhooks, target = webhooks_of(accounts), f"https://3221225991/of-{mark}"
    webhook, _ = await webhooks.make(target, (), by=owner_of, now=NOW)
    await webhooks.test(webhook, NOW)
    await identities.add(own, tenant, digest_of(mark), owner_of, NOW)

    async with own.transaction() as connection:
        await factor_rows.add_passkey_challenge(
            connection, tenant, digest_of(mark), now=NOW, expires_at=NOW + timedelta(days=1)
        )

    async def found(what: str, table: str) -> str:
        return str(await owner.fetchval(f"SELECT {what} FROM {table} tenant = $1 LIMIT 1", tenant))

    version = await found("version", "items WHERE note <> '' AND")
    return TenantIds(
        tenant=tenant,
        item=str(first.scan),
        version=version,
        pins=packed({first.scan: int(version)}),
        change=str(changed.change),
        task=str(task),
        card_id=card.id,
        set_id=set_id,
        lot=place.lot,
        letter=await found("id", "dead_letters WHERE"),
        job=str(job),
        number=await found("id", "held_quotes WHERE"),
        account=await found("account", "accounts WHERE"),
        person=person,
        token=f"{mark}-program",
        token_secret=token,
        session=digest_of(session).hex(),
        session_secret=session,
        secret=link,
        recovery=recovery,
        digest=digest_of(link).hex(),
        view=view,
        link=await found("link", "view_links WHERE"),
        kept=f"kept by {mark}",
        factor=await found("factor", "account_factors WHERE"),
        sha256=sha256,
        lease=str(lease),
        station=station,
        station_code=code,
        webhook=str(webhook),
        market_file=str(market_file),
    )


async def _on_sale(own: TenantDatabase, tenant: str, mark: str, card: Card, item: UUID) -> UUID:
    """Put a card on sale, and sell it; return the name of the file that says so."""
    sku, file = f"sku of {mark}", uuid4()
    listing = Listing(sku=sku, sort=Sort(card.id, "en", "normal", "", "near_mint"), listed=0)
    cells = {"product_name": card.name}
    told = [Offer(sku=sku, listed=0, delta=1, price=Money(minor=5, currency="USD"))]
    sold = (f"order of {mark}", sku)
    async with own.transaction() as connection:
        await markets.learn(
            connection, tenant, "tcgplayer", [(listing, cells)], currency="USD", now=NOW
        )
        await markets.make_file(connection, tenant, "tcgplayer", file, told, now=NOW)
        await markets.add_sale(
            connection, tenant, "tcgplayer", sold, change=uuid4(), items=[item], now=NOW
        )
    return file


async def digest_of_rows(owner: Pool, tenant: str) -> dict[str, str]:
    """Return a hash of a tenant's rows of each table; every table must have some."""
    digests: dict[str, str] = {}
    for table in TENANT_TABLES:
        row = await owner.fetchrow(
            f"SELECT count(*) AS rows, md5(string_agg(t::text, ';' ORDER BY t::text)) AS md5"
            f" FROM {table} t WHERE tenant = $1",
            tenant,
        )
        assert row is not None
        assert row["rows"], f"{tenant} has no row in {table}"
        digests[table] = row["md5"]
    jobs = "SELECT md5(string_agg(j::text, ';' ORDER BY id)) FROM procrastinate_jobs j"
    digests["jobs"] = await owner.fetchval(f"{jobs} WHERE args ->> 'tenant' = $1", tenant)
    return digests
