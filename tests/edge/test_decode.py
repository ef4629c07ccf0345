"""Files of every format and damage give a frame, or one reason."""

import io
import random
import re
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps, TiffImagePlugin

from cardmint_edge.adapters import decode
from cardmint_edge.adapters.decode import Unreadable, decode_image, read_image, read_reduced


def saved(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    pixels = np.zeros((60, 80, 3), np.uint8)
    pixels[:, :40] = (200, 30, 10)
    pixels[:30, 40:] = (10, 180, 40)
    return Image.fromarray(pixels)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
def test_every_kind_comes_out_blue_green_red(picture: Image.Image, kind: str) -> None:
    frame = decode_image(saved(picture, kind))
    assert frame.shape == (60, 80, 3)
    assert frame.dtype == np.uint8
    assert np.abs(frame[45, 20].astype(int) - (10, 30, 200)).max() < 16


@pytest.mark.parametrize("mode", ["L", "1", "P", "RGBA", "LA", "CMYK", "I;16", "I", "F"])
def test_every_mode_comes_out_as_three_channels(picture: Image.Image, mode: str) -> None:
    if mode == "I;16":
        image = Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 257)
    elif mode == "LA":
        image = picture.convert("L").convert("LA")
    else:
        image = picture.convert(mode)
    frame = decode_image(saved(image, "TIFF"))
    assert frame.shape == (60, 80, 3)
    assert frame[:, 5:35].mean() > frame[35:, 45:].mean() + 40


