"""Decoding of image files, sound or not, to frames.

The size in the header is checked before any pixel is decoded. simplejpeg decodes JPEGs: it takes a
third of Pillow's time, and reduces large ones while decoding. Pillow decodes the other formats.
Both report a file that ends early; OpenCV would fill the rest with grey. A harmless fault (stray
bytes before a marker, a restart marker that is missing, a broken colour profile) is passed over.
"""

import io
import re
import struct
import warnings
from pathlib import Path

import cv2
import numpy as np
import simplejpeg
from PIL import Image, ImageOps, UnidentifiedImageError

from cardmint_edge.adapters.regular_files import read_regular
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Park

MAX_PIXELS = 60_000_000
MAX_JPEG_PIXELS = 160_000_000
"""Pixels of a JPEG that is not progressive, which is decoded line by line."""
WHOLE_PIXELS = 25_000_000
"""Pixels up to which a JPEG is decoded whole, and above which it is reduced."""
REDUCED_PIXELS = 16_000_000
"""Most pixels of the frame from a JPEG that is reduced."""
_REDUCTIONS = ((1, 2), (3, 8), (1, 4), (1, 8))
"""The decoder's own factors, as fractions."""
MAX_BYTES = 64 << 20
MIN_SIDE = 32
ENOUGH = 1600
"""Pixels of a frame's shorter side. A JPEG with twice as many may be decoded at half its size.

A card that fills a third of the frame still shows digits 10 pixels high.
"""

MAX_HEIF_PIXELS = 50_000_000
"""The HEIF decoder cannot reduce an image while decoding: it needs five bytes a pixel."""

ORIENTATION = 0x0112
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
HEIF = "HEIF"
ENDINGS = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"),
    *(".heic", ".heif", ".hif"),
)
START_BYTES = 64
"""Bytes by which `starts_as_image` knows a format."""

