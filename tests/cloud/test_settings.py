"""Settings from file and environment: each is documented, and each mistake names its key."""

from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_cloud.errors import StopService
from cardmint_cloud.settings import (
    CloudSettings,
    PriceSettings,
    ProviderKeys,
    ReviewSettings,
    WebSettings,
    load,
    load_keys,
)
from cardmint_contracts.settings import BrokerSettings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings-cloud.md"


def test_the_file_is_read_and_the_environment_overrides_it(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('tenant = "shop"\n[broker]\nhost = "broker.example"\nport = 8883\n')
    settings = load(
        file, {"CARDMINT_CLOUD_BROKER_PORT": "1884", "CARDMINT_CLOUD_WEB_PORT": "9000", "HOME": "/"}
    )
    assert (settings.tenant, settings.broker.host) == ("shop", "broker.example")
    assert (settings.broker.port, settings.web.port) == (1884, 9000)
    assert load(None, {}) == CloudSettings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("colour = 1", "colour: there is no such setting"),
        ("[broker]\ncolour = 1", "broker.colour: there is no such setting"),
        ("[broker]\nport = 99999", "broker.port"),
        ('[broker]\nport = "1883"', "broker.port"),
        ('[broker]\nca_file = "ca.pem"', "broker: certificates are set, but tls is false"),
        ('[broker]\ntls = true\nkey_file = "k.pem"', "broker: key_file is set without cert_file"),
        ("[prices]\nevery_s = -1", "prices.every_s"),
        ('[prices]\norder = ["nobody"]', "prices.order"),
        ('[prices]\norder = ["tcgdex", "tcgdex"]', "named twice"),
        ("broker = 5", "broker"),
        ('tenant = "Not A Name"', "tenant"),
        ("tenant", "not TOML"),
        ("\xff", "not TOML"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "cloud.toml"
    file.write_bytes(text.encode("latin-1"))
    with pytest.raises(StopService, match=says) as caught:
        load(file, {})
    assert str(caught.value).startswith(str(file))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(StopService, match="cannot be read"):
        load(tmp_path / "none.toml", {})


@given(
    st.dictionaries(
        st.from_regex(r"CARDMINT_CLOUD_[A-Z_]{1,12}", fullmatch=True),
        st.text(max_size=10),
        max_size=4,
    )
)
def test_any_environment_is_settings_or_one_line(environment: dict[str, str]) -> None:
    try:
        load(None, environment)
    except StopService as error:
        assert str(error).startswith("settings: ")  # noqa: PT017 - either outcome is right, a traceback is not


def _keys(struct: type[msgspec.Struct], prefix: str = "") -> list[str]:
    keys = []
    for field in msgspec.structs.fields(struct):
        if isinstance(field.type, type) and issubclass(field.type, msgspec.Struct):
            keys += _keys(field.type, f"{prefix}{field.name}.")
        else:
            keys.append(prefix + field.name)
    return keys


def test_every_setting_is_documented_and_every_documented_setting_exists() -> None:
    rows = [
        line.split("`")[1] for line in DOCUMENT.read_text().splitlines() if line.startswith("| `")
    ]
    assert rows == _keys(CloudSettings)


def test_a_list_in_the_environment_is_separated_by_commas() -> None:
    settings = load(None, {"CARDMINT_CLOUD_PRICES_ORDER": "tcgcsv, tcgdex"})
    assert settings.prices == PriceSettings(order=("tcgcsv", "tcgdex"))


def test_numbers_truth_values_and_paths_in_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text("")
    environment = {
        "CARDMINT_CLOUD_BROKER_TLS": "true",
        "CARDMINT_CLOUD_BROKER_CA_FILE": "ca.pem",
        "CARDMINT_CLOUD_REVIEWS_AUDIT": "0.5",
        "CARDMINT_CLOUD_REVIEWS_DUPLICATES": "false",
    }
    settings = load(file, environment)
    assert settings.broker == BrokerSettings(tls=True, ca_file=tmp_path / "ca.pem")
    assert settings.reviews == ReviewSettings(audit=0.5, duplicates=False)


@pytest.mark.parametrize(
    ("variable", "text", "says"),
    [
        ("CARDMINT_CLOUD_COLOUR", "1", "CARDMINT_CLOUD_COLOUR: there is no such setting"),
        ("CARDMINT_CLOUD_BROKER_COLOUR", "1", "broker.colour: there is no such setting"),
        ("CARDMINT_CLOUD_BROKER_PORT", "many", "broker.port: Expected `int`"),
        ("CARDMINT_CLOUD_PRICES_ORDER", "nobody", "prices.order"),
    ],
)
def test_a_wrong_variable_is_named(variable: str, text: str, says: str) -> None:
    with pytest.raises(StopService, match=says):
        load(None, {variable: text})


def test_keys_come_from_the_environment_and_are_never_shown(tmp_path: Path) -> None:
    found = load_keys(
        {"CARDMINT_POKEMONTCG_KEY": " secret-1 ", "CARDMINT_PRICECHARTING_TOKEN": "secret-2"}
    )
    assert (found.pokemontcg, found.pricecharting) == ("secret-1", "secret-2")
    assert "secret" not in repr(found)
    assert load_keys({}) == ProviderKeys()
    with pytest.raises(StopService, match="CARDMINT_POKEMONTCG_KEY") as caught:
        load_keys({"CARDMINT_POKEMONTCG_KEY": "secret\nx"})
    assert "secret" not in str(caught.value)
    file = tmp_path / "cloud.toml"
    file.write_text('[prices]\npokemontcg_key = "x"')
    with pytest.raises(StopService, match="no such setting"):
        load(file, {})


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ('wares = "x"', "wares: there is no such setting; it is `artifacts` now"),
        ('[broker]\nuser = "x"', "broker.user: .* it is `broker.username` now"),
        ('[broker]\nca = "x"', "broker.ca: .* it is `broker.ca_file`, with `broker.tls` now"),
    ],
)
def test_a_setting_of_the_first_version_is_named_as_it_is_called_now(
    tmp_path: Path, text: str, says: str
) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text(text)
    with pytest.raises(StopService, match=says):
        load(file, {})
    variable = "CARDMINT_CLOUD_" + text.replace("[broker]\n", "broker_").split(" ")[0].upper()
    with pytest.raises(StopService, match=r"it is .* now"):
        load(None, {variable: "x"})


