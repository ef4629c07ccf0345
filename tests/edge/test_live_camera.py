"""Live cameras: each card gives one shot, and each error has a message and passes."""

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from cardmint_edge.adapters.cameras.gphoto import TetheredDevice
from cardmint_edge.adapters.cameras.live import LiveCamera
from cardmint_edge.adapters.cameras.video import VideoDevice
from cardmint_edge.capture import Shot
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.domain.vision.fingerprint import fingerprint
from cardmint_edge.errors import Retry

SIZE = (960, 640)


def mat(noise: int = 0) -> Frame:
    """The empty place under the camera. `noise` seeds the sensor's noise."""
    return np.random.default_rng(noise + 100).integers(
        54, 66, (SIZE[1], SIZE[0], 3), dtype=np.uint8
    )


def with_card(card: Frame, *, dx: int = 0, dy: int = 0, turn: float = 0, noise: int = 0) -> Frame:
    """A card on the mat, moved and turned."""
    frame = mat(noise)
    view = cv2.resize(card, (320, 448))
    spin = cv2.getRotationMatrix2D((160, 224), turn, 1)
    spin[:, 2] += (320 + dx, 96 + dy)
    lying = cv2.warpAffine(view, spin, SIZE)
    mask = cv2.warpAffine(np.full(view.shape[:2], 255, np.uint8), spin, SIZE)
    frame[mask > 127] = lying[mask > 127]
    return frame


def with_hand(frame: Frame) -> Frame:
    covered = frame.copy()
    cv2.circle(covered, (520, 420), 180, (120, 150, 220), -1)
    return covered


@pytest.fixture(scope="module")
def cards(fictional: Path) -> list[Frame]:
    names = ("emb-1", "emb-2", "tdw-3", "drk-9")
    read = [cv2.imread(str(fictional / "images" / f"{name}.jpg")) for name in names]
    return [np.asarray(card, dtype=np.uint8) for card in read]


class ScriptedDevice:
    """A device that shows the given frames, each for a tenth of a second.

    An error in the script is raised in its place.
    """

    def __init__(self, *frames: Frame | Retry) -> None:
        self.name = "script"
        self.note = ""
        self.frames = list(frames)
        self.now = 0.0
        self.opened = 0
        self.step = 0.1
        self.last = mat()
        self.photo: Frame | None = None

    def open(self) -> None:
        self.opened += 1

    def preview(self, timeout_s: float) -> Frame | None:
        self.now += self.step
        step = self.frames.pop(0) if self.frames else self.last
        if isinstance(step, Retry):
            raise step
        self.last = step
        return step

    def button_photo(self, timeout_s: float) -> Frame | None:
        return None

    def take_photo(self) -> Frame:
        return self.last

    def photo_counted(self) -> None: ...

    def close(self) -> None: ...


def still(frame: Callable[[int], Frame], count: int = 8, first: int = 0) -> list[Frame]:
    return [frame(first + number) for number in range(count)]


def taken(camera: LiveCamera, script: ScriptedDevice) -> int:
    """Play the script to its end, confirm each shot, and return the number of shots."""
    count = 0
    while script.frames:
        if camera.next(0.3) is not None:
            camera.confirm()
            count += 1
    return count


def live(script: ScriptedDevice, seen: bytes = b"", **more: bool) -> LiveCamera:
    return LiveCamera(script, last_fingerprint=seen, clock=lambda: script.now, **more)


def test_a_lying_card_is_one_sighting(cards: list[Frame]) -> None:
    card = cards[0]
    script = ScriptedDevice(
        *still(mat),
        *still(lambda n: with_card(card, noise=n), 20),
        *still(lambda n: with_hand(with_card(card, noise=n)), 3),
        *still(lambda n: with_card(card, noise=n, dx=6, dy=-4, turn=1.5), 20),
    )
    assert taken(live(script), script) == 1


