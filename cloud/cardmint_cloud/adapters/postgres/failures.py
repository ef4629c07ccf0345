"""One-line explanations of why a database cannot be used, and what to do."""

import ssl
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncEngine

from cardmint_cloud.errors import CloudError, RetryLater, StopService


@dataclass(frozen=True, kw_only=True, slots=True)
class _Explanation:
    """What is said about errors whose SQLSTATE begins with `code` and whose text has `words`.

    `said` may name `reason`, `user` and `name`, the database's. It ends the program unless it
    `passes`.
    """

    code: str
    said: str
    words: str = ""
    passes: bool = False


_EXPLANATIONS = (
    _Explanation(
        code="28",
        words="no encryption",
        said="refuses a connection without TLS; add ?sslmode=require, or ?sslmode=verify-full, to"
        " the address",
    ),
    _Explanation(
        code="28",
        said="refuses this user or password; check `database` in the settings",
    ),
    _Explanation(
        code="3D000",
        said="there is no such database; create it with `createdb`, then `cardmint-cloud migrate`",
    ),
    _Explanation(
        code="42501",
        said="{user} lacks a right ({reason}); nothing was changed; let it own the database"
        ' (ALTER DATABASE "{name}" OWNER TO "{user}"), or name the owner in `database_owner`',
    ),
    _Explanation(
        code="42",
        said="refused a statement ({reason}); nothing was changed; check the rights of this user,"
        " and report anything else as a fault",
    ),
    _Explanation(
        code="53300",
        passes=True,
        said="has no connection left for {user} ({reason}); allow it more, or lower"
        " `database_connections`, which each worker and each dashboard opens at most",
    ),
    _Explanation(
        code="25006",
        passes=True,
        said="takes no changes now ({reason}); it is a standby, or is about to be one",
    ),
)
"""The first that fits is said."""


def explain_failure(engine: AsyncEngine, error: Exception) -> CloudError:
    """Return a failed connection or migration as an error of one line that says what to do."""
    where, cause = named(engine), getattr(error, "orig", None) or error
    code = getattr(cause, "sqlstate", None) or ""
    reason = str(error).splitlines()[0] if str(error) else type(error).__name__
    for one in _EXPLANATIONS:
        if code.startswith(one.code) and one.words in reason:
            said = one.said.format(
                reason=reason,
                user=engine.url.username or "this user",
                name=engine.url.database or "NAME",
            )
            return (RetryLater if one.passes else StopService)(f"database {where}: {said}")
    if isinstance(cause, ssl.SSLError):
        return StopService(
            f"database {where}: its certificate is not trusted ({reason}); name the authority that"
            " issued it: ?sslmode=verify-full&sslrootcert=FILE, or sslrootcert=system"
        )
    return RetryLater(f"database {where}: cannot be reached ({reason}); is Postgres running there?")


def named(engine: AsyncEngine) -> str:
    """Return an engine's address for people: with a hidden password, without parameters."""
    return engine.url.set(drivername="postgresql").render_as_string(hide_password=True)
