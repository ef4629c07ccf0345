"""Home Assistant's MQTT device discovery: a tenant and its stations as devices.

Each device is one retained message that names the topics of the feed's snapshots, which are
retained, too: whatever starts first, Home Assistant finds them. Its documentation has the keys.
"""

from typing import Any

from cardmint_contracts import topics

ORIGIN = {"name": "CardMint"}
SITE = "device/cardmint_{}/config"
"""A device's topic below the discovery prefix, which is a tenant's own."""


def discovery_prefix(tenant: str) -> str:
    """Return what Home Assistant is told as its discovery prefix."""
    return topics.feed_topic(tenant, "home")


def discovery(tenant: str, versions: dict[str, str]) -> dict[str, dict[str, Any]]:
    """Return the messages of a tenant's devices, by topic; `versions` has each station's."""
    messages = {_topic(tenant, tenant): _tenant_device(tenant)}
    for station, version in versions.items():
        named = f"{tenant}_{station}"
        messages[_topic(tenant, named)] = _station_device(tenant, station, named, version)
    return messages


def _topic(tenant: str, named: str) -> str:
    return f"{discovery_prefix(tenant)}/{SITE.format(named)}"


def _tenant_device(tenant: str) -> dict[str, Any]:
    named = {"cards": "Cards", "reviews": "Open questions", "stations": "Stations online"}
    return {
        "device": {"identifiers": [f"cardmint_{tenant}"], "name": f"CardMint {tenant}"},
        "origin": ORIGIN,
        "state_topic": topics.feed_counters_topic(tenant),
        "components": {
            field: {
                "platform": "sensor",
                "unique_id": f"cardmint_{tenant}_{field}",
                "name": name,
                "value_template": f"{{{{ value_json.{field} }}}}",
                "state_class": "measurement",
            }
            for field, name in named.items()
        },
    }


def _station_device(tenant: str, station: str, named: str, version: str) -> dict[str, Any]:
    return {
        "device": {
            "identifiers": [f"cardmint_{named}"],
            "name": f"Station {station}",
            "manufacturer": "CardMint",
            "sw_version": version,
            "via_device": f"cardmint_{tenant}",
        },
        "origin": ORIGIN,
        "state_topic": topics.feed_station_topic(tenant, station),
        "components": {
            "online": {
                "platform": "binary_sensor",
                "unique_id": f"cardmint_{named}_online",
                "name": "Connected",
                "device_class": "connectivity",
                "value_template": "{{ 'ON' if value_json.online else 'OFF' }}",
            },
            "since": {
                "platform": "sensor",
                "unique_id": f"cardmint_{named}_since",
                "name": "Connected or gone since",
                "device_class": "timestamp",
                "entity_category": "diagnostic",
                "value_template": "{{ value_json.since }}",
            },
        },
    }
