"""Stations get their credentials by a code: an admin reads it out, and the station trades it once.

The credentials are a token for the HTTP side, and a login at the broker where its users are kept
beside the dashboard (`cardmint-cloud up`).
"""

import asyncio
import base64
import re
import secrets
from datetime import datetime, timedelta
from uuid import UUID

from cardmint_cloud.accounts import Accounts, digest_of
from cardmint_cloud.adapters.postgres import station_codes as rows
from cardmint_cloud.audit import Action
from cardmint_cloud.domain.permissions import Scope
from cardmint_cloud.errors import Conflict
from cardmint_cloud.local.broker_users import BrokerUsers
from cardmint_contracts.access import user_name
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.station_codes import StationCredentials

CODE_LIFE = timedelta(minutes=15)
CODE_BYTES = 10
"""80 bits, and 15 minutes at 60 tries a minute: nobody guesses one."""


class StationCodes:
    """The station codes of one tenant."""

    def __init__(self, accounts: Accounts, users: BrokerUsers | None, broker_port: int) -> None:
        """Take the broker's users, where they are kept here, and the port for stations."""
        self._accounts, self._users, self._broker_port = accounts, users, broker_port
        self._database, self._tenant = accounts.database, accounts.tenant

    async def make(self, station: str, *, by: UUID | str, now: datetime) -> str:
        """Return a new code for a station; an earlier one is gone.

        Raises:
            Conflict: no station can have that name.
        """
        try:
            user_name(self._tenant, station)
        except BadTopic as error:
            raise Conflict(f"That name cannot be a station's: {error}.") from None
        code = base64.b32encode(secrets.token_bytes(CODE_BYTES)).decode()
        async with self._database.transaction() as connection:
            await rows.remove_old(connection, self._tenant, station, now)
            await rows.add(connection, self._tenant, _digest(code), station, now + CODE_LIFE)
            await self._accounts.audit.add(
                connection, Action.STATION_CODE_MADE, by=by, now=now, station=station
            )
        return "-".join(code[at : at + 4] for at in range(0, len(code), 4))

    async def take(self, code: str, now: datetime) -> StationCredentials | None:
        """Trade a code for credentials; earlier ones of that station end. None for a wrong code."""
        station = await rows.take(self._database, self._tenant, _digest(code), now)
        if station is None:
            return None
        by = f"station {station}"
        token = await self._accounts.add_token(by, Scope.STATION, now, by=by)
        user = password = ""
        if self._users is not None:
            user, password = await asyncio.to_thread(self._users.add_station, self._tenant, station)
        return StationCredentials(
            tenant=self._tenant,
            station=station,
            token=token,
            broker_user=user,
            broker_password=password,
            broker_port=self._broker_port,
        )


def _digest(code: str) -> bytes:
    return digest_of(re.sub(r"[\s-]", "", code).upper())
