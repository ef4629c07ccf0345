"""How a station gets its credentials by a code that a person reads out at the dashboard."""

from typing import Annotated

from msgspec import Meta

from cardmint_contracts.wire import Downward, Line, Upward


class StationCode(Upward, frozen=True):
    """The code, as it was typed: letters and digits of RFC 4648's base 32, `-` and spaces aside."""

    code: Line


class StationCredentials(Downward, frozen=True):
    """What a station needs to belong to a tenant.

    `token` is for the cloud's HTTP side. Without `broker_user` the broker's login comes another
    way; `broker_port` is 0 where the cloud does not know it. The broker is at the cloud's host.
    """

    tenant: Line
    station: Line
    token: Annotated[str, Meta(max_length=200)]
    broker_user: Line = ""
    broker_password: Line = ""
    broker_port: Annotated[int, Meta(ge=0, le=65_535)] = 0
