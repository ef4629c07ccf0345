"""The AsyncAPI 3 document of all MQTT messages: `python -m cardmint_contracts.asyncapi`.

It is made from the structs and the topics, and a test holds `docs/asyncapi.json` to it.
"""

import inspect
import json
import sys
from typing import Any

import msgspec

from cardmint_contracts import notifications, topics
from cardmint_contracts.claims import BEFORE, FIRST, LAST, STREAM
from cardmint_contracts.control import (
    Command,
    CommandReply,
    DesiredConfig,
    Manifest,
    NewestSets,
    ReportedConfig,
)
from cardmint_contracts.envelope import BATCH, BATCH_GZIP, MAX_EVENTS, Envelope
from cardmint_contracts.events import TYPES
from cardmint_contracts.feed import (
    EVENT,
    FEED_TYPES,
    NEWEST,
    NEXT,
    FeedCounters,
    FeedEvent,
    FeedStation,
    ReplayRefusal,
    ReplayRequest,
)
from cardmint_contracts.reasons import Reason
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.upcasters import EARLIER

_SCHEMAS = "#/components/schemas/"
_CLAIM_HEADERS = {
    "type": "object",
    "description": (
        "User properties: which sequences of which stream the message holds, and the digest of the"
        " stream before them."
    ),
    "properties": {
        STREAM: {"type": "string", "format": "uuid"},
        FIRST: {"type": "string", "pattern": "^[0-9]+$"},
        LAST: {"type": "string", "pattern": "^[0-9]+$"},
        BEFORE: {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
}
_CHANNELS: dict[str, tuple[str, str, type, bool, int]] = {
    "events": ("up", "Batches of events, in the order of their sequence.", Envelope, False, 1),
    "receipt": ("down", "What Postgres has committed of a stream.", Receipt, True, 1),
    "state": ("up", "Birth and, as the will, death of a station.", StationState, True, 1),
    "health": ("up", "How a station is, every 30 seconds.", StationHealth, False, 0),
    "tasks/{task}": (
        "down",
        "A review task while it is open; an empty payload when it is closed.",
        ReviewTask,
        True,
        1,
    ),
    "outcomes/{task}": (
        "down",
        "How a review task ended: when it does, and again at the station's birth for a week.",
        ReviewOutcome,
        False,
        1,
    ),
    "commands/{command}": ("down", "Something to do once; the message expires.", Command, False, 1),
    "commands/{command}/reply": (
        "up",
        "What became of it, where no response topic is named.",
        CommandReply,
        False,
        1,
    ),
    "config/desired": (
        "down",
        "Settings that the station is to use, versioned.",
        DesiredConfig,
        True,
        1,
    ),
    "config/reported": ("up", "Settings that the station uses.", ReportedConfig, True, 1),
    "fleet/catalogue": (
        "down",
        "The pack that every station of the tenant is to use.",
        Manifest,
        True,
        1,
    ),
    "fleet/models": (
        "down",
        "The models that every station of the tenant is to use.",
        Manifest,
        True,
        1,
    ),
    "fleet/sets": (
        "down",
        "The sets that came out last: a station says which its catalogue lacks.",
        NewestSets,
        True,
        1,
    ),
    **{
        f"feed/{kind.steps}": (
            "down",
            (
                f"The feed: {inspect.cleandoc(kind.data.__doc__ or '').splitlines()[0]}"
                f" Its type is `{name}`."
            ),
            kind.data,
            False,
            1,
        )
        for name, kind in FEED_TYPES.items()
    },
    "feed/now/stations/{station}": (
        "down",
        "Whether a station is connected, for who comes late.",
        FeedStation,
        True,
        1,
    ),
    "feed/now/counters": ("down", "Counts, for who comes late.", FeedCounters, True, 1),
    "feed/replay/{reader}": (
        "up",
        "A program asks for events of the feed again.",
        ReplayRequest,
        False,
        1,
    ),
    "feed/replay/{reader}/answer": (
        "down",
        "The events that it asked for, or why it does not get them.",
        ReplayRefusal,
        False,
        1,
    ),
}
_FEED_TYPE_OF = {f"feed/{kind.steps}": name for name, kind in FEED_TYPES.items()}
_REPLAY = "feed/replay/{reader}"
_REPLAY_HEADERS = {
    "type": "object",
    "description": (
        "The correlation data of the request; in the last message, as user properties, the number"
        " to ask for next and the newest one."
    ),
    "properties": {NEXT: {"type": "string"}, NEWEST: {"type": "string"}},
}


def document() -> dict[str, Any]:
    """Return the document as JSON values. Operations are named from the cloud's side."""
    types: dict[str, type] = {**TYPES, **EARLIER}
    structs: list[Any] = [
        *{struct: None for _, _, struct, _, _ in _CHANNELS.values()},
        *types.values(),
        FeedEvent,
    ]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_SCHEMAS + "{name}")
    for schema in schemas.values():
        # Python before 3.13 keeps the indentation.
        schema["description"] = inspect.cleandoc(schema["description"])
    whole = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CardMint",
            "version": "1",
            "description": (
                "MQTT 5. Event data by type, earlier versions too: see `x-event-types`."
                " Reason codes: see `x-reason-codes`. What the cloud's processes tell each other"
                " through Postgres: see `x-notifications`."
            ),
        },
        "channels": {_name(kind): _channel(kind) for kind in _CHANNELS},
        "operations": {_name(kind): _operation(kind) for kind in _CHANNELS},
        "components": {"schemas": schemas},
        "x-event-types": {
            name: {"$ref": _SCHEMAS + struct.__name__} for name, struct in sorted(types.items())
        },
        "x-reason-codes": {reason.value: reason.description for reason in Reason},
        "x-notifications": {
            "channel": notifications.CHANNEL,
            "payload": notifications.payload("{tenant}", "{subject}"),
            "subjects": [subject.value for subject in notifications.Subject],
        },
    }
    # Python writes the end of a text as \Z, JSON Schema as $.
    return dict(json.loads(json.dumps(whole).replace("\\\\Z", "$")))


