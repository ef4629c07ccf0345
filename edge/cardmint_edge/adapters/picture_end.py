"""Whether the file of a picture is complete, told without decoding it."""

import io
import struct
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from PIL import Image

from cardmint_edge.adapters.decode import Unreadable

_JPEG, _PNG = b"\xff\xd8", b"\x89PNG\r\n\x1a\n"
_WEBP, _BMP = b"RIFF", b"BM"
_START_OF_SCAN, _END_OF_IMAGE = 0xDA, b"\xff\xd9"
_APP2, _INDEX, _INDEX_ENTRIES, _INDEX_ENTRY = 0xE2, b"MPF\0", 0xB002, 16
"""Marker and start of a JPEG's index of further pictures, its tag, and the bytes of an entry."""
_TIFF = (b"II*\0", b"MM\0*")
_OFFSETS_AND_LENGTHS = ((273, 279), (324, 325))
"""TIFF tags of strips and of tiles."""
_BMP_HEADER, _BMP_UNPACKED = 40, (0, 3)
"""Bytes of the headers that tell it, and the codes of rows that are not packed."""
EMPTY_BYTES = 512
"""More zeros at the end of a compressed picture without an end marker are no content."""
EMPTY_SHARE = 64
"""In a bitmap they may be black: then more than this part of the file."""
EMPTY_RUN = 4096
"""So many zeros in a row are no content anywhere in a compressed picture without an end marker.

Metadata of cameras has fewer.
"""


@dataclass(frozen=True, slots=True)
class PicturePart:
    """The part of a file that is its picture: bytes and SHA-256. More may lie behind it."""

    length: int
    digest: bytes

    def begins(self, content: bytes) -> bool:
        """Return whether a file begins with this picture, byte for byte."""
        found = memoryview(content)[: self.length]
        return len(found) == self.length and sha256(found).digest() == self.digest


def picture_part(content: bytes) -> PicturePart:
    """Return a file's picture: all of it where its format does not say where it ends."""
    length = max(_end_of(content), 0) or len(content)
    return PicturePart(length, sha256(memoryview(content)[:length]).digest())


def is_whole(content: bytes) -> bool:
    """Return whether a file goes on to the end that its format names.

    False as well for a format whose end is not told without decoding.
    """
    return _end_of(content) > 0


def _end_of(content: bytes) -> int:
    """Return the offset of the end that a file's format names.

    0 where it is not reached, -1 where it is not told without decoding.
    """
    boxes = content[4:8] == b"ftyp"
    ends = (end_of for start, end_of in _ENDS if content.startswith(start))
    end_of = next(ends, _boxes_end if boxes else None)
    try:
        return -1 if end_of is None else end_of(content)
    except (struct.error, IndexError):
        return 0


def lacks_further_pictures(content: bytes) -> bool:
    """Return whether a JPEG's index (MPF) names pictures behind it, a gain map, that are not there.

    Programs that drop them may keep the index.
    """
    if not content.startswith(_JPEG):
        return False
    try:
        return any(end > len(content) for end in _ends_in_index(content))
    except (struct.error, IndexError):
        return False


def _ends_in_index(content: bytes) -> Iterator[int]:
    """Yield where the further pictures end that a JPEG's index names."""
    for at, kind, length in _segments(content):
        start = at + 2 + len(_INDEX)
        if kind != _APP2 or content[at + 2 : start] != _INDEX:
            continue
        order = "<" if content.startswith(b"II", start) else ">"
        (directory,) = struct.unpack_from(f"{order}I", content, start + 4)
        (tags,) = struct.unpack_from(f"{order}H", content, start + directory)
        for number in range(tags):
            tag, _, size, entries = struct.unpack_from(
                f"{order}HHII", content, start + directory + 2 + 12 * number
            )
            if tag != _INDEX_ENTRIES or start + entries + size > at + length:
                continue
            for entry in range(start + entries, start + entries + size, _INDEX_ENTRY):
                _, bytes_, offset = struct.unpack_from(f"{order}III", content, entry)
                if offset:  # that of the first picture is 0
                    yield start + offset + bytes_


