"""The AsyncAPI 3 document of everything that travels by MQTT.

`python -m cardmint_contracts.asyncapi`.

It is made from the structs and the topics, and a test holds `docs/asyncapi.json` to it.
"""

import inspect
import json
import sys
from typing import Any

import msgspec

from cardmint_contracts import topics
from cardmint_contracts.control import (
    Command,
    CommandReply,
    DesiredConfig,
    Manifest,
    ReportedConfig,
)
from cardmint_contracts.envelope import BATCH, BATCH_GZIP, Envelope
from cardmint_contracts.events import TYPES
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_contracts.tasks import ReviewOutcome, ReviewTask
from cardmint_contracts.upcasters import EARLIER

_SCHEMAS = "#/components/schemas/"
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
}


def document() -> dict[str, Any]:
    """Return the document as JSON values. Operations are named from the cloud's side."""
    types: dict[str, type] = {**TYPES, **EARLIER}
    structs: list[Any] = [
        *{struct: None for _, _, struct, _, _ in _CHANNELS.values()},
        *types.values(),
    ]
    _, schemas = msgspec.json.schema_components(structs, ref_template=_SCHEMAS + "{name}")
    for schema in schemas.values():
        # Python before 3.13 keeps the indentation.
        schema["description"] = inspect.cleandoc(schema["description"])
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    for kind, (direction, description, struct, retained, qos) in _CHANNELS.items():
        steps = kind.split("/")
        channel = "-".join(step for step in steps if not step.startswith("{"))
        payload: dict[str, Any] = {"$ref": _SCHEMAS + struct.__name__}
        content_types = ["application/json"]
        if struct is Envelope:
            payload = {"type": "array", "minItems": 1, "maxItems": 1000, "items": payload}
            content_types = [BATCH, BATCH_GZIP]
        whose = ["tenant"] if steps[0] == "fleet" else ["tenant", "station"]
        names = [*whose, *(step.strip("{}") for step in steps if step.startswith("{"))]
        channels[channel] = {
            "address": "/".join([topics.ROOT, *(f"{{{one}}}" for one in whose), kind]),
            "description": description,
            "parameters": {name: {} for name in names},
            "messages": {channel: {"contentType": content_types[0], "payload": payload}},
        }
        if len(content_types) > 1:
            channels[channel]["messages"][f"{channel}-compressed"] = {
                "contentType": content_types[1],
                "payload": payload,
            }
        operations[channel] = {
            "action": "receive" if direction == "up" else "send",
            "channel": {"$ref": f"#/channels/{channel}"},
            "bindings": {"mqtt": {"qos": qos, "retain": retained}},
        }
    whole = {
        "asyncapi": "3.0.0",
        "info": {
            "title": "CardMint",
            "version": "1",
            "description": "MQTT 5. Event data by type, earlier versions too: see `x-event-types`.",
        },
        "channels": channels,
        "operations": operations,
        "components": {"schemas": schemas},
        "x-event-types": {
            name: {"$ref": _SCHEMAS + struct.__name__} for name, struct in sorted(types.items())
        },
    }
    # Python writes the end of a text as \Z, JSON Schema as $.
    return dict(json.loads(json.dumps(whole).replace("\\\\Z", "$")))


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
