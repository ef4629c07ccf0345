"""Access rights on the broker: which topics each kind of client may publish and read.

Every broker's access rules are written from here. What is not named is forbidden.
"""

from typing import NamedTuple

from cardmint_contracts import topics

_STATION_PUBLISHES: tuple[topics.Channel, ...] = (
    *("events", "state", "health"),
    *("commands/+/reply", "config/reported"),
)
_STATION_READS: tuple[topics.Channel, ...] = (
    *("receipt", "tasks/+", "outcomes/+"),
    *("commands/+", "config/desired"),
)


class Rights(NamedTuple):
    """The topic filters that a client may publish to, and those that it may read."""

    publish: tuple[str, ...]
    read: tuple[str, ...]


def user_name(tenant: str, client: str) -> str:
    """Return the user name of a tenant's client, a station or a reader: `tenant/client`.

    A certificate carries it as its common name, which has room for 64 characters.

    Raises:
        BadTopic: the tenant or the client has no valid name.
    """
    return f"{topics.name(tenant)}/{topics.name(client)}"


def station_rights(tenant: str, station: str) -> Rights:
    """Return a station's rights: its own topics, each in one direction, and its fleet's.

    It also reads its own state, to notice another box of its name.
    """
    return Rights(
        publish=tuple(
            topics.station_channel(tenant, station, channel) for channel in _STATION_PUBLISHES
        ),
        read=(
            *(topics.station_channel(tenant, station, channel) for channel in _STATION_READS),
            topics.station_channel(tenant, station, "state"),
            topics.fleet_filter(tenant),
        ),
    )


def cloud_rights() -> Rights:
    """Return the rights of the cloud's workers: they alone publish what stations read."""
    return Rights(
        publish=(
            *(topics.every_station(channel) for channel in _STATION_READS),
            topics.EVERY_FLEET,
            topics.EVERY_FEED,
        ),
        read=(topics.EVERYTHING,),
    )


def reader_rights(tenant: str, reader: str) -> Rights:
    """Return the rights of a program that reads a tenant's feed, and asks for events again."""
    return Rights(
        publish=(topics.replay_topic(tenant, reader),), read=(topics.feed_filter(tenant),)
    )
