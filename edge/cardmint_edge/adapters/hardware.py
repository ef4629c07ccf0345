"""What tells one box from another, though its disk be a copy of the other's."""

from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

_SERIALS = (
    ("serial", "sys/firmware/devicetree/base/serial-number"),
    ("uuid", "sys/class/dmi/id/product_uuid"),
)
"""A Raspberry Pi's serial number, and a PC's, which only root may read."""


def hardware_id(root: Path = Path("/")) -> str:
    """Return an identifier of this hardware, such as `mac:5e0b…`; empty where nothing tells.

    The kind stands before the colon: identifiers of different kinds say nothing about each other.
    """
    for kind, value in _known(root):
        if value:
            return f"{kind}:{sha256(value.encode()).hexdigest()[:16]}"
    return ""


def _known(root: Path) -> Iterator[tuple[str, str]]:
    for kind, path in _SERIALS:
        yield kind, _text(root / path)
    networks = root / "sys/class/net"
    built_in = sorted(
        address
        for network in (networks.iterdir() if networks.is_dir() else ())
        if (network / "device").exists() and (address := _text(network / "address"))
    )
    yield "mac", " ".join(built_in[:1])


def _text(file: Path) -> str:
    try:
        return file.read_text("utf-8", errors="replace").strip("\x00 \n").lower()
    except OSError:
        return ""
