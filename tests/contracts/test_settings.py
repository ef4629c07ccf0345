"""Settings: the environment overrides the file, and every mistake names its key."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts.settings import BrokerSettings, Section, SettingsError, read_settings


class RoundShape(Section, frozen=True, tag_field="type", tag="round"):
    radius: float = 1.0


class SquareShape(Section, frozen=True, tag_field="type", tag="square"):
    side: int | str = 1
    holes: tuple[int, ...] = ()


class ShapeSettings(Section, frozen=True):
    name: str = "plain"
    sizes: list[int] = msgspec.field(default_factory=list)
    shape: RoundShape | SquareShape = RoundShape()
    broker: BrokerSettings = BrokerSettings()


def read(table: dict[str, Any], **environment: str) -> ShapeSettings:
    return read_settings(
        ShapeSettings,
        table,
        {f"SHAPE_{name}": text for name, text in environment.items()},
        prefix="SHAPE_",
        folder=Path("/etc/shapes"),
    )


def test_without_anything_the_defaults_hold() -> None:
    assert read({}) == ShapeSettings()


def test_the_text_of_a_variable_takes_the_type_of_its_key() -> None:
    table = {"shape": {"type": "square", "side": 2}}
    settings = read(
        table,
        NAME="7",
        SIZES="3, 4,5",
        SHAPE_HOLES="1 2",
        BROKER_PORT="8883",
        BROKER_TLS="true",
        BROKER_CA_FILE="ca.pem",
    )
    assert (settings.name, settings.sizes) == ("7", [3, 4, 5])
    assert settings.shape == SquareShape(side=2, holes=(1, 2))
    assert settings.broker == BrokerSettings(
        port=8883, tls=True, ca_file=Path("/etc/shapes/ca.pem")
    )
    assert table == {"shape": {"type": "square", "side": 2}}, "the caller's table stays as it is"


def test_a_variable_may_choose_one_of_several_sections() -> None:
    assert read({}, SHAPE_TYPE="square", SHAPE_SIDE="a").shape == SquareShape(side="a")


@pytest.mark.parametrize(
    ("table", "environment", "says"),
    [
        ({"colour": 1}, {}, "colour: there is no such setting"),
        ({"broker": {"colour": 1}}, {}, "broker.colour: there is no such setting"),
        ({}, {"COLOUR": "1"}, "SHAPE_COLOUR: there is no such setting"),
        ({}, {"BROKER": "1"}, "SHAPE_BROKER: there is no such setting"),
        ({}, {"BROKER_COLOUR": "1"}, "broker.colour: there is no such setting"),
        ({}, {"BROKER_PORT": "0"}, "broker.port: Expected `int` >= 1"),
        ({}, {"SIZES": "1,a"}, "sizes: Expected `int`"),
        ({"broker": {"port": "1883"}}, {}, "broker.port: Expected `int`, got `str`"),
        ({"broker": 5}, {"BROKER_PORT": "1"}, "broker: Expected `object`"),
        ({"broker": {"tls": True, "ca_file": 5}}, {}, "broker.ca_file: expected a path"),
        ({"broker": {"ca_file": "ca.pem"}}, {}, "broker: certificates are set, but tls is false"),
        ({"broker": {"tls": True, "key_file": "k"}}, {}, "broker: key_file is set without"),
    ],
)
def test_a_mistake_names_its_key(
    table: dict[str, Any], environment: dict[str, str], says: str
) -> None:
    with pytest.raises(SettingsError) as caught:
        read(table, **environment)
    assert str(caught.value).startswith(says)


@given(
    st.dictionaries(
        st.sampled_from(["NAME", "SIZES", "SHAPE_SIDE", "BROKER_PORT", "BROKER_TLS", "BROKER_X"]),
        st.text(max_size=8),
    )
)
def test_any_text_gives_settings_or_a_settings_error(environment: dict[str, str]) -> None:
    try:
        read({"shape": {"type": "square"}}, **environment)
    except SettingsError as error:
        assert ": " in str(error)  # noqa: PT017 - either outcome is right
