"""Tethered cameras: one press or order is at most one shot, in whatever order the files come."""

import io
from pathlib import Path

import gphoto2
import pytest
from PIL import Image
from tests.edge.kit.clock import ManualClock
from tests.edge.kit.tethered import NOISE, FakeTethered, file_added

from cardmint_edge.adapters.cameras.gphoto import PAIR_S, TetheredDevice
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.capture import Shot
from cardmint_edge.errors import Park, Retry

RAW = b"II*\0\x10\0\0\0CR\2\0 a raw file that no decoder of the station reads"


@pytest.fixture
def time() -> ManualClock:
    return ManualClock()


@pytest.fixture
def fake(time: ManualClock) -> FakeTethered:
    return FakeTethered(time)


@pytest.fixture
def camera(fake: FakeTethered, time: ManualClock) -> LiveCamera:
    device = TetheredDevice(make=fake.make, clock=time.clock, sleep=time.sleep)
    opened = LiveCamera(device, clock=time.clock)
    assert opened.next(0.1) is None
    return opened


@pytest.fixture
def photos(fictional: Path) -> list[bytes]:
    return [(fictional / "images" / f"emb-{n}.jpg").read_bytes() for n in range(1, 6)]


def small_preview(photo: bytes) -> bytes:
    """A raw file that Pillow takes for a TIFF with a small picture, as a NEF."""
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((160, 120)).save(buffer, "TIFF")
    return buffer.getvalue()


def counted(camera: LiveCamera, time: ManualClock, seconds: float) -> tuple[list[Shot], list[str]]:
    """Take and confirm every shot for so many seconds; return them, and what was set aside."""
    shots, aside = list[Shot](), list[str]()
    until = time.now + seconds
    while time.now < until:
        try:
            shot = camera.next(0.25)
        except Park as error:
            aside.append(str(error))
            continue
        if shot is not None:
            shots.append(shot)
            camera.confirm()
    return shots, aside


# What each make reports for one release, and after how many seconds: the raw file is RAW, the JPEG
# JPG. The last two cameras are slow.
ORDERS = {
    "Canon: raw first": [(0.0, "IMG_0001.CR2", "raw"), (0.4, "IMG_0001.JPG", "jpeg")],
    "Canon: CR3 first": [(0.0, "IMG_0001.CR3", "raw"), (0.6, "IMG_0001.JPG", "jpeg")],
    "Nikon: raw first": [(0.0, "DSC_0001.NEF", "tiff"), (0.5, "DSC_0001.JPG", "jpeg")],
    "Nikon: JPEG first": [(0.0, "DSC_0001.JPG", "jpeg"), (0.7, "DSC_0001.NEF", "tiff")],
    "Sony: JPEG first": [(0.0, "DSC00001.JPG", "jpeg"), (1.2, "DSC00001.ARW", "tiff")],
    "Fuji: JPEG alone": [(0.0, "DSCF0001.JPG", "jpeg")],
    "in lower case": [(0.0, "capt0000.cr2", "raw"), (0.3, "capt0000.jpg", "jpeg")],
    "HEIF beside JPEG": [(0.0, "IMG_0001.JPG", "jpeg"), (0.3, "IMG_0001.HIF", "raw")],
    "JPEG after four seconds": [(0.0, "IMG_0001.CR3", "raw"), (4.0, "IMG_0001.JPG", "jpeg")],
    "raw after five seconds": [(0.0, "IMG_0001.JPG", "jpeg"), (5.0, "IMG_0001.CR3", "raw")],
}


def files_of(order: str, photo: bytes) -> list[tuple[float, str, bytes]]:
    contents = {"raw": RAW, "tiff": small_preview(photo), "jpeg": photo}
    return [(after, name, contents[kind]) for after, name, kind in ORDERS[order]]


@pytest.mark.parametrize("order", ORDERS)
def test_one_press_of_the_button_is_one_shot(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes], order: str
) -> None:
    fake.press(*files_of(order, photos[0]))
    shots, aside = counted(camera, time, 20)
    assert ([shot.frame.shape for shot in shots], aside) == ([(880, 630, 3)], [])
    jpeg = next(name for _, name, kind in ORDERS[order] if kind == "jpeg")
    assert fake.deleted == [jpeg], "the raw file stays on the camera"


