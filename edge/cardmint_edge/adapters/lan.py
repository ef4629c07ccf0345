"""Addresses and ports at which others reach this machine."""

import ipaddress
import socket

_TEST_NETS = {4: ("192.0.2.1", 9), 6: ("2001:db8::1", 9)}
"""Addresses of no machine (RFC 5737, 3849). Asking for the way to them sends nothing."""


def lan_address(host: str) -> str:
    """Return the address of a page that is served on `host`; empty if only this machine sees it."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return "" if host == "localhost" else host
    if address.is_loopback:
        return ""
    if not address.is_unspecified:
        return _in_address(host)
    family = socket.AF_INET6 if address.version == 6 else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as way:
            way.connect(_TEST_NETS[address.version])
            return _in_address(str(way.getsockname()[0]))
    except OSError:  # no network: whatever finds the machine by mDNS knows its name
        return f"{socket.gethostname()}.local"


def is_free(host: str, port: int) -> bool:
    """Return whether nothing else listens at a port; 0 is always free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        socket.create_server((host, port), family=family).close()
    except OSError:
        return False
    return True


def _in_address(host: str) -> str:
    return f"[{host}]" if ":" in host else host
