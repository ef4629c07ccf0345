"""Webhooks after the Standard Webhooks specification 1.0.0, and which targets are refused."""

import base64
import hashlib
import hmac
import re
from collections.abc import Iterable, Sequence
from datetime import timedelta
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)
from typing import NamedTuple
from urllib.parse import urlsplit

SECRET_PREFIX = "whsec_"  # noqa: S105 - the specification's, before each secret
PAUSES = tuple(
    timedelta(seconds=seconds)
    for seconds in (5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
)
"""Pauses before the second to the tenth attempt, the specification's: three days in all."""

GONE = 410
MAX_URL = 2000
PORTS = {"https": 443, "http": 80}
Network = IPv4Network | IPv6Network
_NAT64 = IPv6Network("64:ff9b::/96")
_NEVER: tuple[Network, ...] = (
    IPv6Network("fdaa::/16"),  # Fly's private network
    IPv6Network("3fff::/20"),  # documentation, which older versions of Python do not know
    IPv4Network("192.88.99.0/24"),  # relays of 6to4
)
_ISATAP = 0x5EFE
_HOST = re.compile(r"[A-Za-z0-9._:-]{1,253}\Z")

_Address = IPv4Address | IPv6Address


class Target(NamedTuple):
    """Where a webhook goes: what is resolved, the port, and the path with its query."""

    scheme: str
    host: str
    port: int
    path: str

    @property
    def ordinary(self) -> bool:
        """Whether it is HTTPS at its own port: nothing else is sent to a public address."""
        return (self.scheme, self.port) == ("https", PORTS["https"])


class Outcome(NamedTuple):
    """What follows from an attempt: the next event's turn, another attempt, or the end.

    `pause` is None when the event is delivered; `off` says why the webhook is switched off.
    """

    pause: timedelta | None
    off: str = ""


def secret_text(secret: bytes) -> str:
    """Return a secret as its owner gets it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


def signatures(secrets: Iterable[bytes], identifier: str, timestamp: int, body: bytes) -> str:
    """Return the header `webhook-signature`: one signature for each secret that is good."""
    signed = f"{identifier}.{timestamp}.".encode() + body
    digests = (hmac.new(secret, signed, hashlib.sha256).digest() for secret in secrets)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def outcome_of(
    status: int, failures: int, *, since: timedelta, retry_after_s: float, chance: float
) -> Outcome:
    """Return what follows from the answer to an attempt.

    `status` is 0 without an answer. `failures` counts those of this event with this one, `since`
    is the time since the first of them, and `chance`, from 0 to 1, spreads attempts by a tenth.
    """
    if 200 <= status < 300:
        return Outcome(None)
    if status == GONE:
        return Outcome(PAUSES[0], "the target said that it is gone (410)")
    if failures > len(PAUSES):
        hours = since.total_seconds() / 3600
        return Outcome(PAUSES[-1], f"{failures} attempts failed within {hours:.0f} hours")
    pause = PAUSES[failures - 1] * (1 + chance / 10)
    longest = PAUSES[-1].total_seconds()
    return Outcome(max(pause, timedelta(seconds=min(retry_after_s, longest))))


def target_of(url: str) -> Target:
    """Take the address of a webhook apart: HTTPS, or HTTP, which some networks get.

    Raises:
        ValueError: it is no such address; the message says what is wrong.
    """
    if len(url) > MAX_URL or not url.isascii() or not url.isprintable() or " " in url:
        message = f"it must have at most {MAX_URL} plain characters"
        raise ValueError(message)
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        message = "its host or port is none"
        raise ValueError(message) from None
    if parts.scheme not in PORTS:
        message = "it must begin with https://"
        raise ValueError(message)
    host = parts.hostname or ""
    if not _HOST.match(host) or "@" in parts.netloc or port == 0:
        message = "it must name a host, without a user"
        raise ValueError(message)
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return Target(parts.scheme, host, port or PORTS[parts.scheme], path)


def refusal(
    target: Target, addresses: Sequence[str], networks: Iterable[Network] = ()
) -> str | None:
    """Return why nothing may be sent to a target at these addresses; None where it may.

    Each address must be public, or in one of `networks`; HTTP and other ports than 443 are for
    those alone. An address of IPv4 within one of IPv6 (mapped, NAT64) counts as itself; tunnels
    (6to4, Teredo) and Fly's private network are not public.
    """
    networks = tuple(networks)
    for text in addresses:
        address = ip_address(text.partition("%")[0])
        if any(address in network for network in networks):
            continue
        if not _is_public(address):
            return f"{text} is in no public network, and in none of `webhook_networks`"
        if not target.ordinary:
            return "it must be https:// at port 443"
    return None if addresses else "the name has no address"


def _is_public(address: _Address) -> bool:
    if isinstance(address, IPv6Address):
        if int(address) >> 32 & 0xFDFFFFFF == _ISATAP:
            return False  # a tunnel to the address of IPv4 that ends it
        if (inner := _inner(address)) is not None:
            return _is_public(inner)
        if address.sixtofour or address.teredo or address.is_site_local:
            return False
    if any(address in network for network in _NEVER):
        return False
    return address.is_global and not (address.is_multicast or address.is_reserved)


def _inner(address: IPv6Address) -> IPv4Address | None:
    return IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address.ipv4_mapped