def test_transparency_is_laid_on_white() -> None:
    frame = decode_image(saved(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG"))
    assert frame.min() == 255


def test_the_exif_orientation_is_applied(picture: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    frame = decode_image(saved(picture, "JPEG", exif=exif, quality=95))
    assert frame.shape == (80, 60, 3)
    assert frame[20, 15, 2] > 150


def reason(data: bytes) -> str:
    with pytest.raises(Unreadable) as caught:
        decode_image(data)
    assert "\n" not in str(caught.value)
    return caught.value.reason


def test_what_is_no_usable_image_says_why(
    picture: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert reason(b"") == "unreadable-image"
    assert reason(b"not an image at all") == "unreadable-image"
    assert reason(saved(picture, "JPEG")[:-400]) == "unreadable-image"
    assert reason(saved(picture, "PNG")[:100]) == "unreadable-image"
    assert reason(saved(Image.new("RGB", (20, 400)), "PNG")) == "image-too-small"
    frames = [Image.new("RGB", (40, 40), colour) for colour in ("red", "blue")]
    assert (
        reason(saved(frames[0], "GIF", save_all=True, append_images=frames[1:])) == "animated-image"
    )
    monkeypatch.setattr(decode, "MAX_PIXELS", 4000)
    assert reason(saved(picture, "PNG")) == "image-too-large"


def test_a_hundred_megapixels_are_refused_by_the_header_alone() -> None:
    for side in (10_000, 20_000):
        assert reason(saved(Image.new("1", (side, side)), "PNG")) == "image-too-large"


def test_files_that_are_not_there_or_too_big(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Unreadable, match="No such file"):
        read_image(tmp_path / "nothing.jpg")
    with pytest.raises(Unreadable, match="directory"):
        read_image(tmp_path)
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with pytest.raises(Unreadable, match=r"empty\.jpg: the file is empty"):
        read_image(empty)
    monkeypatch.setattr(decode, "MAX_BYTES", 10)
    (tmp_path / "big.jpg").write_bytes(b"x" * 20)
    with pytest.raises(Unreadable) as caught:
        read_image(tmp_path / "big.jpg")
    assert caught.value.reason == "image-too-large"


def test_two_hundred_damaged_files_are_frames_or_reasons(
    picture: Image.Image, capfd: pytest.CaptureFixture[str]
) -> None:
    rng = random.Random(7)
    large = picture.resize((160, 120))
    reasons = set[str]()
    originals = [saved(large, kind) for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")]
    originals.append(saved(large, "JPEG", progressive=True))
    for case in range(200):
        data = bytearray(originals[case % len(originals)])
        for _ in range(rng.randint(1, 12)):
            data[rng.randrange(len(data))] = rng.randrange(256)
        if rng.random() < 0.3:
            del data[rng.randrange(len(data)) :]
        try:
            frame = decode_image(bytes(data))
        except Unreadable as error:
            reasons.add(error.reason)
        else:
            assert frame.ndim == 3
            assert cv2.mean(frame) is not None
    assert reasons <= {"unreadable-image", "image-too-large", "image-too-small", "animated-image"}
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_every_orientation_is_applied_as_pillow_does(
    picture: Image.Image, orientation: int
) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = saved(picture, "JPEG", exif=exif, quality=95)
    wanted = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    assert np.abs(decode_image(data).astype(int) - np.asarray(wanted)[..., ::-1]).max() < 4


def test_a_large_photo_is_halved_as_it_is_decoded_where_that_is_asked(
    tmp_path: Path, picture: Image.Image
) -> None:
    large, small = tmp_path / "large.jpg", tmp_path / "small.jpg"
    picture.resize((4800, 3601)).save(large)
    picture.save(small)
    frame, factor = read_reduced(large)
    assert (frame.shape, factor) == ((1801, 2400, 3), 2)
    assert (read_image(large).shape, read_reduced(small)[1]) == ((3601, 4800, 3), 1)


def striped(**options: object) -> tuple[bytes, np.ndarray]:
    """A JPEG with restart markers, and its pixels."""
    rng = np.random.default_rng(1)
    small = rng.integers(0, 255, (40, 30, 3), dtype=np.uint8)
    pixels = cv2.resize(small, (640, 880), interpolation=cv2.INTER_CUBIC)
    settings = [cv2.IMWRITE_JPEG_QUALITY, 92, cv2.IMWRITE_JPEG_RST_INTERVAL, 40]
    return cv2.imencode(".jpg", pixels, settings)[1].tobytes(), pixels


def restarts(data: bytes) -> list[int]:
    return [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", data)]


Fault: TypeAlias = Callable[[bytes, int], bytes]

HARMLESS: dict[str, Fault] = {
    "stray bytes before the end": lambda data, _at: data[:-2] + b"\x12\x34\x56" + data[-2:],
    "many stray bytes before the end": lambda data, _at: data[:-2] + bytes(3000) + data[-2:],
    "stray bytes before a restart marker": lambda data, at: data[:at] + b"\x12\x34" + data[at:],
    "one restart marker is missing": lambda data, at: data[:at] + data[at + 2 :],
    "bytes after the end": lambda data, _at: data + b"a film of three seconds" * 100,
}


@pytest.mark.parametrize("fault", HARMLESS)
def test_a_harmless_fault_of_a_jpeg_is_passed_over(fault: str) -> None:
    data, pixels = striped()
    frame = decode_image(HARMLESS[fault](data, restarts(data)[5]))
    assert np.abs(frame.astype(int) - pixels).mean() < 4


CUT_SHORT: dict[str, Fault] = {
    "in the middle": lambda data, _at: data[: len(data) // 2],
    "in the middle, with an end marker": lambda data, _at: data[: len(data) // 2] + b"\xff\xd9",
    "at a restart marker": lambda data, at: data[:at],
    "at a restart marker, with an end marker": lambda data, at: data[:at] + b"\xff\xd9",
    "by its end marker": lambda data, _at: data[:-2],
    "after stray bytes": lambda data, at: data[:at] + b"\x12\x34" + data[at : at + 9000],
}


@pytest.mark.parametrize("cut", CUT_SHORT)
def test_a_jpeg_that_is_cut_short_is_refused(cut: str) -> None:
    data, _ = striped()
    assert reason(CUT_SHORT[cut](data, restarts(data)[5])) == "unreadable-image"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF", "WEBP"])
def test_a_broken_colour_profile_or_exif_hides_no_picture(picture: Image.Image, kind: str) -> None:
    exif = {} if kind == "TIFF" else {"exif": b"Exif\0\0II*\0\xff\xff\xff\xff"}
    data = saved(picture, kind, icc_profile=bytes(700), **exif)
    assert decode_image(data).shape == (60, 80, 3)


@pytest.mark.parametrize("place", [12, 13])
def test_a_profile_with_a_wrong_number_hides_no_picture(picture: Image.Image, place: int) -> None:
    data = bytearray(saved(picture, "JPEG", icc_profile=bytes(70_000)))
    data[data.index(b"ICC_PROFILE") + place] = 9 * (place == 12)
    assert decode_image(bytes(data)).shape == (60, 80, 3)


def test_a_png_with_a_broken_profile_or_text_is_read(picture: Image.Image) -> None:
    data = saved(picture, "PNG", icc_profile=bytes(700))
    start = data.index(b"iCCP") - 4
    end = start + 12 + int.from_bytes(data[start : start + 4], "big")
    for body in (b"", b"x" * 90, b"icc\0\5abc", b"icc\0\0" + zlib.compress(bytes(5_000_000))):
        sum_ = zlib.crc32(b"iCCP" + body).to_bytes(4, "big")
        chunk = len(body).to_bytes(4, "big") + b"iCCP" + body + sum_
        assert decode_image(data[:start] + chunk + data[end:]).shape == (60, 80, 3)


def test_the_small_picture_of_a_raw_file_is_refused(picture: Image.Image) -> None:
    reduced = TiffImagePlugin.ImageFileDirectory_v2()
    reduced[0x00FE] = 1
    assert reason(saved(picture, "TIFF", tiffinfo=reduced)) == "reduced-image"


@pytest.mark.parametrize(
    ("size", "decoded"),
    [
        ((9504, 6336), (4752, 3168)),
        ((11648, 8736), (4368, 3276)),
        ((6000, 4000), (6000, 4000)),
        ((14204, 10652), (3551, 2663)),
    ],
)
def test_the_jpegs_of_large_cameras_are_read_reduced(
    size: tuple[int, int], decoded: tuple[int, int]
) -> None:
    data = saved(Image.new("L", size, 90), "JPEG")
    frame = decode_image(data)
    assert frame.shape == (*decoded[::-1], 3)
    assert frame[::500, ::500].mean() == pytest.approx(90, abs=1)
    if size[0] > 9000:
        progressive = saved(Image.new("L", size, 90), "JPEG", progressive=True)
        assert reason(progressive) == "image-too-large"
