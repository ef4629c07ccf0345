"""The address by which phones of the local network reach this machine."""

import ipaddress
import socket

_TEST_NET = ("192.0.2.1", 9)
"""An address of no machine (RFC 5737). Asking for the way to it sends nothing."""


def lan_address(host: str) -> str:
    """Return the address of a page that is served on `host`; empty if only this machine sees it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "" if host == "localhost" else host
    if address.is_loopback:
        return ""
    if not address.is_unspecified:
        return f"[{host}]" if address.version == 6 else host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as way:
        try:
            way.connect(_TEST_NET)
        except OSError:  # no network: the name is known to whatever finds it by mDNS
            return f"{socket.gethostname()}.local"
        return str(way.getsockname()[0])
