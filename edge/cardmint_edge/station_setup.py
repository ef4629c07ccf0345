"""Setting a station up: answers become `station.toml`, and an existing one keeps the rest."""

import json
import secrets
import threading
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from uuid import uuid4

from cardmint_contracts.settings import BrokerSettings
from cardmint_edge.adapters.durable_files import write_file
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.domain.delivery.messages import ForwarderMessage, LinkConnected
from cardmint_edge.errors import Stop
from cardmint_edge.settings import StationSettings

LOGIN_S = 8.0
PIN_DIGITS = 6

Answers = dict[str, dict[str, Any]]
"""The settings by section and key."""


def new_pin() -> str:
    """Return a PIN by chance."""
    return f"{secrets.randbelow(10**PIN_DIGITS):0{PIN_DIGITS}}"


def read_answers(path: Path) -> Answers:
    """Return the settings of an existing file; no settings without one.

    Raises:
        Stop: the file cannot be read, or is not TOML.
    """
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return {}
    except OSError as error:
        raise Stop(f"cannot read the settings {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise Stop(f"{path} is not TOML: {error}; name another file with --config") from error
    return {name: dict(value) for name, value in table.items() if isinstance(value, dict)}


def as_toml(answers: Mapping[str, Mapping[str, Any]]) -> str:
    """Return settings as TOML: strings, numbers, truth values and lists of strings."""
    sections = []
    for name, values in answers.items():
        lines = [f"{key} = {_value(value)}" for key, value in values.items() if value is not None]
        sections.append("\n".join([f"[{name}]", *lines]))
    return "\n\n".join(sections) + "\n"


def _value(value: Any) -> str:
    # A TOML string takes JSON's escapes; DEL is the one character that only JSON leaves as it is.
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")


def write_answers(path: Path, answers: Mapping[str, Mapping[str, Any]]) -> None:
    """Write the settings so that only their owner reads them: they may hold a password.

    Raises:
        Stop: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(path.name + ".part")
        temporary.touch(mode=0o600)
        write_file(path, as_toml(answers).encode())
        path.chmod(0o600)
    except OSError as error:
        raise Stop(f"cannot write the settings {path}: {error.strerror}") from error


def login_problem(broker: BrokerSettings, station: StationSettings) -> str:
    """Log in at the broker as the station would. Return why that fails; empty if it does not."""
    connected = threading.Event()

    def receive(message: ForwarderMessage) -> None:
        if isinstance(message, LinkConnected):
            connected.set()

    link = BrokerLink(
        broker=broker,
        station=station,
        bootid=uuid4(),
        state=None,
        health=None,
        to_forwarder=receive,
    )
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    done = connected.wait(LOGIN_S)
    link.stop()
    thread.join(LOGIN_S)
    return "" if done else link.problem or f"no login within {LOGIN_S:.0f} s"
