"""Opaque references by which the event log names people, and the names that are shown for them.

The log is kept whole, so a person's name must not be in it: with the account's name, which an
erasure replaces, the reference no longer says who it was.
"""

import re
from collections.abc import Mapping
from uuid import UUID

_REFERENCE = re.compile(r"person-[0-9a-f]{32}")
UNKNOWN = "somebody"
"""What is shown for a reference of no account."""


def reference_of(account: UUID) -> str:
    """Return the reference of an account's person, which can stand in a topic, too."""
    return f"person-{account.hex}"


def is_reference(by: str) -> bool:
    """Return whether a text is the reference of a person."""
    return bool(_REFERENCE.fullmatch(by))


def with_names(text: str, names: Mapping[str, str]) -> str:
    """Return a text with names in place of the references in it."""
    return _REFERENCE.sub(lambda found: names.get(found[0], UNKNOWN), text)
