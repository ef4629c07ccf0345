"""Wires the station, once, by hand."""

import os
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Protocol
from uuid import UUID

from cardmint_contracts.cards import Card
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_edge import __version__
from cardmint_edge.adapters.broker import BrokerLink
from cardmint_edge.adapters.cameras.folder import FolderCamera
from cardmint_edge.adapters.cameras.live import LiveCamera, outlined
from cardmint_edge.adapters.cameras.replay import ReplayCamera
from cardmint_edge.adapters.cameras.simulator import SimulatorCamera
from cardmint_edge.adapters.cameras.video import VideoSource
from cardmint_edge.adapters.clock import Clock
from cardmint_edge.adapters.cloud_http import CloudHttp
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.image_table import ImageTable
from cardmint_edge.adapters.outbox import Outbox
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.systemd import Systemd
from cardmint_edge.adapters.task_table import TaskTable
from cardmint_edge.capture import Camera
from cardmint_edge.count import Counter
from cardmint_edge.domain.pace import Pace
from cardmint_edge.domain.recognition import Recogniser
from cardmint_edge.evict import Evictor, lacking
from cardmint_edge.forward import Appended, Forwarder
from cardmint_edge.numbers import Numbers
from cardmint_edge.outbox_commands import OUTBOX
from cardmint_edge.page.app import make_page
from cardmint_edge.page.doing import OPERATOR
from cardmint_edge.page.parts import Parts
from cardmint_edge.page.serve import PageServer
from cardmint_edge.page.show import STRIP, Box, View
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.settings import Camera as CameraSettings
from cardmint_edge.settings import Replay, Settings, Simulator, Tethered, Video
from cardmint_edge.station import Running, Station
from cardmint_edge.status import outbox_status
from cardmint_edge.tasks import Tasks
from cardmint_edge.upload import Uploader


