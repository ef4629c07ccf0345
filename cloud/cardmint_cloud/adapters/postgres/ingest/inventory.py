"""The tables that are folded from the log: items, reviews, holdings and printings."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import msgspec

from cardmint_cloud.adapters.postgres import copy_encoding
from cardmint_cloud.adapters.postgres.columns import ITEM_EDITS, ITEMS, printing_of
from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.domain.catalogue_words import card_text
from cardmint_cloud.domain.items import (
    Holding,
    InventoryChanges,
    Item,
    ItemKey,
    ItemStatus,
    PriorState,
    Review,
    ReviewKey,
)
from cardmint_contracts.cards import Candidate, Card, Image
from cardmint_contracts.events import Question

PrintingKey = tuple[str, str]

_ITEMS = """
SELECT * FROM items WHERE (tenant, item) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
 ORDER BY tenant, item FOR UPDATE"""
_REVIEWS = """
SELECT * FROM reviews WHERE (tenant, task) IN (SELECT * FROM unnest($1::text[], $2::uuid[]))
 ORDER BY tenant, task FOR UPDATE"""
_CHANGE_ITEMS = ITEM_EDITS.update_from_arrays(
    "changes", "ARRAY(SELECT jsonb_array_elements_text({})::uuid)", "jsonb"
)
_NEW_REVIEWS = """
INSERT INTO reviews (tenant, task, item, station, version, state, candidates, image, opened_at,
       closed_at, verdict, card, answered_by, place, escalated, counted, recogniser, question,
       prior, reasons)
SELECT t.tenant, t.task, t.item, t.station, t.version, t.state, t.candidates, t.image, t.opened_at,
       t.closed_at, t.verdict, t.card, t.answered_by, t.place, t.escalated, t.counted,
       t.recogniser, t.question, t.prior,
       ARRAY(SELECT jsonb_array_elements_text(t.reasons))
  FROM unnest($1::text[], $2::uuid[], $3::uuid[], $4::text[], $5::int[], $6::text[], $7::jsonb[],
         $8::jsonb[], $9::timestamptz[], $10::timestamptz[], $11::text[], $12::jsonb[],
         $13::text[], $14::text[], $15::boolean[], $16::jsonb[], $17::text[], $18::text[],
         $19::jsonb[], $20::jsonb[])
    AS t (tenant, task, item, station, version, state, candidates, image, opened_at, closed_at,
           verdict, card, answered_by, place, escalated, counted, recogniser, question, prior,
           reasons)"""
_CHANGE_REVIEWS = """
UPDATE reviews r
   SET version = n.version, state = n.state, closed_at = n.closed_at, verdict = n.verdict,
          card = n.card, answered_by = n.answered_by, place = n.place, escalated = n.escalated,
          prior = n.prior, candidates = n.candidates, image = n.image,
          reasons = ARRAY(SELECT jsonb_array_elements_text(n.reasons))
  FROM unnest($1::text[], $2::uuid[], $3::int[], $4::text[], $5::timestamptz[], $6::text[],
         $7::jsonb[], $8::text[], $9::text[], $10::boolean[], $11::jsonb[], $12::jsonb[],
         $13::jsonb[], $14::jsonb[])
    AS n (tenant, task, version, state, closed_at, verdict, card, answered_by, place, escalated,
           prior, candidates, image, reasons)
 WHERE r.tenant = n.tenant AND r.task = n.task"""
_ADD_HOLDINGS = """
INSERT INTO holdings AS h (tenant, language, finish, edition, condition, card_id, count)
SELECT ($1::text[])[n.k], ($2::text[])[n.k], ($3::text[])[n.k], ($4::text[])[n.k],
       ($5::text[])[n.k], card_id, delta
  FROM unnest($6::int[], $7::text[], $8::bigint[]) AS n (k, card_id, delta)
ON CONFLICT (tenant, card_id, language, finish, edition, condition) DO UPDATE
       SET count = h.count + excluded.count"""
"""Adds to holdings. Values that many rows share come once; each row refers to them by number."""

_PUT_PRINTINGS = """
WITH named AS (
    INSERT INTO printings (tenant, card_id, name, number, set_id, set_name, words)
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[],
           $7::text[])
    ON CONFLICT DO NOTHING RETURNING tenant, card_id)
