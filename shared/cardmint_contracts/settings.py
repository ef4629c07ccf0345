"""Settings: a parsed TOML file, with the environment laid over it, as one frozen struct.

Station and cloud read theirs by the same rules. Nothing here opens a file: the caller passes what
it read.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin

import msgspec
from msgspec import Meta, Struct

Port = Annotated[int, Meta(ge=1, le=65535)]


class SettingsError(ValueError):
    """A key is unknown, or a value is wrong. The message begins with the path of the key."""


class Section(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One table of the file. A key that is no field of it is an error."""


class BrokerSettings(Section, frozen=True):
    """How the MQTT 5 broker is reached.

    With `tls` the broker's certificate is checked: against `ca_file`, or the system's certificates
    without one. `cert_file` and `key_file` are the certificate to show to the broker.
    """

    host: str = "127.0.0.1"
    port: Port = 1883
    username: str = ""
    password: str = ""
    tls: bool = False
    ca_file: Path | None = None
    cert_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        if not self.tls and (self.ca_file or self.cert_file or self.key_file):
            message = (
                "certificates are set, but tls is false: the connection would not be encrypted"
            )
            raise ValueError(message)
        if self.key_file and not self.cert_file:
            message = "key_file is set without cert_file"
            raise ValueError(message)


S = TypeVar("S", bound=Struct)


def read_settings(
    as_type: type[S],
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    prefix: str,
    folder: Path,
) -> S:
    """Convert a parsed TOML file to `as_type`, and let the environment override it.

    The variable of a key is `prefix` and the key, or `prefix`, the table and the key, in capitals
    with underscores between them. Its text becomes the key's type: numbers and truth values as TOML
    writes them, a list separated by commas. A relative path counts from `folder`.

    Raises:
        SettingsError: a key or variable is unknown, or a value is wrong.
    """
    values = {
        name: dict(value) if isinstance(value, dict) else value for name, value in table.items()
    }
    for variable, text in environment.items():
        if variable.startswith(prefix):
            _override(as_type, values, variable, prefix, text)

    def to_path(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str) and value:
            return folder / value
        raise ValueError("expected a path")

    try:
        return msgspec.convert(values, as_type, dec_hook=to_path)
    except msgspec.ValidationError as error:
        raise SettingsError(_with_path(error)) from None


def _override(
    as_type: type[Struct], values: dict[str, Any], variable: str, prefix: str, text: str
) -> None:
    name = variable.removeprefix(prefix).lower()
    for field in msgspec.structs.fields(as_type):
        sections = list(_structs(field.type))
        if not sections and name == field.name:
            values[name] = _typed(name, field.type, text)
            return
        key = name.removeprefix(f"{field.name}_")
        if sections and key not in {name, ""}:
            section = values.setdefault(field.name, {})
            if isinstance(section, dict):
                section[key] = _typed(f"{field.name}.{key}", _type_of(key, sections), text)
            return
    raise SettingsError(f"{variable}: there is no such setting")


def _structs(kind: Any) -> Iterator[type[Struct]]:
    """Give the sections that a field takes: one, or one of several that a tag tells apart."""
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
    elif get_origin(kind) in {Union, UnionType}:
        for member in get_args(kind):
            yield from _structs(member)


def _type_of(key: str, sections: list[type[Struct]]) -> Any:
    """Return the type of a section's key. An unknown key stays text: the conversion refuses it."""
    types = (
        field.type
        for kind in sections
        for field in msgspec.structs.fields(kind)
        if field.name == key
    )
    return next(types, str)


def _typed(path: str, kind: Any, text: str) -> Any:
    if Path in {kind, *get_args(kind)}:
        return text
    value = text.replace(",", " ").split() if get_origin(kind) in {list, tuple} else text
    try:
        return msgspec.to_builtins(msgspec.convert(value, kind, strict=False))
    except msgspec.ValidationError as error:
        raise SettingsError(f"{path}: {str(error).partition(' - at ')[0]}") from None


def _with_path(error: msgspec.ValidationError) -> str:
    """Return `broker.x: there is no such setting` for "... unknown field `x` - at `$.broker`"."""
    text, _, at = str(error).partition(" - at ")
    path = at.strip("`").removeprefix("$").strip(".")
    unknown = re.search(r"unknown field `(.*)`", text)
    if unknown:
        path, text = f"{path}.{unknown[1]}".strip("."), "there is no such setting"
    return f"{path}: {text}" if path else text
