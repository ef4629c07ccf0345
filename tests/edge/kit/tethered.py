"""A camera that speaks as libgphoto2 does, and replays the order of events of real cameras."""

from dataclasses import dataclass, field
from types import SimpleNamespace

import gphoto2
from tests.edge.kit.clock import ManualClock

FOLDER = "/store_00010001/DCIM/100CARDS"
File = tuple[str, bytes]
Event = tuple[int, object]


def file_added(name: str, folder: str = FOLDER) -> Event:
    return gphoto2.GP_EVENT_FILE_ADDED, SimpleNamespace(folder=folder, name=name)


NOISE: Event = (gphoto2.GP_EVENT_UNKNOWN, "PTP Property d1d3 changed")
COMPLETE: Event = (gphoto2.GP_EVENT_CAPTURE_COMPLETE, None)


class CameraBuffer:
    """A file from the camera, as `gphoto2.CameraFile`."""

    def __init__(self, content: bytes) -> None:
        self._content = content

    def get_data_and_size(self) -> bytes:
        return self._content


@dataclass
class FakeTethered:
    """The hardware: its memory card, and the events that it will send, each at its time.

    `make` is `gphoto2.Camera`. `order` are the files of each release, in the order in which the
    camera reports them, and the seconds until each; the first is what `capture` returns.
    `error` is raised by the next call, `full` is a memory card without room.
    """

    time: ManualClock
    model: str = "Canon EOS R6"
    battery: str = "80%"
    files: dict[str, bytes] = field(default_factory=dict)
    preview: bytes | None = None
    order: list[list[tuple[float, str, bytes]]] = field(default_factory=list)
    events: list[tuple[float, Event]] = field(default_factory=list)
    releases: int = 0
    deleted: list[str] = field(default_factory=list)
    opened: int = 0
    full: bool = False
    error: int = 0

    def make(self) -> "FakeTethered":
        return self

    def press(self, *files: tuple[float, str, bytes]) -> None:
        """Press the camera's own button: it reports each file after so many seconds."""
        for after, name, content in files:
            self._save(after, name, content)
        self.send(max(after for after, _, _ in files), COMPLETE)

    def send(self, after: float, event: Event) -> None:
        """Send an event after so many seconds."""
        self.events.append((self.time.now + after, event))
        self.events.sort(key=lambda due: due[0])

    def init(self) -> None:
        self._fail()
        self.opened += 1

    def exit(self) -> None: ...

    def get_abilities(self) -> SimpleNamespace:
        return SimpleNamespace(model=self.model)

    def get_single_config(self, name: str) -> SimpleNamespace:
        if not self.battery:
            raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_NOT_SUPPORTED)
        return SimpleNamespace(get_value=lambda: self.battery)

    def capture_preview(self) -> CameraBuffer:
        self._fail()
        if self.preview is None:
            raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_NOT_SUPPORTED)
        self.time.sleep(0.05)
        return CameraBuffer(self.preview)

    def capture(self, _kind: int) -> SimpleNamespace:
        self._fail()
        if self.full:
            raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_NO_SPACE)
        self.releases += 1
        (_, name, content), *rest = self.order.pop(0)
        self.files[name] = content
        for after, other, bytes_ in rest:
            self._save(after, other, bytes_)
        return SimpleNamespace(folder=FOLDER, name=name)

    def wait_for_event(self, timeout_ms: int) -> Event:
        self._fail()
        until = self.time.now + timeout_ms / 1000
        if self.events and self.events[0][0] <= until:
            at, event = self.events.pop(0)
            self.time.sleep(max(0.0, at - self.time.now))
            return event
        self.time.sleep(timeout_ms / 1000)
        return gphoto2.GP_EVENT_TIMEOUT, None

    def file_get(self, folder: str, name: str, _kind: int) -> CameraBuffer:
        self._fail()
        if name not in self.files:
            raise gphoto2.GPhoto2Error(gphoto2.GP_ERROR_FILE_NOT_FOUND)
        return CameraBuffer(self.files[name])

    def file_delete(self, folder: str, name: str) -> None:
        del self.files[name]
        self.deleted.append(name)

    def _save(self, after: float, name: str, content: bytes) -> None:
        self.files[name] = content
        self.send(after, file_added(name))

    def _fail(self) -> None:
        error, self.error = self.error, 0
        if error:
            raise gphoto2.GPhoto2Error(error)
