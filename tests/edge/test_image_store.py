"""The image store: a complete file under the name of its content, or no file."""

import hashlib
import io
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow

from cardmint_edge.adapters.image_store import LONG_EDGE, ImageStore
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park, Stop


def frame_of(height: int, width: int) -> Frame:
    return np.random.default_rng(1).integers(0, 255, (height, width, 3), dtype=np.uint8)


def test_an_image_is_found_by_its_content(tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "images")
    image = store.put(frame_of(140, 100))
    content = store.get(image.sha256)
    assert content is not None
    assert hashlib.sha256(content).hexdigest() == image.sha256
    assert (len(content), image.width, image.height) == (image.bytes, 100, 140)
    assert store.put(frame_of(140, 100)) == image
    assert [p.suffix for p in tmp_path.rglob("*") if p.is_file()] == [".jpg"]


def test_a_large_frame_is_made_smaller(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = store.put(frame_of(2800, 2000))
    content = store.get(image.sha256)
    assert content is not None
    assert Pillow.open(io.BytesIO(content)).size == (image.width, image.height) == (731, LONG_EDGE)


@pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 64, "0" * 64 + "\n"])
def test_no_such_image(tmp_path: Path, name: str) -> None:
    assert ImageStore(tmp_path).get(name) is None


def test_a_disk_that_does_not_take_it(tmp_path: Path) -> None:
    (tmp_path / "images").touch()
    with pytest.raises(Stop, match="cannot store an image"):
        ImageStore(tmp_path / "images").put(frame_of(14, 10))


def test_a_failed_write_leaves_nothing(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = store.put(frame_of(14, 10))
    path = next(tmp_path.rglob("*.jpg"))
    path.unlink()
    path.with_name(path.name + ".part").mkdir()  # opening it to write fails as a full disk would
    with pytest.raises(Stop, match="cannot store an image"):
        store.put(frame_of(14, 10))
    assert store.get(image.sha256) is None


def test_half_an_image_is_replaced(tmp_path: Path) -> None:
    store = ImageStore(tmp_path)
    image = store.put(frame_of(14, 10))
    path = next(tmp_path.rglob("*.jpg"))
    whole = path.read_bytes()
    for half in (
        b"",
        whole[:100],
        bytes(len(whole)),
    ):  # what a power cut leaves before bytes and name are synced
        path.write_bytes(half)
        assert ImageStore(tmp_path).put(frame_of(14, 10)) == image
        assert path.read_bytes() == whole


def test_a_frame_that_cannot_be_encoded(tmp_path: Path) -> None:
    with pytest.raises(Park, match="is not a picture"):
        ImageStore(tmp_path).put(np.zeros((10, 10, 2), dtype=np.uint8))
