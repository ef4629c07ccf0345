"""Images: kept whole under the digest of their bytes, or not at all."""

import io
import struct
import sys
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace
from PIL import Image

from cardmint_cloud.adapters.images.bucket import BucketStorage
from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.adapters.images.intake import MAX_BYTES
from cardmint_cloud.dashboard_app import image_store
from cardmint_cloud.images import (
    ImageStorage,
    KeptImage,
    RefusedImage,
    load_image,
    load_thumbnail,
    make_thumbnail,
    receive_image,
)
from cardmint_cloud.local.processes import ChildProcess, accepts_connections, free_port
from cardmint_cloud.settings import CloudSettings, S3Settings
from tests.cloud.kit.images import chunks, digest, picture


def bomb(width: int, height: int) -> bytes:
    """Return a tiny PNG that says it is huge."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(b""))
        + chunk(b"IEND", b"")
    )


class Secret(Struct, frozen=True):
    """What the local S3 server lets in."""

    endpoint: str
    region: str = "us-east-1"
    key: str = "left"
    secret: str = "a-secret-of-the-tests"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Secret, Path]]:
    """A real S3 server, rclone's, over a folder."""
    root, log = tmp_path_factory.mktemp("s3"), tmp_path_factory.mktemp("logs") / "rclone.log"
    port = free_port()
    access = Secret(endpoint=f"http://127.0.0.1:{port}")
    (root / "cards").mkdir()
    rclone = str(Path(sys.executable).with_name("rclone"))
    words = ["--addr", f"127.0.0.1:{port}", "--auth-key", f"{access.key},{access.secret}"]
    child = ChildProcess([rclone, "serve", "s3", str(root), *words], log)
    child.wait_until(lambda: accepts_connections(port))
    yield access, root
    child.stop()


class Kind(NamedTuple):
    """A store, and what lies in it."""

    store: ImageStorage
    names: Callable[[], list[str]]


@pytest.fixture(params=["files", pytest.param("bucket", marks=pytest.mark.integration)])
def kind(request: pytest.FixtureRequest, tmp_path: Path) -> Kind:
    root, store = tmp_path, None
    if request.param == "bucket":
        access, buckets = request.getfixturevalue("server")
        root = buckets / "cards" / str(uuid4())
        store = BucketStorage("cards", root.name, access)
    return Kind(
        store or FolderStorage(root),
        lambda: sorted(path.name for path in root.rglob("*") if path.is_file()),
    )


async def put(
    store: ImageStorage, content: bytes, sha256: str | None = None
) -> KeptImage | RefusedImage:
    return await receive_image(store, "shop", sha256 or digest(content), chunks(content))


@pytest.mark.parametrize(
    ("form", "media_type"), [("JPEG", "image/jpeg"), ("PNG", "image/png"), ("WEBP", "image/webp")]
)
async def test_an_image_is_kept_once_and_read_as_it_came(
    kind: Kind, form: str, media_type: str
) -> None:
    content = picture(form)
    assert await put(kind.store, content) == KeptImage(fresh=True)
    assert await put(kind.store, content) == KeptImage(fresh=False)
    assert load_image(kind.store, "shop", digest(content)) == (content, media_type)
    assert kind.names() == [digest(content)]
    assert not kind.store.has("other", digest(content))
    assert load_image(kind.store, "other", digest(content)) is None
    assert load_thumbnail(kind.store, "other", digest(content)) is None
    assert make_thumbnail(kind.store, "other", digest(content)) is None


async def test_a_thumbnail_is_made_once_and_is_small(kind: Kind) -> None:
    buffer = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6  # Lies on its side: the thumbnail stands upright.
    Image.effect_noise((800, 600), 80).save(buffer, "JPEG", exif=exif)
    content = buffer.getvalue()
    await put(kind.store, content)
    assert load_thumbnail(kind.store, "shop", digest(content)) is None
    first = make_thumbnail(kind.store, "shop", digest(content))
    assert first is not None
    assert len(first) < len(content) / 2
    with Image.open(io.BytesIO(first)) as small:
        assert (small.format, small.size) == ("WEBP", (270, 360))
    assert kind.names() == [digest(content), f"{digest(content)}.thumbnail"]
    assert load_thumbnail(kind.store, "shop", digest(content)) == first


