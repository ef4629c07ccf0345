"""Images from stations: received in parts, checked against their SHA-256, stored, shown small."""

import asyncio
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from PIL import Image, ImageOps

from cardmint_cloud.adapters.images.intake import (
    DAMAGED,
    FORMATS,
    MAX_BYTES,
    MAX_PIXELS,
    ImageIntake,
    IncomingImage,
    OffsetMismatch,
)

SILENCE_S = 20.0
THUMBNAIL = 360
"""Longer side of a thumbnail in pixels."""


class ImageStorage(Protocol):
    """A place for images. A name is a SHA-256, or one with a suffix.

    The caller must have checked names and tenants.
    """

    def has(self, tenant: str, name: str) -> bool:
        """Whether an image is stored."""
        ...

    def read(self, tenant: str, name: str) -> bytes | None:
        """Return an image's bytes; None when it is not stored."""
        ...

    @property
    def intake(self) -> ImageIntake:
        """Storage for images that are being uploaded."""
        ...

    def keep(self, tenant: str, name: str, file: Path) -> None:
        """Store a file's bytes under a name, whole or not at all; the file may be moved."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class KeptImage:
    """The image is stored; `fresh` unless it was stored before."""

    fresh: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class RefusedImage:
    """The image was not stored: too many bytes, wrong digest, or not an image.

    `moved` is not the image's fault: the part to continue is missing or different.
    """

    reason: Literal["too-large", "digest-mismatch", "not-an-image", "too-many-pixels", "moved"]
    detail: str
    offset: int = 0


def upload_offset(store: ImageStorage, tenant: str, sha256: str) -> int | None:
    """Return how many bytes of an image have come; None when it is stored.

    Raises:
        OSError: the bucket is away.
    """
    return None if store.has(tenant, sha256) else store.intake.offset(f"{tenant}-{sha256}")


async def receive_image(
    store: ImageStorage, tenant: str, sha256: str, chunks: AsyncIterator[bytes], offset: int = 0
) -> KeptImage | RefusedImage:
    """Store an image under its SHA-256.

    `tenant` and `sha256` must have been checked. `chunks` continue after `offset` bytes that came
    before. When they break off, the bytes so far are kept for a day.

    Raises:
        TimeoutError: no chunk came for `SILENCE_S`.
        OSError: the disk or the bucket is full or away; nothing was stored.
    """
    if await asyncio.to_thread(store.has, tenant, sha256):
        return KeptImage(fresh=False)
    try:
        with store.intake.open(store, f"{tenant}-{sha256}", offset) as incoming:
            while (chunk := await _next(chunks)) is not None:
                if incoming.size + len(chunk) > MAX_BYTES:
                    return RefusedImage(reason="too-large", detail=f"more than {MAX_BYTES} bytes")
                await asyncio.to_thread(incoming.write, chunk)
            return await asyncio.to_thread(_settle, incoming, tenant, sha256, offset)
    except OffsetMismatch as moved:
        return RefusedImage(reason="moved", detail=str(moved), offset=moved.offset)


async def _next(chunks: AsyncIterator[bytes]) -> bytes | None:
    """Return the next chunk; None at the end.

    A dead connection is only noticed by its silence.
    """
    async with asyncio.timeout(SILENCE_S):
        return await anext(chunks, None)


def _settle(
    incoming: IncomingImage, tenant: str, sha256: str, offset: int
) -> KeptImage | RefusedImage:
    if incoming.sha256 != sha256:
        detail = f"the bytes that came have SHA-256 {incoming.sha256}"
        return RefusedImage(reason="moved" if offset else "digest-mismatch", detail=detail)
    match incoming.fault():
        case "too-many-pixels":
            return RefusedImage(
                reason="too-many-pixels", detail="more pixels than any camera here takes"
            )
        case "not-an-image":
            return RefusedImage(reason="not-an-image", detail="neither a JPEG nor a PNG nor a WebP")
    incoming.keep(tenant)
    return KeptImage(fresh=True)


def load_image(store: ImageStorage, tenant: str, sha256: str) -> tuple[bytes, str] | None:
    """Return an image with its media type; None when it is not stored.

    Raises:
        OSError: the disk or the bucket is away.
    """
    whole = store.read(tenant, sha256)
    return (whole, _media_type(whole)) if whole is not None else None


def load_thumbnail(store: ImageStorage, tenant: str, sha256: str) -> bytes | None:
    """Return an image's thumbnail (WebP); None when it was not made yet.

    Raises:
        OSError: the disk or the bucket is away.
    """
    return store.read(tenant, _thumbnail_name(sha256))


def make_thumbnail(store: ImageStorage, tenant: str, sha256: str) -> bytes | None:
    """Make, store and return a thumbnail; None for an image that cannot be drawn or is not stored.

    Decoding takes memory by the pixel: the caller limits how many are made at a time.

    Raises:
        OSError: the disk or the bucket is away.
    """
    whole = store.read(tenant, sha256)
    if whole is None or (made := _draw(whole)) is None:
        return None
    with store.intake.open(store) as incoming:
        incoming.write(made)
        incoming.keep(tenant, _thumbnail_name(sha256))
    return made


def _thumbnail_name(sha256: str) -> str:
    return f"{sha256}.thumbnail"


def _draw(content: bytes) -> bytes | None:
    buffer = io.BytesIO()
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            # Version 0.1 stored larger ones.
            if image.width * image.height > MAX_PIXELS:
                return None
            image.draft("RGB", (THUMBNAIL * 2, THUMBNAIL * 2))
            small = ImageOps.exif_transpose(image).convert("RGB")
            small.thumbnail((THUMBNAIL, THUMBNAIL))
            small.save(buffer, "WEBP", quality=80)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning, *DAMAGED):
        return None
    return buffer.getvalue()


def _media_type(content: bytes) -> str:
    if content.startswith(b"\x89PNG"):
        return "image/png"
    return "image/webp" if content[8:12] == b"WEBP" else "image/jpeg"
