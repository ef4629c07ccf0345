"""Browsers that an account signed in by before: they are known again by a cookie each account.

A cookie names account, browser and time, sealed by the master key; nothing of it is in the
database. It is no way in: it only says that its tries are not counted with those of strangers.
"""

import base64
import binascii
import secrets
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from uuid import UUID

from cardmint_cloud.adapters.sealing import MasterKeys

LIFE = timedelta(days=180)
PREFIX = "browser-"
_ID_BYTES = 16


class KnownBrowsers:
    """Makes and reads the cookies of one tenant."""

    def __init__(self, tenant: str, masters: MasterKeys) -> None:
        self._place, self._masters = f"{tenant}/browser", masters

    def cookie(self, account: UUID, now: datetime) -> tuple[str, str]:
        """Return name and value of the cookie of a browser that just signed in."""
        told = account.bytes + secrets.token_bytes(_ID_BYTES) + int(now.timestamp()).to_bytes(8)
        sealed = self._masters.seal(told, self._place)
        return cookie_name(account), base64.urlsafe_b64encode(sealed).decode()

    def known(self, account: UUID, cookies: Mapping[str, str], now: datetime) -> str:
        """Return which browser of an account sends these cookies; empty for a stranger."""
        try:
            value = cookies.get(cookie_name(account), "")
            sealed = base64.b64decode(value, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            return ""
        told = self._masters.open(sealed, self._place) or b""
        owner, browser, made = told[:_ID_BYTES], told[_ID_BYTES:-8], told[-8:]
        if owner != account.bytes:
            return ""
        age = now - datetime.fromtimestamp(int.from_bytes(made), tz=UTC)
        return browser.hex() if age <= LIFE else ""


def cookie_name(account: UUID) -> str:
    """Return the name of the cookie by which an account's browser is known."""
    return PREFIX + account.hex[:_ID_BYTES]
