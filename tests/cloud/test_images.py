"""Images: kept whole under the digest of their bytes, or not at all."""

import hashlib
import io
import struct
import zlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cardmint_cloud.adapters.image_files import MAX_BYTES, Folder
from cardmint_cloud.images import Kept, Refusal, receive


def picture(kind: str = "JPEG") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (63, 88), (15, 107, 84)).save(buffer, kind)
    return buffer.getvalue()


def bomb(width: int, height: int) -> bytes:
    """Return a tiny PNG that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


async def chunks(content: bytes, size: int = 1000) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


async def put(folder: Folder, content: bytes, sha256: str | None = None) -> Kept | Refusal:
    return await receive(folder, "shop", sha256 or digest(content), chunks(content))


def files(folder: Folder) -> list[Path]:
    return [path for path in folder.root.rglob("*") if path.is_file()]


@pytest.mark.parametrize(("kind", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")])
async def test_an_image_is_kept_once_and_read_as_it_came(tmp_path: Path, kind: str, media_type: str) -> None:
    folder = Folder(tmp_path)
    content = picture(kind)
    assert await put(folder, content) == Kept(fresh=True)
    assert await put(folder, content) == Kept(fresh=False)
    assert folder.read("shop", digest(content)) == (content, media_type)
    assert [path.name for path in files(folder)] == [digest(content)]
    assert not folder.has("other", digest(content))
    assert folder.read("other", digest(content)) is None


@pytest.mark.parametrize(
    ("content", "sha256", "reason"),
    [
        (picture(), "0" * 64, "digest-mismatch"),
        (b"", None, "not-an-image"),
        (b"<svg onload=alert(1)>", None, "not-an-image"),
        (picture("GIF"), None, "not-an-image"),
        (picture("PNG")[:-30], None, "not-an-image"),
        (bomb(9000, 9000), None, "too-many-pixels"),
        (bomb(10_000, 10_000), None, "too-many-pixels"),
        (bomb(60_000, 60_000), None, "too-many-pixels"),
        (b"\xff" * (MAX_BYTES + 1), None, "too-large"),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(
    tmp_path: Path, content: bytes, sha256: str | None, reason: str
) -> None:
    folder = Folder(tmp_path)
    answer = await put(folder, content, sha256)
    assert isinstance(answer, Refusal)
    assert answer.reason == reason
    assert files(folder) == []


async def test_a_sender_that_breaks_off_leaves_nothing_behind(tmp_path: Path) -> None:
    folder = Folder(tmp_path)

    async def broken() -> AsyncIterator[bytes]:
        yield picture()[:100]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await receive(folder, "shop", digest(picture()), broken())
    assert files(folder) == []


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=200) | st.builds(lambda cut: picture()[:cut], st.integers(0, 600)))
async def test_any_bytes_are_kept_or_refused(tmp_path: Path, content: bytes) -> None:
    folder = Folder(tmp_path)
    answer = await put(folder, content)
    assert isinstance(answer, Kept) == folder.has("shop", digest(content))
