"""Targets of files: images, packs, models, exports, the index of artifacts."""

import asyncio
import gzip
import hashlib
import io
import zipfile
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import cv2
import msgspec

from cardmint_cloud.adapters.images.folder import FolderStorage
from cardmint_cloud.images import KeptImage, make_thumbnail, receive_image
from cardmint_contracts.cards import Decision, ScanDefaults
from cardmint_contracts.control import Manifest
from cardmint_edge.adapters.artifacts import ArtifactStore
from cardmint_edge.adapters.decode import Unreadable, decode_image, read_image
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.catalogue import build
from cardmint_edge.domain.delivery.batches import StoredEvent
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import EdgeError, Park, Retry, Stop
from cardmint_edge.outbox_transfer import FORMAT, OutboxExport, read
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.scan import as_json, scan
from cardmint_lab.fictional.catalogue_files import issue
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.images import chunks, digest
from tests.fuzz.loops import Loop
from tests.fuzz.target import Run, Target

SIZE = (48, 64)


def image_seeds() -> list[bytes]:
    """Return one image of each format, small, and one with EXIF data."""
    import pillow_heif
    from PIL import Image

    found = []
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        buffer = io.BytesIO()
        Image.new("RGB", SIZE, (15, 107, 84)).save(buffer, kind)
        found.append(buffer.getvalue())
    turned, exif = io.BytesIO(), Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", SIZE).save(turned, "JPEG", exif=exif)
    for mode in ("P", "L", "RGBA", "I;16", "1"):
        buffer = io.BytesIO()
        Image.new(mode, SIZE).save(buffer, "PNG")
        found.append(buffer.getvalue())
    heic = io.BytesIO()
    pillow_heif.from_pillow(Image.new("RGB", (64, 64), (15, 107, 84))).save(heic)
    return [*found, turned.getvalue(), heic.getvalue()]


@contextmanager
def open_image(_: Path) -> Iterator[Run]:
    """Decode an image file as the station does."""

    def run(data: bytes) -> None:
        frame = decode_image(data)
        assert frame.ndim == 3
        assert frame.shape[2] == 3

    yield run


@contextmanager
def open_uploads(folder: Path) -> Iterator[Run]:
    """Take an upload, and show its thumbnail, as the cloud does."""
    with Loop() as loop:

        async def upload(data: bytes) -> None:
            store, name = FolderStorage(folder / "images"), digest(data)
            taken = await receive_image(store, "shop", name, chunks(data, 4096))
            if isinstance(taken, KeptImage):
                await asyncio.to_thread(make_thumbnail, store, "shop", name)
            for path in (folder / "images").rglob(f"{name}*"):
                path.unlink()

        yield lambda data: loop.run(upload(data))


@cache
def drawn() -> tuple[bytes, Frame]:
    """Return the fictional cards' pack, and the picture of one of them."""
    with temporary_folder() as folder:
        issue(folder)
        build(folder / "cards", folder / "images", folder / "pack.sqlite", print)
        return (folder / "pack.sqlite").read_bytes(), read_image(folder / "images" / "drk-9.jpg")


@contextmanager
def open_scan(folder: Path) -> Iterator[Run]:
    """Scan a damaged file: an outcome with a reason."""
    (folder / "pack.sqlite").write_bytes(drawn()[0])
    pack, file = Pack(folder / "pack.sqlite"), folder / "shot"
    recogniser = recogniser_of(pack, second_look=False)

    def run(data: bytes) -> None:
        file.write_bytes(data)
        (one,) = scan([file], recogniser)
        assert as_json(one)["decision"] in {"accept", "review", "reject"}
        assert one.recognition.decision is not Decision.REJECT or one.recognition.reasons
        assert bool(one.error) <= (one.recognition.decision is Decision.REJECT)

    try:
        yield run
    finally:
        pack.close()


def scan_seeds() -> list[bytes]:
    """Return a card that is recognised, in three formats."""
    card = cv2.resize(drawn()[1], (240, 336))
    return [cv2.imencode(ending, card)[1].tobytes() for ending in (".jpg", ".png", ".webp")]


@contextmanager
def open_pack(folder: Path) -> Iterator[Run]:
    """Open a pack whose bytes are changed: the input says where, in steps of five bytes."""
    sound, file = drawn()[0], folder / "changed.sqlite"

    def run(data: bytes) -> None:
        changed = bytearray(sound)
        for start in range(0, min(len(data), 1000) - 4, 5):
            at = int.from_bytes(data[start : start + 4])
            # Half of the changes are made to the header and the schema.
            changed[at % (200 if at & 1 else len(changed))] = data[start + 4]
        file.write_bytes(changed)
        _use(file)

    yield run


def _use(file: Path) -> None:
    pack = Pack(file)
    try:
        list(pack.prints())
        pack.search("ember fox", language="fr")
        pack.sets()
        for row in range(min(3, len(pack.hashes))):
            card = pack.printing(row)
            pack.twins(row)
            pack.reference(row)
            pack.price(card.id, ScanDefaults())
            pack.facts(card.id)
            pack.named(card.id, "fr")
    finally:
        pack.close()


