"""Whether two files show one shot."""

import io

import cv2
import numpy as np
import pillow_heif
import pytest
from PIL import Image

from cardmint_edge.adapters.photo_time import taken_at
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.same_shot import (
    PhotoMark,
    SameShot,
    fine_mark,
    mark_of,
    same_shot,
    saved_again,
)

TEN, ELEVEN = "2026:11:28 10:00:00", "2026:11:28 11:00:00"


def frame(number: int, background: int = 0) -> Frame:
    """Return a card, which covers a sixth of the frame, on a table of its own pattern."""
    cells = np.random.default_rng(background).integers(90, 110, (16, 12, 3), dtype=np.uint8)
    table = cv2.resize(cells, (1200, 1600), interpolation=cv2.INTER_CUBIC)
    art = np.random.default_rng(100 + number).integers(0, 255, (11, 8, 3), dtype=np.uint8)
    table[500:1140, 400:860] = cv2.resize(art, (460, 640), interpolation=cv2.INTER_CUBIC)
    return np.asarray(table, dtype=np.uint8)


def as_jpeg(picture: Frame, quality: int = 60, exif: Image.Exif | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(picture[:, :, ::-1]).save(
        file, "JPEG", quality=quality, exif=b"" if exif is None else exif
    )
    return file.getvalue()


def compressed(picture: Frame, scale: float = 1.0) -> Frame:
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    coded = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, 60])[1]
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), dtype=np.uint8)


def mark(picture: Frame, taken: str = "", fraction: str = "") -> PhotoMark:
    return mark_of(picture, (taken, fraction))


@pytest.mark.parametrize("scale", [1.0, 0.5, 0.15])
@pytest.mark.parametrize("times", [("", ""), (TEN, ""), ("", TEN), (TEN, TEN)])
def test_a_picture_in_another_size_and_quality_is_the_same_shot(
    scale: float, times: tuple[str, str]
) -> None:
    for number in range(5):
        one = mark(frame(number), times[0])
        other = mark(compressed(frame(number), scale), times[1])
        assert same_shot(one, other) is SameShot.YES


def test_another_card_in_the_same_place_is_never_certainly_the_same_shot() -> None:
    for number in range(20):
        one, other = mark(frame(number)), mark(frame(number + 1))
        assert same_shot(one, other) is not SameShot.YES
        assert same_shot(mark(frame(number)), mark(frame(number + 1, 1))) is not SameShot.YES


def test_the_cameras_time_tells_two_shots_apart() -> None:
    assert same_shot(mark(frame(1), TEN), mark(frame(1), ELEVEN)) is SameShot.NO
    assert same_shot(mark(frame(1), TEN, "12"), mark(frame(1), TEN, "73")) is SameShot.NO
    assert same_shot(mark(frame(1), TEN, "12"), mark(frame(1), TEN, "")) is SameShot.YES
    assert same_shot(mark(frame(1), TEN), mark(frame(2), TEN)) is SameShot.UNCLEAR
    assert same_shot(mark(frame(1), "", "12"), mark(frame(1), "", "73")) is SameShot.YES


def test_pictures_that_are_nothing_like_each_other_are_two_shots() -> None:
    noise = [
        cv2.resize(
            np.random.default_rng(n).integers(0, 255, (16, 12, 3), dtype=np.uint8), (120, 160)
        )
        for n in range(2)
    ]
    first, second = (np.asarray(one, dtype=np.uint8) for one in noise)
    assert same_shot(mark(first), mark(second)) is SameShot.NO


def test_the_time_is_read_from_the_metadata() -> None:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9003] = TEN
    exif.get_ifd(0x8769)[0x9291] = "73"
    assert taken_at(as_jpeg(frame(1), exif=exif)) == (TEN, "73")
    heic = io.BytesIO()
    pillow_heif.from_pillow(Image.open(io.BytesIO(as_jpeg(frame(1), exif=exif)))).save(heic)
    assert taken_at(heic.getvalue()) == (TEN, "73")
    exif.get_ifd(0x8769)[0x9003] = "0000:00:00 00:00:00"
    exif.get_ifd(0x8769)[0x9291] = 7
    assert taken_at(as_jpeg(frame(1), exif=exif)) == ("", "")
    assert taken_at(as_jpeg(frame(1))) == ("", "")
    assert taken_at(b"no picture") == ("", "")


def test_a_picture_that_is_saved_again_is_known_whichever_way_it_is_turned() -> None:
    for number in range(5):
        one = fine_mark(frame(number))
        for turn in range(4):
            saved = compressed(np.ascontiguousarray(np.rot90(frame(number), turn)))
            assert saved_again(one, fine_mark(saved))
        assert not saved_again(one, fine_mark(frame(number + 1)))
        assert not saved_again(one, fine_mark(np.roll(frame(number), 6, axis=1)))