def test_each_new_card_is_taken(cards: list[Frame]) -> None:
    frames = [
        frame
        for card in cards
        for frame in still(lambda n, card=card: with_card(card, dx=n // 8, noise=n), 10)  # type: ignore[misc]
    ]
    script = ScriptedDevice(*still(mat), *frames)
    assert taken(live(script), script) == len(cards)


def test_a_card_that_was_taken_away_and_comes_again_is_a_new_sighting(cards: list[Frame]) -> None:
    lies = still(lambda n: with_card(cards[1], noise=n))
    script = ScriptedDevice(*lies, *still(mat), *lies)
    assert taken(live(script), script) == 2


def test_a_repeat_is_one_only_where_the_place_was_not_empty(cards: list[Frame]) -> None:
    lies, empty = still(lambda n: with_card(cards[1], noise=n), 12), still(mat, 12)
    other = still(lambda n: with_card(cards[2], noise=n), 12)
    shots, camera = shots_of([*lies, *empty, *lies, *other], 10)
    assert [shot.same_place for shot in shots] == [False, False, True]
    camera.capture()
    again = camera.next(0.3)
    assert again is not None
    assert again.same_place, "by the key, what lies there"


def test_in_a_stack_each_hand_lays_another_card(cards: list[Frame]) -> None:
    lies = still(lambda n: with_card(cards[1], noise=n), 12)
    hand = still(lambda n: with_hand(with_card(cards[1], noise=n)), 3)
    script = ScriptedDevice(*lies, *hand, *lies, *hand, *lies)
    camera = live(script)
    camera.set_stack(True)
    assert taken(camera, script) == 3


def test_nothing_is_taken_while_it_moves_or_where_no_card_is(cards: list[Frame]) -> None:
    moving = [with_card(cards[0], dx=15 * number, noise=number) for number in range(-10, 10)]
    script = ScriptedDevice(*still(mat, 12), *moving, *still(mat, 12))
    assert taken(live(script), script) == 0


def test_a_restart_does_not_take_the_lying_card_again(cards: list[Frame]) -> None:
    lies = still(lambda n: with_card(cards[2], noise=n))
    script = ScriptedDevice(*lies)
    first = live(script)
    shot = first.next(3)
    assert shot is not None
    assert first.next(3) is shot, "until it is confirmed the same shot comes"
    after = ScriptedDevice(*still(lambda n: with_card(cards[2], noise=50 + n)))
    assert taken(live(after, seen=shot.fingerprint), after) == 0


def test_told_to_it_takes_what_lies_there_once(cards: list[Frame]) -> None:
    script = ScriptedDevice(*still(lambda n: with_card(cards[3], noise=n), 30))
    camera = live(script)
    assert camera.next(0.1) is None
    assert camera.capture()
    assert taken(camera, script) == 1
    by_key = ScriptedDevice(*still(lambda n: with_card(cards[3], noise=n), 30))
    assert taken(live(by_key, by_itself=False), by_key) == 0


def seconds(
    frame: Callable[[float], Frame], duration: float, rate: float, start: float = 0.0
) -> list[Frame]:
    """The frames of a time: `frame` takes the seconds since its beginning."""
    return [frame(start + number / rate) for number in range(round(duration * rate))]


def noisy(card: Frame | None) -> Callable[[float], Frame]:
    """A card on the mat, or the mat alone, with other noise at every moment."""
    variants = [mat(n) if card is None else with_card(card, noise=n) for n in range(3)]
    return lambda at: variants[round(at * 100) % 3]


def shots_of(frames: list[Frame], rate: float) -> tuple[list[Shot], LiveCamera]:
    script = ScriptedDevice(*frames)
    script.step = 1 / rate
    camera = live(script)
    shots = []
    while script.frames:
        shot = camera.next(0.3)
        if shot is not None:
            shots.append(shot)
            camera.confirm()
    return shots, camera


RATES = [5, 30]


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("gamma", [1.0, 2.2], ids=["even", "by-eye"])
def test_a_camera_that_warms_up_takes_the_card_when_it_is_bright(
    cards: list[Frame], rate: float, gamma: float
) -> None:
    lies = noisy(cards[0])

    def frame(at: float) -> Frame:
        light = (0.06 + 0.94 * min(1.0, at / 3)) ** gamma
        return np.asarray(lies(at) * np.float32(light), dtype=np.uint8)

    shots, camera = shots_of(seconds(frame, 4.5, rate), rate)
    assert len(shots) == 1
    wanted = with_card(cards[0])[100:540, 330:630].mean()
    assert shots[0].frame[100:540, 330:630].mean() > 0.95 * wanted
    assert (camera.next(1.0), camera.trouble) == (None, "")


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("blur", [2.0, 6.0])
@pytest.mark.parametrize("at_once", [True, False], ids=["at once", "slowly"])
def test_a_card_is_taken_when_the_focus_has_found_it(
    cards: list[Frame], rate: float, blur: float, at_once: bool
) -> None:
    sharp, empty = with_card(cards[1]), mat()

    def frame(at: float) -> Frame:
        if at < 0.3:
            return empty
        left = (1.0 if at_once else (1.2 - at) / 0.9) * blur
        shown = sharp if at >= 1.2 or left < 0.2 else cv2.GaussianBlur(sharp, (0, 0), left)
        return np.asarray(shown, dtype=np.uint8)

    shots, _ = shots_of(seconds(frame, 2.5, rate), rate)
    assert len(shots) == 1
    assert np.abs(shots[0].frame.astype(int) - sharp).mean() < 3


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("share", [0.04, 0.06])
@pytest.mark.parametrize("along", [0, 1], ids=["rows", "columns"])
def test_bands_of_brightness_keep_no_card_from_being_taken(
    cards: list[Frame], rate: float, share: float, along: int
) -> None:
    card, empty = noisy(cards[2]), noisy(None)

    def frame(at: float) -> Frame:
        lies = (card if at > 0.5 else empty)(at)
        place = np.linspace(0, 4 * np.pi, lies.shape[along], dtype=np.float32)
        bands = 1 + share * np.sin(place + 9.7 * at)
        light = bands[:, None, None] if along == 0 else bands[None, :, None]
        return np.asarray(np.clip(lies * light, 0, 255), dtype=np.uint8)

    shots, camera = shots_of(seconds(frame, 4, rate), rate)
    assert (len(shots), camera.trouble) == (1, "")


@pytest.mark.parametrize("rate", [10, 20])
def test_light_that_flickers_too_much_is_named(cards: list[Frame], rate: float) -> None:
    lies = np.minimum(with_card(cards[2]), 150)

    def frame(at: float) -> Frame:
        patches = np.random.default_rng(round(at * 1000)).uniform(0.87, 1.13, (10, 15, 1))
        light = cv2.resize(patches, SIZE, interpolation=cv2.INTER_NEAREST)[..., None]
        return np.asarray(lies * light, dtype=np.uint8)

    shots, camera = shots_of(seconds(frame, 6, rate), rate)
    assert shots == []
    assert "anti-flicker" in camera.trouble
    shots, camera = shots_of([*seconds(frame, 6, rate), *[lies] * 60], rate)
    assert (len(shots), camera.trouble) == (1, "")


def test_brightness_that_never_settles_is_named(cards: list[Frame]) -> None:
    lies = with_card(cards[0])

    def frame(at: float) -> Frame:
        return np.asarray(np.minimum(lies * np.float32(0.12 * 1.4**at), 255), dtype=np.uint8)

    shots, camera = shots_of(seconds(frame, 6, 30), 30)
    assert shots == []
    assert "exposure by hand" in camera.trouble


@pytest.mark.parametrize(("fault", "said"), [("blurred", "focus"), ("dark", "light")])
def test_a_card_that_stays_blurred_or_dark_is_taken_and_that_is_said(
    cards: list[Frame], fault: str, said: str
) -> None:
    lies = with_card(cards[3])
    bad = cv2.GaussianBlur(lies, (0, 0), 3) if fault == "blurred" else lies * 0.2

    def frame(at: float) -> Frame:
        return np.asarray(bad, dtype=np.uint8) if at > 0.5 else empty

    empty = mat()
    shots, camera = shots_of(seconds(frame, 5, 10), 10)
    assert len(shots) == 1
    assert said in camera.trouble


@pytest.mark.parametrize("mat_light", [1.0, 0.3])
def test_darkness_and_a_moment_out_of_focus_make_no_new_card(
    cards: list[Frame], mat_light: float
) -> None:
    ground = with_card(np.zeros_like(cards[0])) > 20
    lies = with_card(cards[0])
    lies = np.asarray(np.where(ground, lies * mat_light, lies), dtype=np.uint8)
    dark = np.asarray(lies * 0.03, dtype=np.uint8)
    blurred = np.asarray(cv2.GaussianBlur(lies, (0, 0), 20), dtype=np.uint8)
    empty = np.asarray(mat() * mat_light, dtype=np.uint8)

    def frame(at: float) -> Frame:
        if 2 < at < 4:
            return dark
        if 6 < at < 6.4:
            return blurred
        # Then the card is lifted, and the same one laid again.
        return empty if 8 < at < 9 else lies

    shots, _ = shots_of(seconds(frame, 11, 10), 10)
    assert len(shots) == 2


def test_unplugged_and_plugged_again(cards: list[Frame]) -> None:
    lies = still(lambda n: with_card(cards[0], noise=n))
    script = ScriptedDevice(*lies[:2], Retry("unplugged"), *lies)
    camera = live(script)
    assert camera.next(0.1) is None
    with pytest.raises(Retry, match="unplugged"):
        camera.next(0.3)
    gone = camera.preview
    assert gone is None
    assert taken(camera, script) == 1
    assert script.opened == 2
    back = camera.preview
    assert back is not None
    assert back[1] is not None
    camera.close()
    assert not camera.done


def test_looks_of_what_is_no_picture() -> None:
    assert fingerprint(np.zeros((4, 4, 2), dtype=np.uint8)) == b""


def test_a_video_device(tmp_path: Path, cards: list[Frame]) -> None:
    film = str(tmp_path / "film.avi")
    writer = cv2.VideoWriter(film, cv2.VideoWriter_fourcc(*"MJPG"), 10, SIZE)  # type: ignore[attr-defined]
    for frame in [*still(mat, 3), *still(lambda n: with_card(cards[0], noise=n), 8)]:
        writer.write(frame)
    writer.release()
    now = iter(range(10_000))
    camera = LiveCamera(VideoDevice(film), clock=lambda: next(now) / 10)
    shots: list[Shot] = []

    def play() -> None:
        while True:
            shot = camera.next(0.5)
            if shot is not None:
                shots.append(shot)
                camera.confirm()

    with pytest.raises(Retry, match="unplugged"):
        play()
    assert [shot.frame.shape for shot in shots] == [(640, 960, 3)]
    with pytest.raises(Retry, match="no such camera"):
        VideoDevice(str(tmp_path / "none.avi")).open()
    source = VideoDevice(film)
    source.open()
    assert source.take_photo().shape == (640, 960, 3)
    assert source.button_photo(0) is None
    source.close()


class FakeWebcam:
    """A webcam that has one size, one format and one rate, whatever it is asked for."""

    def __init__(self, size: tuple[int, int], letters: str, rate: float) -> None:
        self.size, self.rate, self.now = size, rate, 0.0
        self.format = cv2.VideoWriter.fourcc(*letters)
        self.asked = list[tuple[int, float]]()

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        return True

    def set(self, property_: int, value: float, /) -> bool:
        self.asked.append((property_, value))
        return False

    def get(self, property_: int, /) -> float:
        return self.format if property_ == cv2.CAP_PROP_FOURCC else 0.0

    def read(self) -> tuple[bool, object]:
        self.now += 1 / self.rate
        return True, np.full((self.size[1], self.size[0], 3), 90, np.uint8)

    def release(self) -> None: ...


@pytest.mark.parametrize(
    ("size", "letters", "rate", "note"),
    [
        ((1920, 1080), "MJPG", 30, ""),
        ((640, 480), "MJPG", 30, "video 0 gives 640 x 480 in MJPG where 1920 x 1080 is set"),
        ((1920, 1080), "YUYV", 5, "video 0 gives 5 pictures a second (1920 x 1080 in YUYV)"),
    ],
)
def test_a_webcam_is_asked_for_motion_jpeg_and_what_it_gives_is_said(
    size: tuple[int, int], letters: str, rate: float, note: str
) -> None:
    webcam = FakeWebcam(size, letters, rate)
    device = VideoDevice(0, make=lambda _: webcam, clock=lambda: webcam.now)
    camera = LiveCamera(device, clock=lambda: webcam.now)
    assert camera.trouble == ""
    assert camera.next(5) is None
    assert camera.trouble.startswith(note)
    assert bool(camera.trouble) == bool(note)
    assert webcam.asked[:3] == [
        (cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*"MJPG")),
        (cv2.CAP_PROP_FRAME_WIDTH, 1920),
        (cv2.CAP_PROP_FRAME_HEIGHT, 1080),
    ]


class CameraStand:
    """libgphoto2's virtual camera: it photographs the file in its folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "DCIM" / "100CARDS"
        self.folder.mkdir(parents=True)

    def lay(self, card: Frame | None) -> None:
        for lying in self.folder.iterdir():
            lying.unlink()
        if card is not None:
            cv2.imwrite(str(self.folder / "CARD_001.JPG"), with_card(card))


@pytest.fixture
def stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> CameraStand:
    import gphoto2

    monkeypatch.setenv("IOLIBS", str(Path(gphoto2.__file__).parent / "libgphoto2" / "vusb"))
    monkeypatch.setenv("VCAMERADIR", str(tmp_path / "camera"))
    return CameraStand(tmp_path / "camera")


def test_a_tethered_camera_takes_photos_when_told(stand: CameraStand, cards: list[Frame]) -> None:
    stand.lay(cards[0])
    camera = LiveCamera(TetheredDevice(model="nikon"))
    assert camera.next(0.1) is None, "it shows no preview, so it cannot see a card lie"
    for number in (1, 2):
        camera.capture()
        shot = camera.next(1)
        assert shot is not None
        assert shot.frame.shape == (640, 960, 3)
        assert shot.origin == f"Nikon DSC D750 {number}"
        camera.confirm()
    camera.close()


def test_a_tethered_camera_says_what_is_wrong_and_comes_back(
    stand: CameraStand, cards: list[Frame], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    stand.lay(cards[0])
    with pytest.raises(Retry, match=r"is a Nikon DSC D750, the settings name 'Canon'"):
        LiveCamera(TetheredDevice(model="Canon")).next(0)
    with pytest.raises(Retry, match="battery is at 50%; charge it"):
        LiveCamera(TetheredDevice(low_battery=60)).next(0)
    camera = LiveCamera(TetheredDevice())
    camera.capture()
    assert camera.next(1) is not None
    camera.confirm()
    stand.lay(None)
    camera.capture()
    with pytest.raises(Retry, match="Nikon DSC D750: "):
        camera.next(1)
    stand.lay(cards[1])
    shot = camera.next(1)
    assert shot is not None, "what it was told holds until it is done"
    camera.close()
    (tmp_path / "nothing").mkdir()
    monkeypatch.setenv("IOLIBS", str(tmp_path / "nothing"))
    with pytest.raises(Retry, match=r"tethered camera: .*plug"):
        LiveCamera(TetheredDevice()).next(0)
