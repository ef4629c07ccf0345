"""The service's settings: one frozen value, read once from a TOML file and the environment."""

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from msgspec import Meta

from cardmint_cloud.domain.review_rules import Rules
from cardmint_cloud.errors import Stop
from cardmint_contracts import topics
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.settings import (
    BrokerSettings,
    Port,
    Section,
    SettingsError,
    read_settings,
)

PREFIX = "CARDMINT_CLOUD_"
ProviderName = Literal["tcgdex", "pokemontcg", "pricecharting", "tcgcsv"]


class WebSettings(Section, frozen=True):
    """Where the dashboard listens. Only on loopback, until there are accounts."""

    port: Port = 8080


class PriceSettings(Section, frozen=True):
    """Where prices come from.

    The providers in the order in which they are asked, and where each is.
    """

    order: tuple[ProviderName, ...] = ("tcgdex", "pokemontcg", "tcgcsv")
    tcgdex_url: str = "https://api.tcgdex.net/v2/en"
    pokemontcg_url: str = "https://api.pokemontcg.io/v2"
    pricecharting_url: str = "https://www.pricecharting.com"
    tcgcsv_url: str = "https://tcgcsv.com"
    every_s: Annotated[int, Meta(ge=1, le=3600)] = 5
    calls_a_day: Annotated[int, Meta(ge=1)] = 5000

    def __post_init__(self) -> None:
        if len(set(self.order)) < len(self.order):
            message = "order: a provider is named twice"
            raise ValueError(message)


class ReviewSettings(Section, frozen=True):
    """When a person is asked to look at a card that a station counted.

    A figure of 0 turns its rule off.
    """

    version: Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9.-]{0,30}\Z")] = "1"
    low_confidence: Annotated[float, Meta(ge=0, le=1)] = 0.0
    small_margin: Annotated[float, Meta(ge=0, le=1)] = 0.0
    high_value: Annotated[int, Meta(ge=0)] = 200_00
    spread: Annotated[float, Meta(ge=0)] = 20.0
    duplicates: bool = True
    audit: Annotated[float, Meta(ge=0, le=1)] = 0.01
    hold: tuple[str, ...] = ("possible-duplicate",)
    escalate_h: Annotated[float, Meta(gt=0)] = 24.0
    expire_h: Annotated[float, Meta(gt=0)] = 168.0

    def rules(self) -> Rules:
        """Return the rules as they are applied."""
        return Rules(
            version=self.version,
            low_confidence=self.low_confidence,
            small_margin=self.small_margin,
            high_value=self.high_value,
            spread=self.spread,
            duplicates=self.duplicates,
            audit=self.audit,
            held=frozenset(self.hold),
        )


class S3Settings(Section, frozen=True):
    """How a bucket for images is reached. Without `endpoint` it is Amazon's own."""

    endpoint: str = ""
    region: str = "us-east-1"
    key: str = ""
    secret: str = ""


class Settings(Section, frozen=True):
    """Everything that can be set, with its default.

    `tenant` is the one that the dashboard shows.
    """

    tenant: str = "demo"
    database: str = "postgresql://cardmint:cardmint@127.0.0.1:5432/cardmint"
    images: str = "images"
    archive: str = "archive"
    artifacts: str = "artifacts"
    broker: BrokerSettings = BrokerSettings()
    web: WebSettings = WebSettings()
    prices: PriceSettings = PriceSettings()
    reviews: ReviewSettings = ReviewSettings()
    s3: S3Settings = S3Settings()

    def __post_init__(self) -> None:
        try:
            topics.name(self.tenant)
        except BadTopic as error:
            message = f"tenant: {error}"
            raise ValueError(message) from None


@dataclass(frozen=True, kw_only=True, slots=True)
class Keys:
    """Providers' keys: from the environment only, and never to be seen."""

    pokemontcg: str = field(default="", repr=False)
    pricecharting: str = field(default="", repr=False)


def keys(environment: Mapping[str, str] = os.environ) -> Keys:
    """Read the keys: `CARDMINT_POKEMONTCG_KEY` and `CARDMINT_PRICECHARTING_TOKEN`.

    Raises:
        Stop: one has a character that no key has; its value is not told.
    """
    names = ("POKEMONTCG_KEY", "PRICECHARTING_TOKEN")
    found = {name: environment.get(f"CARDMINT_{name}", "").strip() for name in names}
    for name, key in found.items():
        if not key.isascii() or not key.isprintable() or " " in key:
            raise Stop(f"CARDMINT_{name}: has a character that no key has; copy it again")
    return Keys(pokemontcg=found["POKEMONTCG_KEY"], pricecharting=found["PRICECHARTING_TOKEN"])


def load(file: Path | None, environment: Mapping[str, str] = os.environ) -> Settings:
    """Read the settings: the file first, then the environment over it.

    The variables are `CARDMINT_CLOUD_<KEY>` and `CARDMINT_CLOUD_<TABLE>_<KEY>`. A relative path of
    `broker` counts from the file's folder.

    Raises:
        Stop: the file cannot be read, a key is unknown, or a value is wrong. The message names the
            key.
    """
    values = _from_file(file) if file else {}
    folder = file.absolute().parent if file else Path.cwd()
    try:
        return read_settings(Settings, values, environment, prefix=PREFIX, folder=folder)
    except SettingsError as error:
        raise Stop(f"{file or 'settings'}: {error}; see docs/settings-cloud.md") from None


def _from_file(file: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(file.read_text())
    except OSError as error:
        raise Stop(f"{file}: cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{file}: not TOML: {error}") from None