def pack_seeds() -> list[bytes]:
    return [bytes(5), bytes([0, 0, 0, 100, 5]), bytes(range(60))]


@contextmanager
def open_pack_whole(folder: Path) -> Iterator[Run]:
    """Open any bytes as a pack."""
    file = folder / "any.sqlite"

    def run(data: bytes) -> None:
        file.write_bytes(data)
        _use(file)

    yield run


def pack_whole_seeds() -> list[bytes]:
    import sqlite3

    connection = sqlite3.connect(":memory:")
    connection.executescript(
        "PRAGMA page_size = 512; CREATE TABLE meta (key, value);"
        " CREATE TABLE looks (card_id, bits, points, descriptors, thumb);"
        " CREATE TABLE cards (id, name, number, set_id, set_name, printed_total, rarity, health,"
        " artist, art, released);"
        " INSERT INTO meta VALUES ('schema', '2'), ('version', 'v'), ('cards', '0'),"
        " ('images', '0')"
    )
    whole = connection.serialize()
    connection.close()
    return [whole, b"SQLite format 3\0" + bytes(84)]


@contextmanager
def open_artifacts(folder: Path) -> Iterator[Run]:
    """Unpack a zip of models that was downloaded, and is the one of its manifest."""
    place = folder / "artifacts"

    def run(data: bytes) -> None:
        store, sha256 = ArtifactStore(place, key=""), hashlib.sha256(data).hexdigest()
        (place / f"models-{sha256[:16]}.zip").write_bytes(data)
        manifest = Manifest(
            artifact="models",
            version="1",
            url="https://cards.example.com/x",
            bytes=max(1, len(data)),
            sha256=sha256,
            signature=b64encode(bytes(64)).decode(),
        )
        try:
            store.fetch(manifest, lambda: False)
        finally:
            for path in sorted(place.rglob("*"), reverse=True):
                path.rmdir() if path.is_dir() else path.unlink()

    yield run


def artifact_seeds() -> list[bytes]:
    """Return two sound zips, and one for each way in which reading a zip can fail."""
    found = []
    for method in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as zipped:
            zipped.writestr("reader.json", "{}" * 20)
            zipped.writestr("reader.tflite", b"TFL3" * 8)
        found.append(buffer.getvalue())
    whole = found[-1]
    entry = whole.index(b"PK\x01\x02")  # of the central directory, whose fields count from here
    changes = {
        6: b"\x4b",
        8: b"\x01",
        9: b"\x08",
        10: b"\x63",
        42: b"\xff\xff\xff\xff",
        46: b"\x00",
        47: b"\xff",
        whole.index(b"reader.json") + 11 - entry: b"\xff\xff",
    }
    return found + [
        whole[: entry + at] + new + whole[entry + at + len(new) :] for at, new in changes.items()
    ]


@contextmanager
def open_index(folder: Path) -> Iterator[Run]:
    """Open a store whose index file is damaged."""
    store = folder / "artifacts"
    store.mkdir()

    def run(data: bytes) -> None:
        (store / "shelf.json").write_bytes(data)
        opened = ArtifactStore(store, key="")
        opened.path("catalogue")
        opened.version("models")

    yield run


def index_seeds() -> list[bytes]:
    whole = b'{"active":{"models":{"sha256":"","version":"1","name":"m"}},"refused":{"a":"b"}}'
    return [whole, whole.replace(b"models", b"mod\xff"), whole.replace(b'"m"', b'"m\\u0000"')]


@contextmanager
def open_export(folder: Path) -> Iterator[Run]:
    """Read an export file; `z` before the bytes lets them be compressed first."""
    file = folder / "export.gz"

    def run(data: bytes) -> None:
        file.write_bytes(gzip.compress(data[1:], 1) if data[:1] == b"z" else data)
        read(file)

    yield run


def export_seeds() -> list[bytes]:
    from tests.edge.kit.scans import STAMP

    events = [StoredEvent(sequence=1, stamp=STAMP, type="cardmint.card.scanned.v2", data=b"{}")]
    plain = msgspec.json.encode(
        OutboxExport(
            format=FORMAT,
            tenant="shop",
            station="left",
            stream=STAMP.bootid,
            acknowledged=0,
            events=events,
        )
    )
    return [b"z" + plain, gzip.compress(plain, mtime=0)]


TARGETS = (
    Target(name="images", open=open_image, seeds=image_seeds, refuses=(Unreadable,)),
    Target(name="uploads", open=open_uploads, seeds=image_seeds),
    Target(name="scans", open=open_scan, seeds=scan_seeds, mutations=15),
    Target(name="packs", open=open_pack, seeds=pack_seeds, refuses=(Stop,), mutations=60),
    Target(name="pack-files", open=open_pack_whole, seeds=pack_whole_seeds, refuses=(Stop,)),
    Target(name="artifacts", open=open_artifacts, seeds=artifact_seeds, refuses=(Park, Retry)),
    Target(name="artifact-index", open=open_index, seeds=index_seeds, refuses=(EdgeError,)),
    Target(name="exports", open=open_export, seeds=export_seeds, refuses=(Stop,)),
)
