"""Changes that people make to items: previewed, made as one, and taken back as one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID, uuid4

from cardmint_cloud.adapters.postgres.connection import (
    Pool,
    PostgresConnection,
    reach_in_force,
    tenant_transaction,
)
from cardmint_cloud.adapters.postgres.ingest import changed_items, inventory
from cardmint_cloud.domain.item_changes import can_be_reversed, grouped, in_events, reversed_groups
from cardmint_cloud.domain.items import Item, ItemStatus
from cardmint_cloud.domain.reach import Reach
from cardmint_cloud.errors import Conflict, NotFound
from cardmint_cloud.reviews.answers import append_user_events, lock_user_stream
from cardmint_contracts.changes import ItemsGroup, ItemValues

MAX_CHANGED = 10_000
"""Items of one change at most."""

Pins = Mapping[UUID, int]
"""Items to change, each with the version in which the person saw it."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ChangeOutcome:
    """What a change did: its name, None where nothing had to change, and the number of items.

    `kept` are items of a change that was taken back which were changed again since: they keep what
    they have.
    """

    change: UUID | None
    items: int
    kept: int = 0


async def change_items(
    pool: Pool, tenant: str, pins: Pins, after: ItemValues, *, user: str, now: datetime
) -> ChangeOutcome:
    """Give items other values, all or none.

    Raises:
        NotFound: an item is not the tenant's.
        Conflict: an item has another version, or an uncounted one would get a printing, or there
            are too many or none; the message says which. Nothing was changed.
    """
    if not pins or not after.fields:
        raise Conflict("nothing is chosen: choose cards, and what to set or clear")
    if len(pins) > MAX_CHANGED:
        raise Conflict(f"{len(pins):,} cards are too many for one change: at most {MAX_CHANGED:,}")
    reach = reach_in_force()
    if reach is not None and not reach.keeps(after):
        raise Conflict(f"you may use these lots only: {', '.join(sorted(reach.lots))}")
    async with tenant_transaction(pool, tenant) as connection:
        sequence = await lock_user_stream(connection, tenant, user, now)
        items = await _locked_items(connection, tenant, list(pins))
        stale = [one for one in items if one.version != pins[one.item]]
        if stale:
            raise Conflict(f"changed meanwhile: {_named(stale)}; look again, nothing was changed")
        if after.card and (asked := [i for i in items if i.status is not ItemStatus.COUNTED]):
            raise Conflict(
                f"not counted, so no other printing can be given: {_named(asked)};"
                " answer the question about it"
            )
        cards = await changed_items.printings_of(
            connection, tenant, {one.card_id for one in items if after.card}
        )
        groups = grouped(items, after, cards)
        return await _append(connection, tenant, groups, user=user, now=now, sequence=sequence)


async def undo_change(
    pool: Pool, tenant: str, change: UUID, *, user: str, now: datetime
) -> ChangeOutcome:
    """Take a change back, as another change: each item that has its values still gets those before.

    Added cards are removed, unless they are sold or reserved since. A large change is taken
    back in several transactions, which bounds memory and how long stations wait.

    Raises:
        NotFound: the log has no such change of the tenant.
        Conflict: every item was changed again since, or is asked about.
    """
    undoing, position, taken, kept = uuid4(), 0, 0, 0
    if (reach := reach_in_force()) is not None:
        await _check_within(pool, tenant, change, reach)
    while True:
        async with tenant_transaction(pool, tenant) as connection:
            sequence = await lock_user_stream(connection, tenant, user, now)
            groups, last = await changed_items.groups_of_change(
                connection, tenant, change, position
            )
            wanted = [one for group in groups for one in group.items]
            items = {one.item: one for one in await _locked_items(connection, tenant, wanted)}
            unchanged = {
                one for group in groups for one in group.items if can_be_reversed(items[one], group)
            }
            outcome = await _append(
                connection,
                tenant,
                reversed_groups(groups, unchanged),
                change=undoing,
                user=user,
                now=now,
                sequence=sequence,
                undoes=change,
            )
        if not last:
            break
        position = last
        taken, kept = taken + outcome.items, kept + len(wanted) - len(unchanged)
    if not position:
        raise NotFound(_no_change(change))
    if not taken:
        raise Conflict(
            "all of these cards were changed again since, or are asked about: nothing was taken"
            " back"
        )
    return ChangeOutcome(change=undoing, items=taken, kept=kept)


async def _check_within(pool: Pool, tenant: str, change: UUID, reach: Reach) -> None:
    """Raise NotFound for a change of cards beyond a reach, Conflict where it would lead there."""
    position = 0
    async with tenant_transaction(pool, tenant) as connection:
        while True:
            groups, last = await changed_items.groups_of_change(
                connection, tenant, change, position
            )
            if not last:
                return
            position = last
            try:
                await _locked_items(connection, tenant, [i for one in groups for i in one.items])
            except NotFound:
                raise NotFound(_no_change(change)) from None
            if not all(reach.keeps(group.before) for group in groups):
                raise Conflict("these cards would leave the lots that you may change")


def _no_change(change: UUID) -> str:
    return f"there is no change {change} in the log"


async def _append(
    connection: PostgresConnection,
    tenant: str,
    groups: Sequence[ItemsGroup],
    *,
    user: str,
    now: datetime,
    sequence: int,
    change: UUID | None = None,
    undoes: UUID | None = None,
) -> ChangeOutcome:
    if not groups:
        return ChangeOutcome(change=None, items=0)
    change = change or uuid4()
    events = in_events(change, user, groups, undoes)
    await append_user_events(connection, tenant, user, events, now=now, sequence=sequence)
    return ChangeOutcome(change=change, items=sum(len(group.items) for group in groups))


async def _locked_items(
    connection: PostgresConnection, tenant: str, wanted: Sequence[UUID]
) -> list[Item]:
    found, _ = await inventory.load_touched(connection, [(tenant, one) for one in wanted], [])
    for one in wanted:
        if (tenant, one) not in found:
            raise NotFound(f"there is no card {one}")
    return [found[tenant, one] for one in wanted]


def _named(items: Sequence[Item]) -> str:
    """Return the first items by name, and how many more there are."""
    names = ", ".join(f"{one.card_id or 'a card'} ({str(one.item)[:8]})" for one in items[:5])
    return names + (f" and {len(items) - 5:,} more" if len(items) > 5 else "")
