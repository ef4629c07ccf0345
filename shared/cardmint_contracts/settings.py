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
SECRET = {"shown": "never"}
"""`extra` of a key whose value is never printed."""

Secret = Annotated[str, Meta(extra=SECRET)]
Address = Annotated[str, Meta(extra={"shown": "without password"})]
"""An address that may carry a password, which is not printed."""


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
    password: Secret = ""
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
    values = _copied(table)
    for variable, text in environment.items():
        if variable.startswith(prefix):
            _override(as_type, values, variable, prefix, text)
    return _converted(as_type, values, folder)


def settings_faults(
    as_type: type[Struct],
    table: Mapping[str, Any],
    environment: Mapping[str, str],
    *,
    prefix: str,
    folder: Path,
) -> list[str]:
    """Return every fault that `read_settings` would stop at, one line each.

    A wrong value is taken out before the next one is looked for. What is wrong with a table as a
    whole, such as a key that is missing, ends the search.
    """
    values, faults = _copied(table), []
    for variable, text in environment.items():
        if variable.startswith(prefix):
            try:
                _override(as_type, values, variable, prefix, text)
            except SettingsError as error:
                faults.append(str(error))
    while True:
        try:
            _converted(as_type, values, folder)
        except SettingsError as error:
            faults.append(str(error))
            missing = "missing required field" in faults[-1]
            if missing or not _take_out(values, faults[-1].partition(":")[0].split(".")):
                return faults
        else:
            return faults


def shown_settings(settings: Struct, path: str = "") -> Iterator[tuple[str, str]]:
    """Yield each key's path and its value as text, without secrets: `(set)` or `(empty)`."""
    for field in msgspec.structs.fields(settings):
        value, name = getattr(settings, field.name), f"{path}{field.name}"
        if isinstance(value, Struct):
            yield from shown_settings(value, f"{name}.")
            continue
        how = _shown_how(field.type)
        if how == "never":
            yield name, "(set)" if value else "(empty)"
        else:
            text = msgspec.json.encode(value, enc_hook=str).decode()
            yield name, without_password(text) if how else text


def without_password(address: str) -> str:
    """Return the address of a server with `***` in place of passwords."""
    hidden = re.sub(r"(//[^:@/?]*):.*@", r"\1:***@", address)
    return re.sub(r"(?i)(password\s*=\s*)('(?:[^'\\]|\\.)*'|[^&\s\"]+)", r"\1***", hidden)


def _shown_how(kind: Any) -> str:
    extras = (meta.extra for meta in getattr(kind, "__metadata__", ()) if isinstance(meta, Meta))
    return next((str(extra["shown"]) for extra in extras if extra), "")


def _copied(table: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: dict(value) if isinstance(value, dict) else value for name, value in table.items()
    }


def _converted(as_type: type[S], values: dict[str, Any], folder: Path) -> S:
    def to_path(kind: type, value: object) -> object:
        if kind is Path and isinstance(value, str) and value:
            return folder / value
        raise ValueError("expected a path")

    try:
        return msgspec.convert(values, as_type, dec_hook=to_path)
    except msgspec.ValidationError as error:
        raise SettingsError(_with_path(error)) from None


def _take_out(values: dict[str, Any], path: list[str]) -> bool:
    """Remove the value at a path; return whether it was there."""
    *tables, key = path
    for name in tables:
        inner = values.get(name)
        if not isinstance(inner, dict):
            return False
        values = inner
    return values.pop(key.partition("[")[0], None) is not None


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
