"""The photos of iPhones: HEIC files are decoded within bounds, or refused with a reason."""

import io
import random
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from cardmint_edge.adapters import decode
from cardmint_edge.adapters.decode import (
    START_BYTES,
    Unreadable,
    decode_image,
    read_reduced,
    starts_as_image,
)


def heic(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    pillow_heif.from_pillow(picture).save(buffer, quality=90)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, :40] = (200, 30, 10)
    pixels[:30, 40:] = (10, 180, 40)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L"])
def test_a_heic_photo_comes_out_blue_green_red(picture: Image.Image, mode: str) -> None:
    frame = decode_image(heic(picture.convert(mode)))
    assert frame.shape == (60, 80, 3)
    assert frame.dtype == np.uint8
    if mode == "RGB":
        assert np.abs(frame[45, 20].astype(int) - (10, 30, 200)).max() < 16
        assert np.abs(frame[15, 60].astype(int) - (40, 180, 10)).max() < 16


def test_a_heic_photo_has_bounded_pixels(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decode, "MAX_HEIF_PIXELS", 4000)
    with pytest.raises(Unreadable, match="80 x 60") as caught:
        decode_image(heic(picture))
    assert caught.value.reason == "image-too-large"


def test_a_large_heic_photo_is_reduced(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(decode, "WHOLE_PIXELS", 4000)
    monkeypatch.setattr(decode, "REDUCED_PIXELS", 2000)
    file = tmp_path / "IMG_1.HEIC"
    file.write_bytes(heic(picture))
    frame, factor = read_reduced(file)
    assert (frame.shape, factor) == ((30, 40, 3), 2.0)
    assert np.abs(frame[22, 10].astype(int) - (10, 30, 200)).max() < 16


def test_damaged_heic_files_are_frames_or_reasons(picture: Image.Image) -> None:
    rng, original = random.Random(7), heic(picture)
    reasons = set[str]()
    for _ in range(400):
        data = bytearray(original)
        for _ in range(rng.randint(1, 6)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        try:
            assert cv2.mean(decode_image(bytes(data))) is not None
        except Unreadable as error:
            reasons.add(error.reason)
    assert "unreadable-image" in reasons
    assert reasons <= {"unreadable-image", "image-too-large", "image-too-small", "animated-image"}


def test_the_first_bytes_tell_a_photo_from_other_files(picture: Image.Image) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "TIFF", "BMP", "GIF"):
        buffer = io.BytesIO()
        picture.save(buffer, kind)
        assert starts_as_image(buffer.getvalue()[:START_BYTES]), kind
    assert starts_as_image(heic(picture)[:START_BYTES])
    for start in (b"", b"PK\x03\x04", b"%PDF-1.7", b"\x1f\x8b\x08", b"Rar!", b"<html>", b"MZ\x90"):
        assert not starts_as_image(start.ljust(START_BYTES, b"\0") if start else start), start
    assert not starts_as_image(b"\0\0\0\x20ftypisom".ljust(START_BYTES, b"\0")), "an MP4 video"