INSERT INTO price_checks (tenant, card_id, due_at) SELECT tenant, card_id, $8 FROM named
       ON CONFLICT DO NOTHING"""

_NAMED_PRINTINGS = """
SELECT card_id, name, number, set_id, set_name FROM printings
 WHERE tenant = $1 AND card_id = ANY($2::text[])"""


async def named_printings(
    connection: PostgresConnection, tenant: str, card_ids: Sequence[str]
) -> dict[PrintingKey, Card]:
    """Return those printings, as stations have named them."""
    rows = await connection.fetch(_NAMED_PRINTINGS, tenant, card_ids) if card_ids else []
    return {(tenant, row["card_id"]): printing_of(row) for row in rows}


async def load_touched(
    connection: PostgresConnection, item_keys: Iterable[ItemKey], review_keys: Iterable[ReviewKey]
) -> tuple[dict[ItemKey, Item], dict[ReviewKey, Review]]:
    """Read and lock the items and reviews with the given keys, as far as they exist."""
    reviews: dict[ReviewKey, Review] = {}
    if keys := set(review_keys):
        found = await connection.fetch(_REVIEWS, *_columns(keys))
        reviews = {(row["tenant"], row["task"]): review_from_row(row) for row in found}
    wanted = {*item_keys, *((tenant, review.item) for (tenant, _), review in reviews.items())}
    found = await connection.fetch(_ITEMS, *_columns(wanted)) if wanted else []
    return {(row["tenant"], row["item"]): _item(row) for row in found}, reviews


async def put_changes(
    connection: PostgresConnection,
    items: Mapping[ItemKey, Item],
    reviews: Mapping[ReviewKey, Review],
    changes: InventoryChanges,
    now: datetime,
    *,
    known: Collection[PrintingKey] = (),
) -> None:
    """Write the changes of a fold over `items` and `reviews`, except for the holdings.

    `load_touched` must have locked them. Printings are written in the order of their keys, so that
    two writers cannot deadlock; `known` ones exist already and are not written.

    Raises:
        asyncpg.UniqueViolationError: another transaction has just created one of the new items.
    """
    if made := [item for key, item in changes.items.items() if key not in items]:
        # Not to `items`: COPY does not write to a table with a policy (`row_security.COPIED`).
        await copy_encoding.copy_rows(
            connection, "items_rows", ITEMS.copy_names, ITEMS.encode(made)
        )
    # What only a person sets is not among the columns of a new item: a rebuild adds it afterwards.
    if moved := [item for key, item in changes.items.items() if key in items or item.changes]:
        lists = [_json(item.changes) for item in moved]
        await connection.execute(_CHANGE_ITEMS, *ITEM_EDITS.arrays(moved), lists)
    if asked := [
        _review_row(review) for key, review in changes.reviews.items() if key not in reviews
    ]:
        await connection.execute(_NEW_REVIEWS, *_columns(asked))
    if answered := [
        _review_change(review) for key, review in changes.reviews.items() if key in reviews
    ]:
        await connection.execute(_CHANGE_REVIEWS, *_columns(answered))
    named = [
        (
            *key,
            *(printed := (card.name, card.number, card.set_id, card.set_name)),
            card_text(key[1], *printed),
        )
        for key in sorted(key for key in changes.printings if key not in known)
        for card in [changes.printings[key]]
    ]
    if named:
        await connection.execute(_PUT_PRINTINGS, *_columns(named), now)


async def add_holdings(connection: PostgresConnection, changes: InventoryChanges) -> None:
    """Add the changes of a fold to the holdings.

    It comes last before the commit, because nearly all writers wait for each other there.
    """
    if changes.holdings:
        await connection.execute(_ADD_HOLDINGS, *_holding_columns(changes.holdings))


def _holding_columns(holdings: Mapping[Holding, int]) -> list[Any]:
    counted = sorted(holdings.items())
    kinds: dict[tuple[str, ...], int] = {}
    numbers = [
        kinds.setdefault((h.tenant, h.language, h.finish, h.edition, h.condition), len(kinds) + 1)
        for h, _ in counted
    ]
    return [
        *_columns(kinds),
        numbers,
        [h.card_id for h, _ in counted],
        [delta for _, delta in counted],
    ]


def _columns(rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)]


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _review_change(review: Review) -> tuple[Any, ...]:
    return (
        *(
            review.tenant,
            review.task,
            review.version,
            "open" if review.open else "answered",
            review.closed_at,
        ),
        *(review.verdict, _json(review.card) if review.card else None, review.answered_by),
        *(review.place, review.escalated, _json(review.prior) if review.prior else None),
        *(
            _json(review.candidates),
            _json(review.image) if review.image else None,
            _json(review.reasons),
        ),
    )


def _review_row(review: Review) -> tuple[Any, ...]:
    return (
        *(review.tenant, review.task, review.item, review.station, review.version),
        "open" if review.open else "answered",
        _json(review.candidates),
        _json(review.image) if review.image else None,
        *(review.opened_at, review.closed_at, review.verdict),
        _json(review.card) if review.card else None,
        *(
            review.answered_by,
            review.place,
            review.escalated,
            _json(review.counted) if review.counted else None,
        ),
        *(
            review.recogniser,
            review.question,
            _json(review.prior) if review.prior else None,
            _json(review.reasons),
        ),
    )


def _item(row: Any) -> Item:
    values = {name: row[name] for name in (*ITEMS.names, *ITEM_EDITS.values)}
    values |= {"status": ItemStatus(row["status"]), "changes": tuple(row["changes"])}
    return Item(**values)


def review_from_row(row: Any) -> Review:
    """Return a row of `reviews` as a value."""
    return Review(
        open=row["state"] == "open",
        reasons=tuple(row["reasons"]),
        question=Question(row["question"]),
        candidates=_candidates(row["candidates"]),
        image=msgspec.json.decode(row["image"], type=Image) if row["image"] else None,
        card=msgspec.json.decode(row["card"], type=Card) if row["card"] else None,
        counted=msgspec.json.decode(row["counted"], type=Card) if row["counted"] else None,
        prior=msgspec.json.decode(row["prior"], type=PriorState) if row["prior"] else None,
        **{name: row[name] for name in _PLAIN_REVIEW},
    )


def _candidates(text: str) -> tuple[Candidate, ...]:
    return msgspec.json.decode(text, type=tuple[Candidate, ...])


_PLAIN_REVIEW = (
    *(
        "tenant",
        "task",
        "item",
        "station",
        "version",
        "opened_at",
        "closed_at",
        "verdict",
        "answered_by",
    ),
    *("place", "escalated", "recogniser"),
)
