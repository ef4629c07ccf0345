"""The address of a database, read once and given to each client library as it takes it.

asyncpg, SQLAlchemy, psycopg and pg_dump understand different parameters and spell addresses
differently. libpq's own parser reads them here; what one of the libraries would ignore or choke on
is refused by name.
"""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self
from urllib.parse import urlencode

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from sqlalchemy.engine import URL

from cardmint_cloud.errors import StopService

FORM = "postgresql://user:password@host:port/name"
_DRIVER = re.compile(r"^(postgres(?:ql)?)\+[a-z0-9_]+(?=://)")
_UNKNOWN = re.compile(r'invalid (?:URI query parameter|connection option):? "([^"]*)"')
_SHARED = frozenset(
    {
        *("host", "port", "user", "password", "passfile", "dbname"),
        *("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl"),
        *("ssl_min_protocol_version", "ssl_max_protocol_version"),
        *("target_session_attrs", "application_name", "options", "connect_timeout"),
    }
)
"""Parameters that all libraries understand."""

_WITHOUT_EFFECT: Mapping[str, frozenset[str]] = {
    "channel_binding": frozenset({"prefer", "disable"}),
    "client_encoding": frozenset({"utf8", "utf-8", "unicode", "auto"}),
    "gssencmode": frozenset({"prefer", "disable"}),
    "sslcompression": frozenset({"0"}),
}
"""Parameters of libpq with the values that change nothing here; others are refused."""

_HINTS = {
    "channel_binding": "remove it: asyncpg has none, and `sslmode=verify-full` guards, too",
    "pgbouncer": "name the address past the pooler in `database_direct`: that says it",
    "prepared_statement_cache_size": "name the address past the pooler in `database_direct`",
    "ssl": "write sslmode=require",
    "schema": "write options=-csearch_path=NAME",
    "search_path": "write options=-csearch_path=NAME",
    "pool_timeout": "set `database_connections` instead",
    "connection_limit": "set `database_connections` instead",
}


@dataclass(frozen=True, slots=True)
class DatabaseAddress:
    """An address as libpq's parameters, by name; those without a meaning here are left out."""

    parts: Mapping[str, str] = field(repr=False)

    @classmethod
    def read(cls, text: str, setting: str = "database") -> Self:
        """Read an address: a `postgresql://` URL, also with a driver's name, or libpq's key=value.

        `setting` is its name in messages, which never show the address.

        Raises:
            StopService: it is none, or has a parameter that is not understood; the message names
                it.
        """
        try:
            found = conninfo_to_dict(_DRIVER.sub(r"\1", text.strip()))
        except psycopg.ProgrammingError as error:
            unknown = _UNKNOWN.search(str(error))
            if unknown is None:
                raise StopService(f"{setting}: not an address of the form {FORM}") from None
            raise _not_understood(setting, unknown[1]) from None
        parts = {name: str(value) for name, value in found.items() if value not in {None, ""}}
        if not parts:
            raise StopService(f"{setting}: is empty; write an address of the form {FORM}")
        for name, value in list(parts.items()):
            if value.lower() in _WITHOUT_EFFECT.get(name, ()):
                del parts[name]
            elif name not in _SHARED:
                raise _not_understood(setting, name)
        for name in ("port", "connect_timeout"):
            if not re.fullmatch(r"[0-9]{0,5}(,[0-9]{0,5})*", parts.get(name, "")):
                raise StopService(f"{setting}: the {name} {parts[name]!r} is no number")
        return cls(parts)

    @property
    def libpq(self) -> str:
        """The address for psycopg, with the password."""
        return make_conninfo(**self.parts)

    @property
    def libpq_without_password(self) -> str:
        """The address for a command line; the password goes into PGPASSWORD."""
        return make_conninfo(**{k: v for k, v in self.parts.items() if k != "password"})

    @property
    def password(self) -> str:
        """The password; empty for none."""
        return self.parts.get("password", "")

    @property
    def user(self) -> str:
        """The user; empty for none."""
        return self.parts.get("user", "")

    @property
    def asyncpg(self) -> dict[str, Any]:
        """The arguments of `asyncpg.connect` and `asyncpg.create_pool`."""
        parts = dict(self.parts)
        arguments: dict[str, Any] = {}
        if (seconds := int(parts.pop("connect_timeout", "0"))) > 0:
            arguments["timeout"] = seconds
        if parts.get("sslrootcert") == "system":
            del parts["sslrootcert"]
            parts.pop("sslmode", None)
            arguments["ssl"] = ssl.create_default_context()
        return {"dsn": f"postgresql://?{urlencode(parts)}", **arguments}

    @property
    def url(self) -> URL:
        """What SQLAlchemy names the database by; it does not connect by it."""
        port = self.parts.get("port", "")
        return URL.create(
            "postgresql",
            username=self.user or None,
            password=self.password or None,
            host=self.parts.get("host"),
            port=int(port) if port.isdecimal() else None,
            database=self.parts.get("dbname"),
        )

    def __str__(self) -> str:
        """Return the address for people: with a hidden password, without parameters."""
        return self.url.render_as_string()


def _not_understood(setting: str, name: str) -> StopService:
    hint = f"; {_HINTS.get(name, 'remove it from the address')}"
    return StopService(f"{setting}: the parameter {name} is not understood{hint}")