@pytest.mark.parametrize("preview", [False, True], ids=["without preview", "with preview"])
@pytest.mark.parametrize("order", ORDERS)
def test_one_order_is_one_shot_and_one_release(
    fake: FakeTethered, time: ManualClock, photos: list[bytes], order: str, preview: bool
) -> None:
    fake.preview = small_jpeg(photos[0]) if preview else None
    device = TetheredDevice(make=fake.make, clock=time.clock, sleep=time.sleep)
    camera = LiveCamera(device, by_itself=False, clock=time.clock)
    fake.order = [files_of(order, photos[0])]
    fake.send(0.2, NOISE)
    camera.capture()
    shots, aside = counted(camera, time, 20)
    assert ([shot.frame.shape for shot in shots], aside) == ([(880, 630, 3)], [])
    assert fake.releases == 1


def small_jpeg(photo: bytes) -> bytes:
    buffer = io.BytesIO()
    Image.open(io.BytesIO(photo)).resize((240, 160)).save(buffer, "JPEG")
    return buffer.getvalue()


@pytest.mark.parametrize("order", ORDERS)
def test_orders_and_presses_in_turn_are_each_one_shot(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes], order: str
) -> None:
    def renamed(number: int) -> list[tuple[float, str, bytes]]:
        return [
            (after, name.replace("0001", f"000{number}").replace("0000", f"000{number}"), content)
            for after, name, content in files_of(order, photos[number - 1])
        ]

    seen = list[Shot]()
    for number in (1, 2, 3, 4):
        if number % 2:
            fake.press(*renamed(number))
        else:
            fake.order = [renamed(number)]
            camera.capture()
        # The second file of one photo may come while the next one is taken.
        shots, aside = counted(camera, time, 1.5 if ORDERS[order][-1][0] < 1.5 else 8)
        assert aside == []
        seen += shots
    seen += counted(camera, time, 20)[0]
    assert len(seen) == 4


def test_a_camera_that_saves_raw_only_releases_once_and_says_so(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock
) -> None:
    fake.order = [[(0.0, f"IMG_000{n}.CR3", RAW)] for n in range(5)]
    camera.capture()
    shots, aside = counted(camera, time, 60)
    assert (shots, fake.releases) == ([], 1)
    [said] = aside
    assert said == (
        "Canon EOS R6: it saved only the raw file IMG_0000.CR3; set its image quality to JPEG,"
        " or to raw and JPEG, and take the card again"
    )
    fake.press((0.0, "IMG_0009.CR3", RAW))
    shots, aside = counted(camera, time, 60)
    assert (shots, len(aside), fake.deleted) == ([], 1, [])


