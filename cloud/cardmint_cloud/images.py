"""An image's bytes from a station: taken as they come, checked against their name, kept for good."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Literal

from cardmint_cloud.adapters.image_files import MAX_BYTES, Folder


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """The image is here; `fresh` unless it was before."""

    fresh: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """The image was not kept: too many bytes, other bytes than its name says, or no image."""

    reason: Literal["too-large", "digest-mismatch", "not-an-image", "too-many-pixels"]
    detail: str


async def receive(folder: Folder, tenant: str, sha256: str, chunks: AsyncIterator[bytes]) -> Kept | Refusal:
    """Keep an image under its SHA-256. `tenant` and `sha256` must have been checked to be a name and a digest.

    Raises:
        OSError: the disk is full or away; nothing was kept.
    """
    if await asyncio.to_thread(folder.has, tenant, sha256):
        return Kept(fresh=False)
    with folder.incoming() as incoming:
        async for chunk in chunks:
            if incoming.size + len(chunk) > MAX_BYTES:
                return Refusal(reason="too-large", detail=f"more than {MAX_BYTES} bytes")
            await asyncio.to_thread(incoming.write, chunk)
        if incoming.sha256 != sha256:
            return Refusal(reason="digest-mismatch", detail=f"the bytes that came have SHA-256 {incoming.sha256}")
        match await asyncio.to_thread(incoming.fault):
            case "too-many-pixels":
                return Refusal(reason="too-many-pixels", detail="more pixels than any camera here takes")
            case "not-an-image":
                return Refusal(reason="not-an-image", detail="neither a JPEG nor a PNG nor a WebP")
        await asyncio.to_thread(incoming.keep, tenant)
        return Kept(fresh=True)