class Catalogue(Protocol):
    """What the station needs of a pack beside recognition."""

    @property
    def version(self) -> str:
        """The pack's version."""
        ...

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its id."""
        ...

    def search(self, text: str) -> Sequence[Card]:
        """Find printings by words of name, number and set."""
        ...


TASKS_SHOWN = 3
HANGS_S = 90.0
"""No camera takes longer for one photo."""

IMAGES = "images"
BALLAST = "ballast"


def camera_of(settings: CameraSettings, start_at: int, seen: bytes) -> Camera:
    """Make the camera.

    One that can be resumed begins after the `start_at` shots that were counted or set aside; one that looks by itself
    knows the last counted card again by what was `seen` of it.
    """
    if isinstance(settings, Video):
        video = VideoSource(settings.device, width=settings.width, height=settings.height)
        return LiveCamera(video, seen=seen, by_itself=settings.by_itself)
    if isinstance(settings, Tethered):
        from cardmint_edge.adapters.cameras.gphoto import TetheredSource  # noqa: PLC0415 - loads libgphoto2

        return LiveCamera(TetheredSource(model=settings.model), seen=seen, by_itself=settings.by_itself)
    if isinstance(settings, Simulator):
        return SimulatorCamera(
            settings.images,
            count=settings.count,
            per_minute=settings.per_minute,
            preset=settings.preset,
            seed=settings.seed,
            start_at=start_at,
        )
    if isinstance(settings, Replay):
        return ReplayCamera(settings.path, loop=settings.loop, start_at=start_at)
    return FolderCamera(settings.path, settle_s=settings.settle_s)


def build(settings: Settings) -> Station:
    """Open everything that the settings name, and return the station, ready to run.

    Raises:
        Stop: something that the station cannot do without is missing or broken.
    """
    page_server = PageServer(settings.station.page_host, settings.station.page_port)
    pack = Pack(settings.recognition.pack)
    recogniser = recogniser_of(pack)
    outbox = Outbox.open(settings.station.data / OUTBOX)
    counters = outbox.counters
    last = outbox.scans(1)
    seen = last[0].looks if last else b""
    camera = camera_of(settings.camera, counters.scanned + counters.parked, seen)
    return assemble(
        settings=settings,
        outbox=outbox,
        camera=camera,
        recogniser=recogniser,
        page_server=page_server,
        pack=pack,
    )


def assemble(
    *,
    settings: Settings,
    outbox: Outbox,
    camera: Camera,
    recogniser: Recogniser,
    page_server: PageServer,
    pack: Catalogue,
) -> Station:
    """Put a station together from an open outbox, camera, recogniser and page."""
    clock = Clock()
    epoch = outbox.start()
    numbers = Numbers()
    store = ImageStore(settings.station.data / IMAGES)
    images = ImageTable(outbox.database)
    task_table = TaskTable(outbox.database)

    def state(online: bool) -> StationState:
        return StationState(
            online=online,
            epoch=epoch,
            bootid=clock.bootid,
            stream=outbox.mark.stream,
            time=datetime.now(UTC),
            version=__version__,
        )

    def health() -> StationHealth:
        status = outbox_status(outbox, images)
        stamp = clock()
        age = (stamp.time - status.oldest).total_seconds() if status.oldest else 0.0
        return StationHealth(
            time=stamp.time,
            queued=status.queued,
            oldest_unsent_s=max(0.0, age),
            disk_free_bytes=shutil.disk_usage(settings.station.data).free,
            clock_synced=stamp.clock_synced,
            pack=pack.version,
            camera=type(settings.camera).__name__.lower(),
            scanned=status.scanned,
        )

    tasks = Tasks(
        store=task_table,
        append=outbox.append,
        together=outbox.database.write,
        stamp=clock,
        printing=pack.card,
    )
    cloud = None
    if settings.cloud.url:
        tenant, limit = settings.station.tenant, settings.cloud.max_kb_per_s
        cloud = CloudHttp(url=settings.cloud.url, tenant=tenant, max_kb_per_s=limit)
    evictor = Evictor(
        ledger=images,
        files=store,
        append=outbox.append,
        together=outbox.database.write,
        stamp=clock,
        lack=lambda: lacking(settings.station.data, settings.station.reserve_mb << 20),
        ballast=settings.station.data / BALLAST,
    )
    uploader = Uploader(ledger=images, store=store, cloud=cloud) if cloud else None
    link = BrokerLink(
        broker=settings.broker,
        station=settings.station,
        state=state,
        health=health,
        tell=lambda news: forwarder.tell(news),  # noqa: PLW0108 - link and forwarder know each other
    )
    forwarder = Forwarder(
        outbox=outbox,
        link=link,
        tasks=tasks,
        source=f"/stations/{settings.station.name}",
        covered=uploader.wake if uploader else _nothing,
    )
    outbox.listen(lambda: forwarder.tell(Appended()))
    counter = Counter(
        camera=camera,
        recogniser=recogniser,
        facts=outbox,
        images=store,
        stamp=clock,
        counted=_beep if settings.station.beep else _nothing,
        timed=numbers.card,
    )

    pace, skipped = Pace(), set[UUID]()
    watching = camera if isinstance(camera, LiveCamera) else None

    def view(notice: str) -> View:
        status = outbox_status(outbox, images)
        waiting = sorted(task_table.open(TASKS_SHOWN + len(skipped)), key=lambda task: task.task in skipped)
        return View(
            status=status,
            box=Box(
                camera=name_of(camera, settings.camera),
                disk_free_bytes=shutil.disk_usage(settings.station.data).free,
                clock_synced=clock().clock_synced,
                pack=pack.version,
                version=__version__,
            ),
            drain_s=pace.look(time.monotonic(), status.queued),
            uploads_paused=uploader is not None and uploader.paused,
            has_live=watching is not None,
            link=forwarder.state,
            connected=forwarder.connected,
            fault=counter.fault,
            scans=outbox.scans(STRIP + 1),
            tasks=waiting[:TASKS_SHOWN],
            open_tasks=task_table.count(),
            uploads=uploader is not None,
            notice=notice,
        )

    page_server.show(
        make_page(
            Parts(
                station=settings.station.name,
                view=view,
                images=store,
                answers=tasks,
                search=pack.search,
                withdraw=lambda scan: outbox.withdraw(scan, OPERATOR, clock()),
                skip=skipped.add,
                capture=camera.capture,
                live=lambda: outlined(watching.view) if watching is not None else None,
                pause_uploads=uploader.pause if uploader is not None else _ignore,
                metrics=lambda: numbers.shown(outbox_status(outbox, images), health(), connected=forwarder.connected),
                pin=settings.station.page_pin,
                batch=lambda: outbox.batch,
                set_batch=outbox.set_batch,
            )
        )
    )

    def drained() -> bool:
        status = outbox_status(outbox, images)
        return status.queued == 0 and (uploader is None or status.images_waiting == 0)

    def well() -> str:
        if counter.finished or time.monotonic() - counter.beat < HANGS_S:
            return ""
        return f"counting has not moved for {HANGS_S:.0f} s: the camera or the recogniser hangs"

    def close() -> None:
        camera.close()
        if cloud is not None:
            cloud.close()

    parts = [Running(name="count", part=counter, may_end=True), Running(name="page", part=page_server)]
    parts.append(Running(name="evict", part=evictor))
    if uploader is not None:
        parts.append(Running(name="upload", part=uploader))
    parts += [Running(name="link", part=link), Running(name="forward", part=forwarder)]
    return Station(
        parts=parts,
        database=outbox.database,
        drained=drained,
        close=close,
        well=well,
        systemd=Systemd(os.environ),
    )


def _beep() -> None:
    sys.stderr.write("\a")
    sys.stderr.flush()


def name_of(camera: Camera, settings: CameraSettings) -> str:
    """Return what a camera is called."""
    return camera.name if isinstance(camera, LiveCamera) else type(settings).__name__.lower()


def _ignore(_: bool) -> None:
    pass


_nothing: Callable[[], None] = lambda: None  # noqa: E731 - a name for "nobody is told"