def test_a_raw_file_alone_is_not_waited_for_by_the_next_photo(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.press((0.0, "IMG_0001.CR3", RAW))
    fake.press((0.5, "IMG_0002.JPG", photos[0]))
    shots, aside = counted(camera, time, PAIR_S + 2)
    assert (len(shots), len(aside)) == (1, 1)


def test_nothing_is_removed_from_the_camera_before_it_is_counted(
    camera: LiveCamera, fake: FakeTethered, photos: list[bytes]
) -> None:
    fake.press((0.0, "IMG_0001.JPG", photos[0]))
    assert camera.next(1) is not None
    assert camera.next(1) is not None
    assert fake.deleted == []
    camera.confirm()
    camera.confirm()
    assert fake.deleted == ["IMG_0001.JPG"]
    fake.press((0.0, "IMG_0002.JPG", photos[1]))
    assert camera.next(1) is not None
    camera.set_aside("unusable-picture", "it cannot be stored")
    assert fake.deleted == ["IMG_0001.JPG"]


def test_a_photo_that_cannot_be_removed_is_counted_all_the_same(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.press((0.0, "IMG_0001.JPG", photos[0]))
    assert camera.next(1) is not None
    fake.files.clear()
    fake.file_delete = lambda *_: fake.file_get("", "", 0)  # type: ignore[method-assign, assignment]
    camera.confirm()
    assert counted(camera, time, 3) == ([], [])


def test_the_same_news_twice_is_one_photo(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.order = [[(0.0, "IMG_0001.JPG", photos[0])]]
    fake.send(0.3, file_added("IMG_0001.JPG"))
    camera.capture()
    shot = camera.next(0.1)
    assert shot is not None
    assert counted(camera, time, 2)[0] == [shot], "its file is gone from the camera by then"
    fake.press((0.0, "IMG_0002.JPG", photos[1]), (0.0, "IMG_0002.JPG", photos[1]))
    shot = camera.next(1)
    assert shot is not None
    camera.set_aside("unusable-picture", "it stays on the camera")
    assert counted(camera, time, 3) == ([], [])


def test_a_name_that_comes_again_with_another_picture_is_another_photo(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    """In memory some cameras use one name for every photo."""
    shots = list[Shot]()
    for photo in photos[:3]:
        fake.press((0.0, "capt0000.jpg", photo))
        shots += counted(camera, time, 1)[0]
    fake.order = [[(0.0, "capt0000.jpg", photos[2])]]
    camera.capture()
    shots += counted(camera, time, 1)[0]
    assert len(shots) == 4


@pytest.mark.parametrize("gap", [0.0, 0.05, 0.25])
def test_a_thousand_old_photos_are_left_alone(
    fake: FakeTethered, time: ManualClock, photos: list[bytes], gap: float
) -> None:
    for number in range(1000 if gap < 0.1 else 100):
        fake.press((gap * number, f"OLD_{number:04}.JPG", photos[number % 5]))
    device = TetheredDevice(make=fake.make, clock=time.clock, sleep=time.sleep)
    camera = LiveCamera(device, clock=time.clock)
    assert counted(camera, time, 60) == ([], [])
    assert len(fake.files) >= 100
    fake.press((0.0, "IMG_0001.JPG", photos[0]))
    assert len(counted(camera, time, 2)[0]) == 1
    assert fake.deleted == ["IMG_0001.JPG"]


def test_a_photo_is_ordered_while_old_ones_are_listed(
    fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    for number in range(400):
        fake.press((0.05 * number, f"OLD_{number:04}.JPG", photos[number % 5]))
    device = TetheredDevice(make=fake.make, clock=time.clock, sleep=time.sleep)
    camera = LiveCamera(device, clock=time.clock)
    assert counted(camera, time, 6) == ([], [])
    fake.order = [files_of("Canon: raw first", photos[0])]
    camera.capture()
    assert len(counted(camera, time, 60)[0]) == 1
    assert fake.deleted == ["IMG_0001.JPG"]


def test_a_full_memory_card_is_said_and_the_photo_taken_when_there_is_room(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.full = True
    fake.order = [[(0.0, "IMG_0001.JPG", photos[0])]]
    camera.capture()
    for _ in range(3):
        with pytest.raises(Retry, match="the camera's card is full; empty it"):
            camera.next(1)
    fake.full = False
    assert len(counted(camera, time, 2)[0]) == 1
    assert fake.releases == 1


def test_a_photo_is_fetched_after_the_cable_failed(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.press((0.0, "IMG_0001.JPG", photos[0]))
    get, failed = fake.file_get, list[str]()

    def fail_once(folder: str, name: str, kind: int) -> object:
        if not failed:
            failed.append(name)
            raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_IO_READ)
        return get(folder, name, kind)

    fake.file_get = fail_once  # type: ignore[method-assign, assignment]
    with pytest.raises(Retry, match="the cable fails"):
        camera.next(1)
    assert (len(counted(camera, time, 2)[0]), fake.opened) == (1, 2)


def test_a_damaged_photo_is_set_aside_once(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.order = [[(0.0, "IMG_0001.JPG", photos[0][:2000])]]
    camera.capture()
    shots, aside = counted(camera, time, 10)
    assert (shots, fake.releases, fake.deleted) == ([], 1, [])
    assert len(aside) == 1
    assert "IMG_0001.JPG is damaged or cut short" in aside[0]
    fake.press((0.0, "IMG_0002.JPG", photos[0][:2000]))
    assert len(counted(camera, time, 10)[1]) == 1


def test_a_camera_that_never_rests_holds_up_nothing(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    for tenth in range(600):
        fake.send(tenth / 10, NOISE)
    fake.press((1.0, "IMG_0001.JPG", photos[0]))
    assert len(counted(camera, time, 30)[0]) == 1


def test_a_preview_that_is_no_picture_says_so(
    fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    fake.preview = photos[0][:500]
    device = TetheredDevice(make=fake.make, clock=time.clock, sleep=time.sleep)
    with pytest.raises(Retry, match="its preview is damaged"):
        LiveCamera(device, clock=time.clock).next(1)


def test_every_error_of_the_camera_passes(
    camera: LiveCamera, fake: FakeTethered, time: ManualClock, photos: list[bytes]
) -> None:
    errors = [gphoto2.GP_ERROR_IO, gphoto2.GP_ERROR_TIMEOUT, gphoto2.GP_ERROR_CAMERA_BUSY, -2000]
    for number, error in enumerate(errors):
        fake.error = error
        with pytest.raises(Retry, match="Canon EOS R6: "):
            camera.next(1)
        fake.press((0.5, f"IMG_000{number}.JPG", photos[number]))
        assert len(counted(camera, time, 3)[0]) == 1
