"""Settings as they are printed: everything in effect, no secret, every fault in a line."""

from pathlib import Path
from typing import Annotated

import msgspec

from cardmint_contracts.settings import (
    SECRET,
    Address,
    BrokerSettings,
    Section,
    settings_faults,
    shown_settings,
    without_password,
)


class Pin(Section, frozen=True):
    pin: Annotated[str, msgspec.Meta(pattern=r"^[0-9]*$", extra=SECRET)] = ""
    digits: Annotated[int, msgspec.Meta(ge=1)] = 4


class Shop(Section, frozen=True):
    name: str
    database: Address = ""
    sizes: tuple[int, ...] = ()
    pin: Pin = Pin()
    broker: BrokerSettings = BrokerSettings()


def test_every_key_is_shown_and_no_secret() -> None:
    broker = BrokerSettings(password="correct horse", tls=True, ca_file=Path("/etc/ca.pem"))
    shop = Shop(
        name="left", database="postgresql://me:pa@ss@db/shop", pin=Pin(pin="4711"), broker=broker
    )
    shown = dict(shown_settings(shop))
    assert shown["name"] == '"left"'
    assert shown["database"] == '"postgresql://me:***@db/shop"'
    assert (shown["pin.pin"], shown["pin.digits"]) == ("(set)", "4")
    assert shown["broker.password"] == "(set)"
    assert (shown["broker.username"], shown["broker.ca_file"]) == ('""', '"/etc/ca.pem"')
    assert dict(shown_settings(Shop(name="x")))["broker.password"] == "(empty)"
    text = "\n".join(f"{key}{value}" for key, value in shown.items())
    assert not any(secret in text for secret in ("correct horse", "4711", "pa@ss"))


def test_an_address_is_shown_without_its_passwords() -> None:
    cases = {
        "postgresql://me:a:b@h:5432/db?sslmode=require": "postgresql://me:***@h:5432/db?sslmode=require",
        "host=db user=me password='two words' port=1": "host=db user=me password=*** port=1",
        "postgresql://me@h/db?sslpassword=x&sslmode=require": (
            "postgresql://me@h/db?sslpassword=***&sslmode=require"
        ),
        "postgresql://h/db": "postgresql://h/db",
    }
    assert {address: without_password(address) for address in cases} == cases


def faults(table: dict[str, object], **environment: str) -> list[str]:
    variables = {f"SHOP_{name}": text for name, text in environment.items()}
    return settings_faults(Shop, table, {"PATH": "", **variables}, prefix="SHOP_", folder=Path("/"))


def test_every_fault_is_found_at_once() -> None:
    found = faults(
        {
            "name": 3,
            "sizes": [1, "two"],
            "pin": {"pin": "x", "digits": 0},
            "broker": {"tls": False, "ca_file": "ca.pem"},
            "colour": "red",
        },
        BROKER_PORT="many",
        NOTHING="1",
    )
    keys = [fault.partition(":")[0] for fault in found]
    assert keys[:2] == ["broker.port", "SHOP_NOTHING"]
    assert set(keys[2:]) >= {"pin.pin", "pin.digits", "broker", "colour", "sizes[1]"}
    assert all("\n" not in fault for fault in found)


def test_the_search_ends_at_what_cannot_be_taken_out() -> None:
    assert faults({"pin": {"digits": 0}}) == [
        "pin.digits: Expected `int` >= 1",
        "Object missing required field `name`",
    ]
    assert faults({"name": "left", "pin": 7}) == ["pin: Expected `object`, got `int`"]
    assert faults({"name": "left"}) == []


class Tray(Section, frozen=True):
    pins: tuple[Pin, ...] = ()


def test_the_search_ends_within_a_list_of_tables() -> None:
    table = {"pins": [{"digits": 0}, {"digits": 0}]}
    found = settings_faults(Tray, table, {}, prefix="TRAY_", folder=Path("/"))
    assert found == ["pins[0].digits: Expected `int` >= 1"]
