"""Whether a picture's file is complete, without decoding it."""

import io

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from cardmint_edge.adapters.decode import Unreadable, decode_image
from cardmint_edge.adapters.picture_end import check_written, is_whole, lacks_its_end, picture_part

CELLS = np.random.default_rng(7).integers(20, 255, (22, 16, 3), dtype=np.uint8)
FRAME = cv2.resize(CELLS, (320, 440), interpolation=cv2.INTER_CUBIC)


def written(format_name: str, **options: object) -> bytes:
    file = io.BytesIO()
    if format_name == "HEIF":
        pillow_heif.from_pillow(Image.fromarray(FRAME)).save(file, quality=80)
    else:
        Image.fromarray(FRAME).save(file, format_name, **options)
    return file.getvalue()


def with_preview() -> bytes:
    """A JPEG with another one in its metadata, as cameras write it."""
    preview = written("JPEG", quality=40)
    segment = b"\xff\xe2" + (len(preview) + 2).to_bytes(2, "big") + preview
    whole = written("JPEG")
    return whole[:2] + segment + whole[2:]


FILES = {
    "JPEG": written("JPEG"),
    "progressive JPEG": written("JPEG", progressive=True),
    "JPEG with a preview": with_preview(),
    "PNG": written("PNG"),
    "WebP": written("WEBP"),
    "BMP": written("BMP"),
    "TIFF": written("TIFF"),
    "TIFF in strips": written("TIFF", compression="tiff_lzw"),
    "HEIF": written("HEIF"),
}


@pytest.mark.parametrize("case", FILES)
def test_a_file_is_whole_when_its_format_says_so(case: str) -> None:
    content = FILES[case]
    assert decode_image(content).shape == (440, 320, 3)
    assert is_whole(content)
    assert is_whole(content + b"appended") or case == "HEIF", "the decoder tells"
    check_written(content, len(content))
    for share in (0.999, 0.97, 0.7, 0.5, 0.2, 0.01):
        cut = content[: int(len(content) * share)]
        assert not is_whole(cut), share
    assert not is_whole(content[:30])
    assert not is_whole(content[:9])


@pytest.mark.parametrize("case", FILES)
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_file_whose_rest_is_empty_is_not_finished(case: str, share: float) -> None:
    content = FILES[case]
    has = int(len(content) * share)
    presized = content[:has] + bytes(len(content) - has)
    if "JPEG" in case or case == "PNG":
        assert not is_whole(presized)
        check_written(presized, len(presized))
    else:
        with pytest.raises(Unreadable, match="bytes are empty") as caught:
            check_written(presized, len(presized))
        assert caught.value.reason == "unfinished-file"


def test_what_names_no_end_is_left_to_the_decoder() -> None:
    for content in (b"", b"GIF89a", written("GIF"), b"II*\0", b"II*\0\xff\xff\xff\x7f", b"MM\0*"):
        assert not is_whole(content)
    box = b"\0\0\0\x10ftypheic\0\0\0\0"
    assert not is_whole(box)
    assert not is_whole(box + b"\0\0\0\1mdat\0\0\0\0\0\0\0\x18" + bytes(4))
    assert not is_whole(box + b"\0\0\0\4meta")
    assert is_whole(box + b"\0\0\0\x08meta" + b"\0\0\0\1mdat\0\0\0\0\0\0\0\x12" + bytes(2))
    assert is_whole(box + b"\0\0\0\x08meta" + b"\0\0\0\0mdat" + bytes(2))
    assert is_whole(b"\xff\xd8\xff\xff\xe0\0\2\xff\xda\xff\xd9"), "a fill byte"
    assert not is_whole(b"\xff\xd8\xff\xe0\0\2\0")


@pytest.mark.parametrize("case", FILES)
def test_a_picture_is_known_by_its_part_of_the_file(case: str) -> None:
    content = FILES[case]
    part = picture_part(content)
    assert part.begins(content)
    assert part.begins(content + b"more")
    assert not part.begins(content[:-1])
    assert not part.begins(bytes([content[0] ^ 1]) + content[1:])
    if case not in {"HEIF", "TIFF", "TIFF in strips"}:
        assert picture_part(content + b"more") == part
    assert picture_part(content[:100]).begins(content), "no end, so all of it"


def test_a_bitmap_ends_where_its_rows_end() -> None:
    content = bytearray(FILES["BMP"])
    for size in (0, 54, 1 << 30):  # wrong in the header, as some programs write it
        content[2:6] = size.to_bytes(4, "little")
        assert is_whole(bytes(content))
        assert lacks_its_end(bytes(content[:-1]))
    packed = bytearray(content)
    packed[30:34] = (1).to_bytes(4, "little")
    assert lacks_its_end(bytes(packed)), "then the header's size counts"
    packed[2:6] = len(packed).to_bytes(4, "little")
    assert is_whole(bytes(packed))
    old = b"BM" + (30).to_bytes(4, "little") + bytes(8) + (12).to_bytes(4, "little")
    assert lacks_its_end(old)
    assert is_whole(old + bytes(12))


def test_an_end_that_is_not_told_is_not_lacked() -> None:
    for content in (b"", written("GIF"), FILES["HEIF"] + b"\0\0\0\4more"):
        assert not is_whole(content)
        assert not lacks_its_end(content)
    strange = Image.new("L", (40, 40))
    file = io.BytesIO()
    strange.save(file, "TIFF")
    tags = file.getvalue().replace(b"\x17\x01\x04\x00", b"\xff\xff\x04\x00")
    assert not is_whole(tags), "the lengths of the strips are missing"
    assert not lacks_its_end(tags)


@pytest.mark.parametrize("case", ["WebP", "HEIF", "BMP", "TIFF", "TIFF in strips"])
def test_a_gap_in_the_middle_is_no_content(case: str) -> None:
    content = FILES[case] * (10_000 // len(FILES[case]) + 1)
    for gap in (512, 4096):
        holed = content[:5000] + bytes(gap) + content[5000:]
        bitmap = case not in {"WebP", "HEIF"}
        if gap < 4096 and bitmap:
            check_written(holed, len(holed), is_open=True)
        else:
            with pytest.raises(Unreadable, match="there is a gap"):
                check_written(holed, len(holed), is_open=True)
        if gap < 4096 or bitmap:
            check_written(holed, len(holed))
        else:
            with pytest.raises(Unreadable, match="there is a gap"):
                check_written(holed, len(holed))


@pytest.mark.parametrize("case", FILES)
def test_a_hole_is_no_content(case: str) -> None:
    content = FILES[case]
    with pytest.raises(Unreadable, match="are written without a gap") as caught:
        check_written(content, len(content) // 2)
    assert caught.value.reason == "unfinished-file"
    padded = content + bytes(8192)
    if "JPEG" in case or case == "PNG":
        check_written(padded, len(content))
    else:
        with pytest.raises(Unreadable):
            check_written(padded, len(content))
