"""Small images, their digests, and how they are sent."""

import hashlib
import io
from collections.abc import AsyncIterator

from PIL import Image


def picture(kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (63, 88), (15, 107, 84)).save(buffer, kind)
    return buffer.getvalue()


async def chunks(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