def lacks_its_end(content: bytes) -> bool:
    """Return whether a file's format names an end that the file does not reach."""
    return _end_of(content) == 0


def check_written(content: bytes, hole: int, *, is_open: bool = False) -> None:
    """Refuse a file that got its size before its content, and waits for the rest.

    `hole` is the first byte that the file system has not stored; the length where there is none.
    `is_open`: a program that has the file open may still write; then black is taken for a gap, too.

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
    run = EMPTY_BYTES if is_open and not bitmap else EMPTY_RUN
    gap = -1 if bitmap and not is_open else content.find(bytes(run))
    if gap >= 0:
        raise Unreadable(
            "unfinished-file",
            f"from byte {gap:,} of {len(content):,} on there is a gap: the program that writes it"
            " has not finished; if the picture is complete, count it anyway",
        )


def _jpeg_end(content: bytes) -> int:
    """Walk the segments to the first scan, so that an embedded preview's end is not taken."""
    for at, kind, _ in _segments(content):
        if kind == _START_OF_SCAN:
            return content.find(_END_OF_IMAGE, at) + 2 if _has_end(content, at) else 0
    return 0


def _segments(content: bytes) -> Iterator[tuple[int, int, int]]:
    """Yield offset (of the length), marker and length of a JPEG's segments, to the first scan.

    Raises:
        IndexError: the file ends before.
    """
    at = 2
    while content[at] == 0xFF:
        kind = content[at + 1]
        if kind == 0xFF:
            at += 1  # a fill byte
            continue
        length = int.from_bytes(content[at + 2 : at + 4], "big")
        yield at + 2, kind, length
        if kind == _START_OF_SCAN:
            return
        at += 2 + length


def _has_end(content: bytes, at: int) -> bool:
    """Return whether an end marker follows. Most lie at the end of the file."""
    return content.rfind(_END_OF_IMAGE, at) >= 0


def _png_end(content: bytes) -> int:
    at = len(_PNG)
    while at + 12 <= len(content):
        kind = content[at + 4 : at + 8]
        at += 12 + int.from_bytes(content[at : at + 4], "big")
        if kind == b"IEND":
            return at
    return 0


def _boxes_end(content: bytes) -> int:
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
            return -1  # no box: something else lies behind the picture, or it is damaged
        at += size
    return at if at == len(content) and {b"meta", b"mdat"} <= kinds else 0


def _tiff_end(content: bytes) -> int:
    try:
        with (
            warnings.catch_warnings(action="ignore"),
            Image.open(io.BytesIO(content), formats=("TIFF",)) as image,
        ):
            tags = image.tag_v2  # type: ignore[attr-defined]
            for offsets, lengths in _OFFSETS_AND_LENGTHS:
                if offsets in tags and lengths in tags:
                    parts = zip(tags[offsets], tags[lengths], strict=True)
                    whole = all(offset + length <= len(content) for offset, length in parts)
                    return len(content) if whole else 0  # tags may lie behind the strips
            return -1
    except (OSError, SyntaxError, ValueError, TypeError, KeyError, Image.DecompressionBombError):
        pass  # the decoder says what it is
    return 0


def _webp_end(content: bytes) -> int:
    end = int.from_bytes(content[4:8], "little") + 8
    return end if end <= len(content) else 0


def _bmp_end(content: bytes) -> int:
    """Return the end of the rows: the size in the file's header is wrong in many files."""
    end, start, header = struct.unpack_from("<I4xII", content, 2)
    if header >= _BMP_HEADER:
        width, height, _, bits, packing = struct.unpack_from("<iiHHI", content, 18)
        if packing in _BMP_UNPACKED:
            end = start + (abs(width) * bits + 31) // 32 * 4 * abs(height)
    return end if end <= len(content) else 0


_ENDS = (
    (_JPEG, _jpeg_end),
    (_PNG, _png_end),
    (_WEBP, _webp_end),
    (_BMP, _bmp_end),
    *((start, _tiff_end) for start in _TIFF),
)
