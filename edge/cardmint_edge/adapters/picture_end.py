"""Whether the file of a picture is complete, told without decoding it."""

import io
import struct
import warnings

from PIL import Image

from cardmint_edge.adapters.decode import Unreadable

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_WEBP, _BMP = b"RIFF", b"BM"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_TIFF = (b"II*\0", b"MM\0*")
_OFFSETS_AND_LENGTHS = ((273, 279), (324, 325))
"""TIFF tags of strips and of tiles."""
EMPTY_BYTES = 512
"""More zeros at the end of a compressed picture without an end marker are no content."""
EMPTY_SHARE = 64
"""In a bitmap they may be black: then more than this part of the file."""


def is_whole(content: bytes) -> bool:
    """Return whether a file goes on to the end that its format names.

    False as well for a format whose end is not told without decoding.
    """
    ends = next((ends for start, ends in _ENDS if content.startswith(start)), _boxes_end)
    try:
        return ends(content)
    except (struct.error, IndexError):
        return False


def names_its_end(content: bytes) -> bool:
    """Return whether a file begins as one of a format whose end `is_whole` tells."""
    return content[4:8] == b"ftyp" or any(content.startswith(start) for start, _ in _ENDS)


def check_written(content: bytes, hole: int) -> None:
    """Refuse a file that got its size before its content, and waits for the rest.

    `hole` is the first byte that the file system has not stored; the length where there is none.

    Raises:
        Unreadable: it is not finished.
    """
    marked = content.startswith((_JPEG, _PNG))
    if hole < len(content) and not (marked and is_whole(content[:hole])):
        raise Unreadable(
            "unfinished-file",
            f"only {hole:,} of its {len(content):,} bytes are written without a gap: the program"
            " that writes it has not finished; copy it here again",
        )
    if marked:
        return  # the end marker tells
    empty = len(content) - len(content.rstrip(b"\0"))
    bitmap = content.startswith((_BMP, *_TIFF))
    if empty > (max(EMPTY_BYTES, len(content) // EMPTY_SHARE) if bitmap else EMPTY_BYTES):
        raise Unreadable(
            "unfinished-file",
            f"its last {empty:,} of {len(content):,} bytes are empty: the program that writes it"
            " has not finished; if the picture is complete and black there, count it anyway",
        )


def _jpeg_ends(content: bytes) -> bool:
    """Walk the segments to the first scan, so that an embedded preview's end is not taken."""
    at = 2
    while content[at] == 0xFF:
        if content[at + 1] == _START_OF_SCAN:
            return content.rfind(_END_OF_IMAGE, at) >= 0  # most lie at the end
        if content[at + 1] == 0xFF:
            at += 1  # a fill byte
        else:
            at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return False


def _png_ends(content: bytes) -> bool:
    at = len(_PNG)
    while at + 12 <= len(content):
        if content[at + 4 : at + 8] == b"IEND":
            return True
        at += 12 + int.from_bytes(content[at : at + 4], "big")
    return False


def _boxes_end(content: bytes) -> bool:
    """Walk the boxes of a HEIF file."""
    at, kinds = 0, set[bytes]()
    while at + 8 <= len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        kinds.add(kind)
        if size == 1:
            (size,) = struct.unpack_from(">Q", content, at + 8)
        elif size == 0:
            size = len(content) - at
        if size < 8:
            break
        at += size
    return at == len(content) and {b"meta", b"mdat"} <= kinds


def _tiff_ends(content: bytes) -> bool:
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(content), formats=("TIFF",)) as image,
        ):
            tags = image.tag_v2  # type: ignore[attr-defined]
            for offsets, lengths in _OFFSETS_AND_LENGTHS:
                if offsets in tags and lengths in tags:
                    parts = zip(tags[offsets], tags[lengths], strict=True)
                    return all(offset + length <= len(content) for offset, length in parts)
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, Image.DecompressionBombError):
        pass  # the decoder says what it is
    return False


def _webp_ends(content: bytes) -> bool:
    return int.from_bytes(content[4:8], "little") + 8 <= len(content)


def _bmp_ends(content: bytes) -> bool:
    return 0 < int.from_bytes(content[2:6], "little") <= len(content)


_ENDS = (
    (_JPEG, _jpeg_ends),
    (_PNG, _png_ends),
    (_WEBP, _webp_ends),
    (_BMP, _bmp_ends),
    *((start, _tiff_ends) for start in _TIFF),
)
