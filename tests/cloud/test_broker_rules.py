"""The rules of the broker as text. A real broker is attacked in tests/system."""

import pytest
from click.testing import CliRunner

from cardmint_cloud.cli import cli
from cardmint_cloud.domain.broker_rules import mosquitto_rules
from cardmint_cloud.errors import StopService
from cardmint_contracts.errors import BadTopic


def test_each_user_has_its_own_lines() -> None:
    rules = mosquitto_rules(stations=["shop/left"], readers=["shop/graphs"], cloud="cloud")
    users = {part.splitlines()[0]: part.splitlines()[1:] for part in rules.split("\nuser ")[1:]}
    assert list(users) == ["cloud", "shop/left", "shop/graphs"]
    assert "topic write cardmint/v1/shop/left/events" in users["shop/left"]
    assert "topic read cardmint/v1/shop/fleet/+" in users["shop/left"]
    assert users["shop/graphs"] == [
        "topic write cardmint/v1/shop/feed/replay/graphs",
        "topic read cardmint/v1/shop/feed/#",
    ]
    lines = [line for lines in users.values() for line in lines if line]
    assert all(line.startswith(("topic read ", "topic write ")) for line in lines)


@pytest.mark.parametrize(
    ("stations", "cloud", "says"),
    [
        (["shop/left", "shop/left"], "cloud", "named twice"),
        (["left"], "cloud", "names no tenant"),
        (["shop/+"], "cloud", "is no name"),
        (["shop/le ft"], "cloud", "is no name"),
        (["shop/left\ntopic #"], "cloud", "is no name"),
        (["shop/left"], "shop/left", "is no name"),
    ],
)
def test_a_name_that_would_change_the_rules_is_refused(
    stations: list[str], cloud: str, says: str
) -> None:
    with pytest.raises(BadTopic, match=says):
        mosquitto_rules(stations=stations, readers=[], cloud=cloud)


def test_the_command_prints_them() -> None:
    done = CliRunner().invoke(cli, ["broker-rules", "shop/left", "--reader", "shop/graphs"])
    assert done.exit_code == 0
    assert "user shop/left\ntopic write cardmint/v1/shop/left/events\n" in done.output
    refused = CliRunner().invoke(cli, ["broker-rules", "left"])
    assert isinstance(refused.exception, StopService)
