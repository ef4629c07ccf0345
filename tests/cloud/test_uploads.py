"""Uploads that break off.

Over real sockets, from a station's own client, and wherever they broke off before.
"""

import asyncio
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cardmint_cloud import images
from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.images.intake import MOST_PARTS, PART_S
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.images import KeptImage, RefusedImage, receive_image, upload_offset
from cardmint_contracts.cards import Image
from cardmint_edge.adapters.cloud_http import CloudHttp
from cardmint_edge.domain.scan_record import WaitingImage
from cardmint_edge.errors import Park, Retry
from tests.cloud.kit.cards import accepted, send
from tests.cloud.kit.images import chunks, digest, picture


class Broken(ConnectionError):
    """A sender that went away."""


async def breaking(content: bytes) -> AsyncIterator[bytes]:
    async for chunk in chunks(content, 100):
        yield chunk
    raise Broken


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    ends=st.lists(st.integers(0, len(picture())), max_size=6),
    sha256=st.sampled_from([digest(picture()), "0" * 64]),
)
async def test_however_often_it_breaks_off_it_is_kept_whole(
    tmp_path: Path, ends: list[int], sha256: str
) -> None:
    folder, content = FolderStorage(tmp_path / str(time.monotonic_ns())), picture()
    for end in ends:
        before = upload_offset(folder, "shop", sha256)
        assert before is not None
        with pytest.raises(Broken):
            await receive_image(folder, "shop", sha256, breaking(content[before:end]), before)
        assert upload_offset(folder, "shop", sha256) == max(before, end)
    offset = upload_offset(folder, "shop", sha256)
    assert offset is not None
    answer = await receive_image(folder, "shop", sha256, chunks(content[offset:]), offset)
    assert list((folder.root / "incoming").iterdir()) == []
    if sha256 != digest(content):
        assert isinstance(answer, RefusedImage)
        assert answer.reason == ("moved" if offset else "digest-mismatch")
        return
    assert answer == KeptImage(fresh=True)
    assert (folder.read("shop", sha256), upload_offset(folder, "shop", sha256)) == (content, None)


async def test_another_offset_is_told_and_spoils_nothing(tmp_path: Path) -> None:
    folder, content = FolderStorage(tmp_path), picture()
    with pytest.raises(Broken):
        await receive_image(folder, "shop", digest(content), breaking(content[:300]))
    for wrong in (299, 301):
        answer = await receive_image(
            folder, "shop", digest(content), chunks(content[wrong:]), wrong
        )
        assert isinstance(answer, RefusedImage)
        assert (answer.reason, answer.offset) == ("moved", 300)
    answer = await receive_image(folder, "other", digest(content), chunks(content[300:]), 300)
    assert isinstance(answer, RefusedImage)
    assert (answer.reason, answer.offset) == ("moved", 0)
    assert await receive_image(
        folder, "shop", digest(content), chunks(content[300:]), 300
    ) == KeptImage(fresh=True)


async def test_a_request_that_came_less_far_leaves_the_longer_part(tmp_path: Path) -> None:
    folder, content = FolderStorage(tmp_path), picture()
    for end in (500, 200):
        with pytest.raises(Broken):
            await receive_image(folder, "shop", digest(content), breaking(content[:end]))
    assert upload_offset(folder, "shop", digest(content)) == 500


def test_what_broke_off_is_forgotten_after_a_day_or_behind_newer_ones(tmp_path: Path) -> None:
    folder = tmp_path / "incoming"
    folder.mkdir()
    now = time.time()
    for number in range(MOST_PARTS + 3):
        (folder / f"{number}.part").write_bytes(b"x")
        os.utime(folder / f"{number}.part", (now - number, now - number))
    (folder / "tmpkilled").write_bytes(b"x")
    intake = FolderStorage(tmp_path).intake
    intake.sweep(now)
    assert len(list(folder.iterdir())) == MOST_PARTS + 1
    assert intake.offset(f"{MOST_PARTS}") == 0
    intake.sweep(now + PART_S - 10)
    assert {path.name for path in folder.iterdir()} == {f"{n}.part" for n in range(11)} | {
        "tmpkilled"
    }
    intake.sweep(now + PART_S + 10)
    assert list(folder.iterdir()) == []


async def test_silence_is_taken_for_a_line_that_went_dead(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(images, "SILENCE_S", 0.05)
    folder, content = FolderStorage(tmp_path), picture()

    async def silent() -> AsyncIterator[bytes]:
        yield content[:100]
        await asyncio.sleep(60)
        yield content[100:]

    with pytest.raises(TimeoutError):
        await receive_image(folder, "shop", digest(content), silent())
    assert upload_offset(folder, "shop", digest(content)) == 100


class Counted(httpx.HTTPTransport):
    """Notes the method and the size of what is sent."""

    def __init__(self, sent: list[tuple[str, int]]) -> None:
        super().__init__()
        self.sent = sent

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        self.sent.append((request.method, int(request.headers.get("content-length", 0))))
        return super().handle_request(request)


@pytest.mark.integration
async def test_a_station_goes_on_where_its_upload_broke_off(
    pool: Pool, site: httpx.AsyncClient, tmp_path: Path
) -> None:
    content, spoilt = picture("PNG") + os.urandom(1 << 20), digest(b"spoilt")
    sha256 = digest(content)
    scans = [
        accepted(image=Image(sha256=name, bytes=9, width=9, height=9))
        for name in (sha256, digest(b"x"), spoilt)
    ]
    await send(pool, *scans)
    image, small, broken = (
        WaitingImage(scan.image.sha256, str(scan.scan)) for scan in scans if scan.image
    )
    path = f"/api/v1/shop/images/{sha256}"
    port = site.base_url.port
    sent: list[tuple[str, int]] = []

    station = CloudHttp(url=f"http://127.0.0.1:{port}", tenant="shop", transport=Counted(sent))
    _, writer = await asyncio.open_connection("127.0.0.1", port)
    head = f"PUT {path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: {len(content)}\r\n\r\n"
    writer.write(head.encode() + content[:700_000])
    await writer.drain()
    writer.close()
    async with asyncio.timeout(20):
        while (await site.head(path)).headers["upload-offset"] == "0":  # noqa: ASYNC110 - the server's doing
            await asyncio.sleep(0.02)
    answer = await site.head(path)
    come = int(answer.headers["upload-offset"])
    assert (answer.status_code, answer.headers["upload-complete"]) == (204, "?0")
    assert 0 < come <= 700_000
    refused = await site.patch(path, content=b"x", headers={"upload-offset": "5"})
    assert (refused.status_code, refused.headers["upload-offset"]) == (409, str(come))
    assert (await site.patch(path, content=b"x")).status_code == 400

    await asyncio.to_thread(station.put, image, content)
    assert sent == [("HEAD", 0), ("PATCH", len(content) - come)]
    assert (await site.get(f"/images/shop/{sha256}")).content == content
    assert (await site.head(path)).headers["upload-complete"] == "?1"
    await asyncio.to_thread(station.put, image, content)
    assert sent[2:] == [("HEAD", 0)], "what is there is not sent again"

    with pytest.raises(Park, match="422"):
        await asyncio.to_thread(station.put, small, b"x")
    (tmp_path / "images/incoming" / f"shop-{spoilt}.part").write_bytes(b"???")
    with pytest.raises(Retry, match="409"):
        await asyncio.to_thread(station.put, broken, b"spoilt")
    assert (await site.head(f"/api/v1/shop/images/{spoilt}")).headers["upload-offset"] == "0"
    station.close()
