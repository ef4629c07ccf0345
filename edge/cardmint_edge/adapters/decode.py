"""Decoding of image files, sound or not, to frames.

The size in the header is checked before any pixel is decoded. simplejpeg decodes JPEGs: it takes a
third of Pillow's time, and can halve large ones while decoding. Pillow decodes the other formats.
Both report a file that ends early; OpenCV would fill the rest with grey.
"""

import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park

MAX_PIXELS = 60_000_000
MAX_BYTES = 64 << 20
MIN_SIDE = 32
ENOUGH = 1600
"""Pixels of a frame's shorter side. A JPEG with twice as many may be decoded at half its size.

A card that fills a third of the frame still shows digits 10 pixels high.
"""

ORIENTATION = 0x0112
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


class Unreadable(Park):
    """An image that cannot be used. `reason` is the reason code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_image(path: Path) -> Frame:
    """Read an image file as an upright frame (BGR): its EXIF orientation is applied.

    Raises:
        Unreadable: the file is missing, empty, no image, cut short, too large, too small or
            animated.
    """
    return _read(path, reduce=False)[0]


def read_reduced(path: Path) -> tuple[Frame, int]:
    """Read an image file like `read_image`, but a large JPEG at half its size.

    Returns the frame, and the factor by which the file is larger: 1 or 2.

    Raises:
        Unreadable: as `read_image`.
    """
    return _read(path, reduce=True)


def _read(path: Path, *, reduce: bool) -> tuple[Frame, int]:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Unreadable(
                "image-too-large", f"{path}: {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read"
            )
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable("unreadable-image", f"{path}: {error.strerror or error}") from None
    try:
        return _decode(data, reduce=reduce)
    except Unreadable as error:
        raise Unreadable(error.reason, f"{path}: {error}") from None


def decode_image(data: bytes) -> Frame:
    """Decode an image's bytes as an upright frame (BGR): its EXIF orientation is applied.

    Raises:
        Unreadable: the bytes are empty, no image, cut short, too large, too small or animated.
    """
    return _decode(data, reduce=False)[0]


def _decode(data: bytes, *, reduce: bool) -> tuple[Frame, int]:
    if not data:
        raise Unreadable("unreadable-image", "the file is empty")
    try:
        # Pillow warns of unusual metadata, and of sizes that are checked here anyway.
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(data), formats=FORMATS) as image,
        ):
            _check(image)
            if image.format in {"JPEG", "MPO"} and image.mode in {"RGB", "L"}:
                factor = 2 if reduce and min(image.size) >= 2 * ENOUGH else 1
                frame = _jpeg(data, image.size, factor)
                return _upright(frame, image.getexif().get(ORIENTATION, 1)), factor
            image.load()
            return _frame(ImageOps.exif_transpose(image)), 1
    except Image.DecompressionBombError:
        raise Unreadable(
            "image-too-large", f"more than {MAX_PIXELS // 1_000_000} megapixels"
        ) from None
    except UnidentifiedImageError:
        raise Unreadable(
            "unreadable-image", f"no image of a known kind ({', '.join(FORMATS)})"
        ) from None
    except (
        OSError,
        SyntaxError,
        ValueError,
        TypeError,
        KeyError,
        IndexError,
        struct.error,
        EOFError,
    ) as error:
        # Pillow's decoders raise all of these for damaged data.
        raise Unreadable("unreadable-image", f"damaged or cut short: {error}") from None


def _jpeg(data: bytes, size: tuple[int, int], factor: int) -> Frame:
    wide, high = (side // factor for side in size)
    return np.asarray(
        simplejpeg.decode_jpeg(data, "BGR", min_height=high, min_width=wide, min_factor=factor),
        dtype=np.uint8,
    )


def _upright(frame: Frame, orientation: int) -> Frame:
    """Turn and mirror a frame by its EXIF orientation, 1 to 8."""
    if orientation in {5, 6, 7, 8}:
        frame = np.rot90(frame, -1 if orientation in {5, 6} else 1)
    elif orientation in {3, 4}:
        frame = frame[::-1, ::-1]
    if orientation in {2, 4, 5, 7}:
        frame = frame[:, ::-1]
    return np.ascontiguousarray(frame)


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable(
            "image-too-large", f"{width} x {height}: more than {MAX_PIXELS // 1_000_000} megapixels"
        )
    if min(width, height) < MIN_SIDE:
        raise Unreadable(
            "image-too-small", f"{width} x {height}: each side needs at least {MIN_SIDE} pixels"
        )
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise Unreadable("animated-image", "several pictures in one file; use a still image")


def _frame(image: Image.Image) -> Frame:
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image).astype(np.float32)
        top = 65535.0 if deep.max() > 255 else 255.0
        grey = (deep * (255.0 / top)).clip(0, 255).astype(np.uint8)
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    if image.mode in {"RGBA", "LA", "PA", "P", "La", "RGBa"}:
        solid = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)
    return np.asarray(
        cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), dtype=np.uint8
    )