def _name(kind: str) -> str:
    return "-".join(step for step in kind.split("/") if not step.startswith("{"))


def _channel(kind: str) -> dict[str, Any]:
    _, description, struct, _, _ = _CHANNELS[kind]
    steps = kind.split("/")
    owner = ["tenant"] if steps[0] in {"fleet", "feed"} else ["tenant", "station"]
    parameters = [*owner, *(step.strip("{}") for step in steps if step.startswith("{"))]
    return {
        "address": "/".join([topics.ROOT, *(f"{{{name}}}" for name in owner), kind]),
        "description": description,
        "parameters": {name: {} for name in parameters},
        "messages": _messages(kind, struct),
    }


def _messages(kind: str, struct: type) -> dict[str, Any]:
    name, payload = _name(kind), {"$ref": _SCHEMAS + struct.__name__}
    if kind in _FEED_TYPE_OF:
        event = {"type": {"const": _FEED_TYPE_OF[kind]}, "data": payload}
        whole = {"allOf": [{"$ref": _SCHEMAS + FeedEvent.__name__}, {"properties": event}]}
        return {name: {"contentType": EVENT, "payload": whole}}
    if struct is ReplayRefusal:
        events = {"type": "array", "items": {"$ref": _SCHEMAS + FeedEvent.__name__}}
        return {
            name: {"contentType": BATCH, "headers": _REPLAY_HEADERS, "payload": events},
            f"{name}-refused": {"contentType": "application/json", "payload": payload},
        }
    if struct is not Envelope:
        return {name: {"contentType": "application/json", "payload": payload}}
    batch = {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": payload}
    return {
        name: {"contentType": BATCH, "headers": _CLAIM_HEADERS, "payload": batch},
        f"{name}-compressed": {
            "contentType": BATCH_GZIP,
            "headers": _CLAIM_HEADERS,
            "payload": batch,
        },
    }


def _operation(kind: str) -> dict[str, Any]:
    direction, _, _, retained, qos = _CHANNELS[kind]
    operation: dict[str, Any] = {
        "action": "receive" if direction == "up" else "send",
        "channel": {"$ref": f"#/channels/{_name(kind)}"},
        "bindings": {"mqtt": {"qos": qos, "retain": retained}},
    }
    if kind == _REPLAY:
        operation["reply"] = {"channel": {"$ref": f"#/channels/{_name(f'{kind}/answer')}"}}
    return operation


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
