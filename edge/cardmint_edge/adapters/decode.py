"""Image files to frames, whatever the files hold.

The size in the header is checked before any pixel is decoded. Pillow decodes: it keeps libjpeg's complaints off
standard error, and says when a file ends early, which OpenCV fills with grey.
"""

import io
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park

MAX_PIXELS = 60_000_000
MAX_BYTES = 64 << 20
MIN_SIDE = 32
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


class Unreadable(Park):
    """An image that cannot be used; `reason` is its code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_image(path: Path) -> Frame:
    """Read an image file as a frame (BGR), its EXIF orientation applied.

    Raises:
        Unreadable: missing, empty, no image, cut short, too large, too small or animated.
    """
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Unreadable("image-too-large", f"{path}: {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read")
        data = path.read_bytes()
    except OSError as error:
        raise Unreadable("unreadable-image", f"{path}: {error.strerror or error}") from None
    try:
        return decode_image(data)
    except Unreadable as error:
        raise Unreadable(error.reason, f"{path}: {error}") from None


def decode_image(data: bytes) -> Frame:
    """Decode an image's bytes as a frame (BGR), its EXIF orientation applied.

    Raises:
        Unreadable: empty, no image, cut short, too large, too small or animated.
    """
    if not data:
        raise Unreadable("unreadable-image", "the file is empty")
    try:
        # Pillow warns of odd metadata and of sizes that are checked here anyway.
        with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data), formats=FORMATS) as image:
            _check(image)
            image.load()
            return _frame(ImageOps.exif_transpose(image))
    except Image.DecompressionBombError:
        raise Unreadable("image-too-large", f"more than {MAX_PIXELS // 1_000_000} megapixels") from None
    except UnidentifiedImageError:
        raise Unreadable("unreadable-image", f"no image of a known kind ({', '.join(FORMATS)})") from None
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error, EOFError) as error:
        # What Pillow's decoders raise for damaged data; all of it means the same to a caller.
        raise Unreadable("unreadable-image", f"damaged or cut short: {error}") from None


def _check(image: Image.Image) -> None:
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise Unreadable("image-too-large", f"{width} x {height}: more than {MAX_PIXELS // 1_000_000} megapixels")
    if min(width, height) < MIN_SIDE:
        raise Unreadable("image-too-small", f"{width} x {height}: each side takes at least {MIN_SIDE} pixels")
    if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":
        raise Unreadable("animated-image", "several pictures in one file; a still is wanted")


def _frame(image: Image.Image) -> Frame:
    if image.mode.startswith(("I", "F")):
        deep = np.asarray(image).astype(np.float32)
        top = 65535.0 if deep.max() > 255 else 255.0
        grey = (deep * (255.0 / top)).clip(0, 255).astype(np.uint8)
        return np.asarray(cv2.cvtColor(grey, cv2.COLOR_GRAY2BGR), dtype=np.uint8)
    if image.mode in {"RGBA", "LA", "PA", "P", "La", "RGBa"}:
        solid = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", solid.size, "white"), solid)
    return np.asarray(cv2.cvtColor(np.asarray(image.convert("RGB")), cv2.COLOR_RGB2BGR), dtype=np.uint8)
