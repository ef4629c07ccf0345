"""The service's settings: one frozen value, read once from a TOML file and the environment."""

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from cardmint_cloud.errors import Stop
from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic

PREFIX = "CARDMINT_CLOUD_"
Port = Annotated[int, Meta(ge=1, le=65535)]


class BrokerSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the MQTT 5 broker is. `ca` is a file of certificates to trust; with it the connection uses TLS."""

    host: str = "127.0.0.1"
    port: Port = 1883
    user: str = ""
    password: str = ""
    ca: str = ""


class WebSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the dashboard listens. Only on loopback, until there are accounts."""

    port: Port = 8080


class PriceSettings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where prices come from: TCGdex, or something that speaks as it does."""

    url: str = "https://api.tcgdex.net/v2/en"
    every_s: Annotated[float, Meta(gt=0, le=3600)] = 5.0


class Settings(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything that can be set, with its default. `tenant` is the one that the dashboard shows."""

    tenant: str = "demo"
    database: str = "postgresql://cardmint:cardmint@127.0.0.1:5432/cardmint"
    images: str = "images"
    archive: str = "archive"
    broker: BrokerSettings = BrokerSettings()
    web: WebSettings = WebSettings()
    prices: PriceSettings = PriceSettings()

    def __post_init__(self) -> None:
        try:
            topics.name(self.tenant)
        except BadTopic as error:
            message = f"tenant: {error}"
            raise ValueError(message) from None


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings: the file first, then `CARDMINT_CLOUD_<KEY>` and `CARDMINT_CLOUD_<TABLE>_<KEY>` over it.

    Raises:
        Stop: the file cannot be read, or a key is unknown or has a wrong value; the message has the path of the key.
    """
    values = _from_file(file) if file else {}
    where = str(file) if file else "settings"
    for variable, text in environment.items():
        if variable.startswith(PREFIX):
            _override(values, variable, text)
    try:
        return msgspec.convert(values, Settings, strict=False)
    except msgspec.ValidationError as error:
        raise Stop(f"{where}: {_readable(error)}") from None


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise Stop(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{file}: not TOML: {error}") from None


def _override(values: dict[str, Any], variable: str, text: str) -> None:
    key = variable.removeprefix(PREFIX).lower()
    for table in ("broker", "web", "prices"):
        if key.startswith(f"{table}_"):
            inner = values.setdefault(table, {})
            if isinstance(inner, dict):
                inner[key.removeprefix(f"{table}_")] = text
            return
    values[key] = text


def _readable(error: msgspec.ValidationError) -> str:
    """Turn msgspec's "Object contains unknown field `x` - at `$.broker`" into "broker.x: unknown"."""
    text, _, path = str(error).partition(" - at `$")
    at = path.rstrip("`").lstrip(".")
    if text.startswith("Object contains unknown field `"):
        key = text.split("`")[1]
        return f"{at}.{key}".lstrip(".") + ": there is no such setting; see docs/settings.md"
    return f"{at}: {text}" if at else text