def flat(width: int, height: int) -> bytes:
    """Return a small PNG of many pixels."""
    buffer = io.BytesIO()
    Image.new("L", (width, height)).save(buffer, "PNG", compress_level=9)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        picture("PNG")[:60] + bytes(10) + picture("PNG")[70:],
        picture("GIF"),
        b"\xff\xd8\xff",
        flat(2001, 2000),
        flat(7990, 8000),
        bomb(60_000, 60_000),
    ],
    ids=["damaged", "another format", "cut short", "large", "as version 0.1 took them", "a bomb"],
)
async def test_what_cannot_be_drawn_small_is_not(kind: Kind, content: bytes) -> None:
    with kind.store.intake.open(kind.store) as incoming:
        incoming.write(content)
        incoming.keep("shop")
    assert make_thumbnail(kind.store, "shop", digest(content)) is None
    assert kind.names() == [digest(content)]


@pytest.mark.parametrize(
    ("content", "sha256", "reason"),
    [
        (picture(), "0" * 64, "digest-mismatch"),
        (b"", None, "not-an-image"),
        (b"<svg onload=alert(1)>", None, "not-an-image"),
        (picture("GIF"), None, "not-an-image"),
        (picture("PNG")[:-30], None, "not-an-image"),
        (flat(7990, 8000), None, "too-many-pixels"),
        (bomb(9000, 9000), None, "too-many-pixels"),
        (bomb(10_000, 10_000), None, "too-many-pixels"),
        (bomb(60_000, 60_000), None, "too-many-pixels"),
        (b"\xff" * (MAX_BYTES + 1), None, "too-large"),
    ],
)
async def test_what_is_refused_leaves_nothing_behind(
    kind: Kind, content: bytes, sha256: str | None, reason: str
) -> None:
    answer = await put(kind.store, content, sha256)
    assert isinstance(answer, RefusedImage)
    assert answer.reason == reason
    assert kind.names() == []


async def test_a_sender_that_breaks_off_may_go_on(kind: Kind) -> None:
    async def broken() -> AsyncIterator[bytes]:
        yield picture()[:100]
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await receive_image(kind.store, "shop", digest(picture()), broken())
    assert not kind.store.has("shop", digest(picture()))
    assert await receive_image(
        kind.store, "shop", digest(picture()), chunks(picture()[100:]), 100
    ) == KeptImage(fresh=True)
    assert kind.names() == [digest(picture())]


@pytest.mark.integration
async def test_a_bucket_that_is_away_or_refuses_us_is_an_error(server: tuple[Secret, Path]) -> None:
    access, root = server
    content = picture()
    for wrong in (
        Secret(endpoint=f"http://127.0.0.1:{free_port()}"),
        replace(access, secret="another"),
    ):
        store = BucketStorage("cards", "refused", wrong)
        with pytest.raises(OSError, match="the bucket of images"):
            await put(store, content)
        with pytest.raises(OSError, match="the bucket of images"):
            store.read("shop", digest(content))
        with (
            store.intake.open(store) as incoming,
            pytest.raises(OSError, match="the bucket of images"),
        ):
            incoming.keep("shop")
    assert not (root / "cards" / "refused").exists()


def test_the_settings_say_where_images_are(tmp_path: Path) -> None:
    assert isinstance(
        image_store(CloudSettings(images="s3://cards/shop", s3=S3Settings(endpoint="http://x"))),
        BucketStorage,
    )
    folder = image_store(CloudSettings(images=str(tmp_path)))
    assert isinstance(folder, FolderStorage)
    assert folder.root == tmp_path


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.binary(max_size=200) | st.builds(lambda cut: picture()[:cut], st.integers(0, 600))
)
async def test_any_bytes_are_kept_or_refused(tmp_path: Path, content: bytes) -> None:
    folder = FolderStorage(tmp_path)
    answer = await put(folder, content)
    assert isinstance(answer, KeptImage) == folder.has("shop", digest(content))
