"""The broker's access rules as mosquitto reads them (`acl_file`)."""

from collections.abc import Iterable, Iterator

from cardmint_contracts import access, topics
from cardmint_contracts.errors import BadTopic

_HEAD = "# Written by `cardmint-cloud broker-rules`. A user who is not named here may do nothing."


def mosquitto_rules(*, stations: Iterable[str], readers: Iterable[str], cloud: str) -> str:
    """Return the rules of all users as a file. Stations and readers are named `tenant/client`.

    Raises:
        BadTopic: a user has no valid name, or two have the same.
    """
    rights = {topics.name(cloud): access.cloud_rights()}
    named = [
        *((user, access.station_rights(*_parts(user))) for user in stations),
        *((user, access.reader_rights(*_parts(user))) for user in readers),
    ]
    for user, what in named:
        if user in rights:
            message = f"{user!r} is named twice; give each station and each reader its own name"
            raise BadTopic(message)
        rights[user] = what
    return "\n".join([_HEAD, *(line for user in rights for line in _lines(user, rights[user]))])


def _parts(user: str) -> tuple[str, str]:
    """Take a user name apart into tenant and client, and check both."""
    tenant, slash, client = user.partition("/")
    if not slash:
        message = f"{user!r} names no tenant; write TENANT/{user}"
        raise BadTopic(message)
    access.user_name(tenant, client)
    return tenant, client


def _lines(user: str, rights: access.Rights) -> Iterator[str]:
    yield ""
    yield f"user {user}"
    yield from (f"topic write {topic}" for topic in rights.publish)
    yield from (f"topic read {topic}" for topic in rights.read)
