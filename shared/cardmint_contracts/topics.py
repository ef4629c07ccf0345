"""The topics: built and parsed here and nowhere else."""

import re
from typing import Literal, NamedTuple, TypeAlias
from uuid import UUID

from cardmint_contracts.control import Artifact
from cardmint_contracts.errors import BadTopic

ROOT = "cardmint/v1"
EVERY_TASK = f"{ROOT}/+/+/tasks/+"
"""The filter for the tasks of every station of every tenant."""

Kind: TypeAlias = Literal[
    "events",
    "receipt",
    "state",
    "health",
    "tasks",
    "outcomes",
    "commands",
    "commands/reply",
    "config/desired",
    "config/reported",
    "fleet/catalogue",
    "fleet/models",
    "fleet/sets",
]

Channel: TypeAlias = Literal[
    "events",
    "receipt",
    "state",
    "health",
    "tasks/+",
    "outcomes/+",
    "commands/+",
    "commands/+/reply",
    "config/desired",
    "config/reported",
]
"""What a station's topics end in, with `+` for a task or command."""

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}\Z")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\Z")
_FLEET: tuple[Kind, ...] = ("fleet/catalogue", "fleet/models", "fleet/sets")
_SIDES: tuple[Kind, ...] = ("config/desired", "config/reported")
_KINDS: tuple[Kind, ...] = ("events", "receipt", "state", "health")


class StationTopic(NamedTuple):
    """Where a message came from, or goes to.

    `task` is what the topic names: a task for the kinds `tasks` and `outcomes`, a command for
    `commands` and `commands/reply`, and for no other kind. `station` is empty for what the whole
    fleet is told.
    """

    tenant: str
    station: str
    kind: Kind
    task: UUID | None = None


def name(text: str) -> str:
    """Return a tenant's or station's name unchanged.

    Lower-case letters, digits and hyphens, 63 at most.

    Raises:
        BadTopic: anything else, and `fleet` and `feed`, which have topics of their own.
    """
    if not _NAME.match(text) or text in {"fleet", "feed"}:
        message = (
            f"{text!r} is no name for a tenant or station:"
            " use lower-case letters, digits and hyphens, 63 at most"
        )
        raise BadTopic(message)
    return text


def station_topic(
    tenant: str, station: str, kind: Literal["events", "receipt", "state", "health"]
) -> str:
    """Return the topic of one of a station's four channels."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/{kind}"


def task_topic(tenant: str, station: str, task: UUID) -> str:
    """Return the topic on which a task lies retained while it is open."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/tasks/{task}"


def outcome_topic(tenant: str, station: str, task: UUID) -> str:
    """Return the topic on which a station is told how a task ended."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/outcomes/{task}"


def station_outcomes(tenant: str, station: str) -> str:
    """Return the filter for the ends of a station's tasks."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/outcomes/+"


def station_tasks(tenant: str, station: str) -> str:
    """Return the filter for all tasks of a station."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/tasks/+"


def command_topic(tenant: str, station: str, command: UUID) -> str:
    """Return the topic of a command."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/commands/{command}"


def reply_topic(tenant: str, station: str, command: UUID) -> str:
    """Return the topic of a command's reply, where the command names none."""
    return f"{command_topic(tenant, station, command)}/reply"


def station_commands(tenant: str, station: str) -> str:
    """Return the filter for all commands to a station."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/commands/+"


def config_topic(tenant: str, station: str, side: Literal["desired", "reported"]) -> str:
    """Return the topic of a station's settings, as they are wanted or as they are."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/config/{side}"


def fleet_topic(tenant: str, artifact: Artifact) -> str:
    """Return the topic on which the manifest of what every station is to use lies retained."""
    return f"{ROOT}/{name(tenant)}/fleet/{artifact}"


def fleet_sets_topic(tenant: str) -> str:
    """Return the topic on which the sets that came out last lie retained."""
    return f"{ROOT}/{name(tenant)}/fleet/sets"