def test_paths_count_from_the_files_folder_and_buckets_stay(tmp_path: Path) -> None:
    file = tmp_path / "cloud.toml"
    file.write_text('images = "s3://cards/shop"\nmaster_keys = "keys"\n[web]\ntls_cert = "a.pem"\n')
    settings = load(file, {"CARDMINT_CLOUD_WEB_TLS_KEY": "/etc/a.key"})
    assert settings.images == "s3://cards/shop"
    assert settings.master_keys == str(tmp_path / "keys")
    assert settings.archive == str(tmp_path / "archive")
    assert (settings.web.tls_cert, settings.web.tls_key) == (str(tmp_path / "a.pem"), "/etc/a.key")
    assert settings.audit_anchors == ""


@pytest.mark.parametrize(
    ("web", "address"),
    [
        ({}, "http://127.0.0.1:8080"),
        ({"hosts": ("shop.local", "10.0.0.2"), "accounts": True}, "http://shop.local:8080"),
        ({"hosts": ("cards.example.com",), "https": True}, "https://cards.example.com"),
        ({"hosts": ("shop.local",), "tls_cert": "a", "tls_key": "b"}, "https://shop.local:8080"),
        ({"https": True, "base_path": "/cards"}, "https://127.0.0.1/cards"),
    ],
)
def test_links_name_the_address_that_people_use(web: dict[str, Any], address: str) -> None:
    assert WebSettings(**web).public_address == address