_SUBFILE_TYPE = 0x00FE
_REDUCED_SUBFILE = 1
_HARMLESS = re.compile(r"extraneous bytes before marker|found marker 0xd[0-7] instead of RST")
_START_OF_SCAN, _END_OF_IMAGE = b"\xff\xda", b"\xff\xd9"
_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_PICTURE = {b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"}


class Unreadable(Park):
    """An image that cannot be used. `reason` is the reason code."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


def read_image(path: Path) -> Frame:
    """Read an image file as an upright frame (BGR): its EXIF orientation is applied.

    A JPEG of more than `WHOLE_PIXELS` is reduced.

    Raises:
        Unreadable: the file is missing, empty, no image, cut short, too large, too small or
            animated.
    """
    return _read(path, reduce=False)[0]


def read_reduced(path: Path) -> tuple[Frame, float]:
    """Read an image file like `read_image`, but a large JPEG at half its size or less.

    Returns the frame, and the factor by which the file is larger.

    Raises:
        Unreadable: as `read_image`.
    """
    return _read(path, reduce=True)


def _read(path: Path, *, reduce: bool) -> tuple[Frame, float]:
    try:
        size = path.stat().st_size
        if size > MAX_BYTES:
            raise Unreadable(
                "image-too-large", f"{path}: {size >> 20} MB; at most {MAX_BYTES >> 20} MB are read"
            )
        data = read_regular(path)
    except OSError as error:
        raise Unreadable("unreadable-image", f"{path}: {error.strerror or error}") from None
    try:
        return _decode(data, reduce=reduce)
    except Unreadable as error:
        raise Unreadable(error.reason, f"{path}: {error}") from None


def starts_as_image(start: bytes) -> bool:
    """Return whether the first `START_BYTES` of a file are those of a format that is read."""
    formats = _formats(start)
    Image.init()
    accepts = [Image.OPEN[name][1] for name in formats]
    return any(accept is not None and bool(accept(start)) for accept in accepts)


def _formats(data: bytes) -> tuple[str, ...]:
    """Return the formats to try. The HEIF library, of 27 MB, is loaded for what may be HEIF."""
    if data[4:8] != b"ftyp":
        return FORMATS
    import pillow_heif  # noqa: PLC0415 - as above

    pillow_heif.options.DECODE_THREADS = 1
    pillow_heif.register_heif_opener(thumbnails=False)
    return (HEIF,)


def decode_image(data: bytes) -> Frame:
    """Decode an image's bytes as an upright frame (BGR): its EXIF orientation is applied.

    A JPEG of more than `WHOLE_PIXELS` is reduced.

    Raises:
        Unreadable: the bytes are empty, no image, cut short, too large, too small or animated.
    """
    return _decode(data, reduce=False)[0]


def _decode(data: bytes, *, reduce: bool) -> tuple[Frame, float]:
    if not data:
        raise Unreadable("unreadable-image", "the file is empty")
    try:
        # Pillow warns of unusual metadata, and of sizes that are checked here anyway.
        with warnings.catch_warnings(action="ignore"), opened(data) as image:
            _check(image)
            if image.format in {"JPEG", "MPO"} and image.mode in {"RGB", "L"}:
                frame = _jpeg(data, image, reduce=reduce)
                factor = max(image.size) / max(frame.shape[:2])
                return _upright(frame, _orientation(image)), factor
            if image.format == HEIF and image.mode == "RGB":
                frame = _heif(data, reduce=reduce)
                return frame, max(image.size) / max(frame.shape[:2])
            image.load()
            return _frame(ImageOps.exif_transpose(image)), 1.0
    except Image.DecompressionBombError:
        raise Unreadable(
            "image-too-large", f"more than {MAX_PIXELS // 1_000_000} megapixels"
        ) from None
    except UnidentifiedImageError:
        raise Unreadable(
            "unreadable-image", f"no image of a known kind ({', '.join((*FORMATS, HEIF))})"
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
        RuntimeError,
    ) as error:
        # Pillow's decoders raise all of these for damaged data, libheif the last one.
        raise Unreadable("unreadable-image", f"damaged or cut short: {error}") from None


def opened(data: bytes) -> Image.Image:
    """Open an image of a format that is read, without decoding it. Raises what Pillow raises."""
    try:
        return Image.open(io.BytesIO(data), formats=_formats(data))
    except (UnidentifiedImageError, ValueError):
        if not data.startswith(_PNG):
            raise
        # A broken colour profile or text makes Pillow refuse the whole picture.
        return Image.open(io.BytesIO(_bare_png(data)), formats=FORMATS)


def _bare_png(data: bytes) -> bytes:
    """Return a PNG with nothing but its picture."""
    kept, at = [_PNG], len(_PNG)
    while at + 12 <= len(data):
        end = at + 12 + int.from_bytes(data[at : at + 4], "big")
        if data[at + 4 : at + 8] in _PNG_PICTURE:
            kept.append(data[at:end])
        at = end
    return b"".join(kept)


def _orientation(image: Image.Image) -> int:
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, IndexError, struct.error):
        return 1  # damaged metadata; the picture is sound


def _jpeg(data: bytes, image: Image.Image, *, reduce: bool) -> Frame:
    wide, high = _decoded_size(image.size, reduce=reduce)
    whole = (wide, high) == image.size

    def decode(content: bytes, *, strict: bool) -> Frame:
        frame = simplejpeg.decode_jpeg(
            content,
            "BGR",
            min_height=high,
            min_width=wide,
            min_factor=1 if whole else 2,
            strict=strict,
        )
        return np.asarray(frame, dtype=np.uint8)

    try:
        return decode(data, strict=True)
    except ValueError as error:
        if "bad ICC" in str(error):
            return decode(_without_profile(data), strict=True)
        if _HARMLESS.search(str(error)) is None or not _ends_well(data):
            raise
        return decode(data, strict=False)


def _decoded_size(size: tuple[int, int], *, reduce: bool) -> tuple[int, int]:
    """Return width and height at which a JPEG is decoded."""
    pixels = size[0] * size[1]
    large = pixels > WHOLE_PIXELS
    if not large and not (reduce and min(size) >= 2 * ENOUGH):
        return size
    most = REDUCED_PIXELS if large else pixels
    over, under = next(
        (fraction for fraction in _REDUCTIONS if pixels * (fraction[0] / fraction[1]) ** 2 <= most),
        _REDUCTIONS[-1],
    )
    return size[0] * over // under, size[1] * over // under


def _ends_well(data: bytes) -> bool:
    """Return whether a JPEG goes on to its end marker. Decodes it at an eighth of its size."""
    if data.rfind(_END_OF_IMAGE) < data.rfind(_START_OF_SCAN):
        return False
    with Image.open(io.BytesIO(data), formats=("JPEG", "MPO")) as image:
        image.draft("RGB", (image.width // 8, image.height // 8))
        image.load()  # raises OSError where the data ends early
    return True


def _without_profile(data: bytes) -> bytes:
    """Return a JPEG without the segments of its colour profile."""
    kept, at = [data[:2]], 2
    while data[at : at + 2] != _START_OF_SCAN and at + 4 <= len(data):
        end = at + 2 + int.from_bytes(data[at + 2 : at + 4], "big")
        if data[at + 1] != 0xE2:
            kept.append(data[at:end])
        at = end
    return b"".join([*kept, data[at:]])


def _heif(data: bytes, *, reduce: bool) -> Frame:
    """Decode a HEIF image's primary picture. libheif itself turns it upright.

    Pillow would need 17 bytes a pixel on the way to the same frame, this needs 5. A large picture
    is reduced as a JPEG is, but after it was decoded.
    """
    import pillow_heif  # noqa: PLC0415 - as above

    frame = np.asarray(pillow_heif.open_heif(io.BytesIO(data), bgr_mode=True), dtype=np.uint8)
    whole = frame.shape[1], frame.shape[0]
    size = _decoded_size(whole, reduce=reduce)
    if size == whole:
        return frame
    return np.asarray(cv2.resize(frame, size, interpolation=cv2.INTER_AREA), dtype=np.uint8)


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
    by_lines = image.format in {"JPEG", "MPO"} and not image.info.get("progressive")
    most = MAX_JPEG_PIXELS if by_lines else MAX_PIXELS
    if image.format == HEIF:
        most = MAX_HEIF_PIXELS
    if width * height > most:
        raise Unreadable(
            "image-too-large", f"{width} x {height}: more than {most // 1_000_000} megapixels"
        )
    if min(width, height) < MIN_SIDE:
        raise Unreadable(
            "image-too-small", f"{width} x {height}: each side needs at least {MIN_SIDE} pixels"
        )
    if image.format == "TIFF" and image.tag_v2.get(_SUBFILE_TYPE, 0) & _REDUCED_SUBFILE:  # type: ignore[attr-defined]
        raise Unreadable(
            "reduced-image",
            "the first picture in it is a reduced copy, as in a raw file; save it as JPEG",
        )
    if getattr(image, "n_frames", 1) > 1 and image.format not in {"MPO", HEIF}:
        raise Unreadable(
            "animated-image",
            "several pictures in one file; save each page or picture as a file of its own",
        )


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