def station_channel(tenant: str, station: str, channel: Channel) -> str:
    """Return the filter for one channel of a station."""
    return f"{ROOT}/{name(tenant)}/{name(station)}/{channel}"


def every_station(channel: Channel) -> str:
    """Return the filter for one channel of every station of every tenant."""
    return f"{ROOT}/+/+/{channel}"


def fleet_filter(tenant: str) -> str:
    """Return the filter for what every station of a tenant is told."""
    return f"{ROOT}/{name(tenant)}/fleet/+"


def feed_filter(tenant: str) -> str:
    """Return the filter for all of a tenant's feed, for programs that only read."""
    return f"{ROOT}/{name(tenant)}/feed/#"


def feed_topic(tenant: str, steps: str) -> str:
    """Return a topic of a tenant's feed: `steps` are those of a kind (`feed.FEED_TYPES`)."""
    return f"{ROOT}/{name(tenant)}/feed/{steps}"


def feed_station_topic(tenant: str, station: str) -> str:
    """Return the topic on which the feed keeps retained whether a station is connected."""
    return feed_topic(tenant, f"now/stations/{name(station)}")


def feed_counters_topic(tenant: str) -> str:
    """Return the topic on which the feed keeps a tenant's counts retained."""
    return feed_topic(tenant, "now/counters")


def replay_topic(tenant: str, reader: str) -> str:
    """Return the topic on which a reader asks for events of the feed again."""
    return feed_topic(tenant, f"replay/{name(reader)}")


def replay_answer_topic(tenant: str, reader: str) -> str:
    """Return the topic on which a reader gets the events that it asked for."""
    return f"{replay_topic(tenant, reader)}/answer"


EVERY_FLEET = f"{ROOT}/+/fleet/+"
EVERY_FEED = f"{ROOT}/+/feed/#"
EVERY_REPLAY = f"{ROOT}/+/feed/replay/+"
"""The filter for the requests of all readers."""

EVERYTHING = f"{ROOT}/#"


def parse(topic: str) -> StationTopic:
    """Take a station's topic apart.

    Raises:
        BadTopic: the topic is not one of a station's.
    """
    parts = topic.split("/")
    if len(parts) == 5 and "/".join(parts[:2]) == ROOT and parts[3] == "fleet":
        for fleet_kind in _FLEET:
            if fleet_kind == f"fleet/{parts[4]}":
                return StationTopic(name(parts[2]), "", fleet_kind)
    elif len(parts) >= 5 and "/".join(parts[:2]) == ROOT:
        tenant, station, kind = name(parts[2]), name(parts[3]), parts[4]
        if (
            kind == "commands"
            and len(parts) in {6, 7}
            and _UUID.match(parts[5])
            and parts[6:] in ([], ["reply"])
        ):
            whole: Kind = "commands/reply" if parts[6:] else "commands"
            return StationTopic(tenant, station, whole, UUID(parts[5]))
        for side in _SIDES:
            if side == "/".join(parts[4:]):
                return StationTopic(tenant, station, side)
        if kind in {"tasks", "outcomes"} and len(parts) == 6 and _UUID.match(parts[5]):
            return StationTopic(
                tenant, station, "tasks" if kind == "tasks" else "outcomes", UUID(parts[5])
            )
        for known in _KINDS:
            if kind == known and len(parts) == 5:
                return StationTopic(tenant, station, known)
    message = f"{topic!r} is no topic of a station under {ROOT}/"
    raise BadTopic(message)


def parse_replay(topic: str) -> tuple[str, str] | None:
    """Return tenant and reader of a replay request's topic; None for any other topic."""
    parts = topic.split("/")
    if len(parts) != 6 or "/".join((*parts[:2], *parts[3:5])) != f"{ROOT}/feed/replay":
        return None
    try:
        return name(parts[2]), name(parts[5])
    except BadTopic:
        return None
