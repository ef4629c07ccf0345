"""Wires the station, once, by hand."""

import os
import shutil
import sys
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cardmint_contracts.control import DesiredConfig, ReportedConfig
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_edge import __version__
from cardmint_edge.adapters.artifacts import ArtifactStore, artifact_folder
from cardmint_edge.adapters.cameras.live import LiveCamera, outlined
from cardmint_edge.adapters.cameras.selection import OpenCamera, camera_of
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.models import FOLDER
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.adapters.systemd import Systemd
from cardmint_edge.capture import Camera
from cardmint_edge.count import CardCounter
from cardmint_edge.domain.delivery.drain_estimate import DrainEstimator
from cardmint_edge.domain.delivery.messages import EventAppended
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.evict import Evictor, missing_bytes
from cardmint_edge.forward import Forwarder
from cardmint_edge.metrics import StationMetrics
from cardmint_edge.outbox_commands import OUTBOX
from cardmint_edge.page.actions import OPERATOR
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.routes import make_page
from cardmint_edge.page.server import PageServer
from cardmint_edge.page.views import STRIP, MachineSummary, PriceSummary, StationView
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.remote_actions import RemoteSettings, actions_of
from cardmint_edge.remote_commands import RemoteControl
from cardmint_edge.review_tasks import ReviewTasks
from cardmint_edge.rollout import (
    ActiveRecognition,
    RecognitionBundle,
    Rollout,
    accepted_here,
    open_installed,
)
from cardmint_edge.settings import EdgeSettings
from cardmint_edge.status import OutboxStatus, outbox_status
from cardmint_edge.supervisor import ComponentThread, StationSupervisor
from cardmint_edge.upload import Uploader

if TYPE_CHECKING:
    from cardmint_edge.adapters.cloud_http import CloudHttp

IMAGES = "images"
BALLAST = "ballast"
TASKS_SHOWN = 3
SAMPLES = 20
RESTART_S = 0.5
"""The answer to the command leaves first."""

HANGS_S = 90.0
"""No camera takes longer for one photo."""


def build(settings: EdgeSettings, open_camera: OpenCamera = camera_of) -> StationSupervisor:
    """Open everything that the settings name, and return the station, ready to run.

    Raises:
        Stop: something that the station cannot do without is missing or broken.
    """
    page_server = PageServer(settings.station.page_host, settings.station.page_port)
    folder = artifact_folder(settings.station.data)
    artifacts = ArtifactStore(folder, key=settings.recognition.signed_by)
    in_use = ActiveRecognition(open_installed(artifacts, opener(settings)))
    outbox = Outbox.open(settings.station.data / OUTBOX)
    counters = outbox.counters
    last = outbox.recent_scans(1)
    seen = last[0].fingerprint if last else b""
    camera = open_camera(settings.camera, counters.scanned + counters.parked, seen)
    return Assembly(settings, outbox, camera, in_use, artifacts).station(page_server)


def opener(settings: EdgeSettings) -> Callable[[Path | None, Path | None], RecognitionBundle]:
    """Return what opens a pack and a folder of models, or those of the settings."""

    def opened(pack: Path | None, models: Path | None) -> RecognitionBundle:
        found = Pack(pack or settings.recognition.pack)
        return RecognitionBundle(catalogue=found, recogniser=recogniser_of(found, models or FOLDER))

    return opened


class Assembly:
    """The station's parts, and what they ask of each other."""

    def __init__(
        self,
        settings: EdgeSettings,
        outbox: Outbox,
        camera: Camera,
        in_use: ActiveRecognition,
        artifacts: ArtifactStore,
    ) -> None:
        self.settings = settings
        self.outbox = outbox
        self.camera = camera
        self.in_use = in_use
        self.artifacts = artifacts
        self.clock = StationClock()
        self.systemd = Systemd(os.environ)
        self.metrics = StationMetrics()
        self.drain = DrainEstimator()
        self.skipped: set[UUID] = set()
        self.epoch = outbox.count_start()
        self.store = ImageStore(settings.station.data / IMAGES)
        self.images = ImageTable(outbox.database)
        self.task_table = TaskTable(outbox.database)
        self.tunable = RemoteSettings(
            max_kb_per_s=settings.cloud.max_kb_per_s, reserve_mb=settings.station.reserve_mb
        )
        self.tasks = ReviewTasks(
            store=self.task_table,
            append=outbox.append,
            transaction=outbox.database.write,
            read_clock=self.clock,
            find_card=in_use.card,
        )
        self.cloud, self.uploader = self._uploading()
        self.rollout = Rollout(
            in_use=in_use,
            artifacts=artifacts,
            open_=opener(settings),
            samples=self._samples,
            changed=lambda says: self.remote_control.report(says),  # noqa: PLW0108 - made below
        )
        self.counter = CardCounter(
            camera=camera,
            recogniser=in_use,
            outbox=outbox,
            images=self.store,
            read_clock=self.clock,
            on_counted=self._on_counted,
            scan_to_repeat=lambda: self.tasks.scan_to_repeat,
            on_timings=self.metrics.observe_card,
            on_decision=self.rollout.card_counted,
        )
        self.link = BrokerLink(
            broker=settings.broker,
            station=settings.station,
            state=self._state,
            health=self._health,
            to_forwarder=lambda message: self.forwarder.post(message),  # noqa: PLW0108 - made below
            to_control=lambda message: self.remote_control.post(message),  # noqa: PLW0108 - made below
        )
        self.forwarder = Forwarder(
            outbox=outbox,
            link=self.link,
            tasks=self.tasks,
            source=f"/stations/{settings.station.name}",
            on_receipt=self.uploader.wake if self.uploader else _nothing,
        )
        outbox.call_on_append(lambda: self.forwarder.post(EventAppended()))
        self.evictor = Evictor(
            images=self.images,
            files=self.store,
            append=outbox.append,
            transaction=outbox.database.write,
            read_clock=self.clock,
            missing_bytes=lambda: missing_bytes(
                settings.station.data, self.tunable.reserve_mb << 20
            ),
            ballast=settings.station.data / BALLAST,
        )
        self.remote_control = RemoteControl(
            link=self.link,
            actions=actions_of(
                camera=camera,
                last_scan=self._last_scan,
                withdraw=self._withdraw,
                reload=self._reload,
                restart=self._restart,
                diagnostics=lambda: [self._status(), self._health()],
            ),
            apply=self._apply,
            reported=self._reported,
            on_manifest=self.rollout.take,
        )

    def station(self, page_server: PageServer) -> StationSupervisor:
        """Return the station, its page on `page_server`."""
        page_server.show(make_page(self._page()))
        parts = [
            ComponentThread(name="count", part=self.counter, may_end=True),
            ComponentThread(name="page", part=page_server),
            ComponentThread(name="evict", part=self.evictor),
            ComponentThread(name="rollout", part=self.rollout),
        ]
        if self.uploader is not None:
            parts.append(ComponentThread(name="upload", part=self.uploader))
        parts += [
            ComponentThread(name="listen", part=self.remote_control),
            ComponentThread(name="link", part=self.link),
            ComponentThread(name="forward", part=self.forwarder),
        ]
        self._station = StationSupervisor(
            parts=parts,
            database=self.outbox.database,
            drained=self._drained,
            close=self._close,
            well=self._well,
            systemd=self.systemd,
        )
        return self._station

    def _uploading(self) -> "tuple[CloudHttp | None, Uploader | None]":
        url = self.settings.cloud.url
        if not url:
            return None, None
        from cardmint_edge.adapters.cloud_http import CloudHttp  # noqa: PLC0415 - 2 MB, where no image is uploaded

        limit = self.settings.cloud.max_kb_per_s
        cloud = CloudHttp(url=url, tenant=self.settings.station.tenant, max_kb_per_s=limit)
        return cloud, Uploader(images=self.images, store=self.store, cloud=cloud)

    def _on_counted(self) -> None:
        self.tasks.card_counted()
        if self.settings.station.beep:
            _beep()

    def _status(self) -> OutboxStatus:
        return outbox_status(self.outbox, self.images)

    def _state(self, online: bool) -> StationState:
        return StationState(
            online=online,
            epoch=self.epoch,
            bootid=self.clock.bootid,
            stream=self.outbox.stream_state.stream,
            time=datetime.now(UTC),
            version=__version__,
        )

    def _health(self) -> StationHealth:
        status = self._status()
        stamp = self.clock()
        age = (stamp.time - status.oldest).total_seconds() if status.oldest else 0.0
        return StationHealth(
            time=stamp.time,
            queued=status.queued,
            oldest_unsent_s=max(0.0, age),
            disk_free_bytes=shutil.disk_usage(self.settings.station.data).free,
            clock_synced=stamp.clock_synced,
            pack=self.in_use.version,
            camera=str(self.settings.camera.__struct_config__.tag),
            scanned=status.scanned,
        )

    def _view(self, notice: str) -> StationView:
        status = self._status()
        waiting = self.task_table.oldest_open(TASKS_SHOWN + len(self.skipped))
        shown = sorted(waiting, key=lambda task: task.task in self.skipped)[:TASKS_SHOWN]
        scans = self.outbox.recent_scans(STRIP + 1)
        before = {
            task.scan: self.outbox.possible_original(task.scan)
            for task in shown
            if Reason.POSSIBLE_DUPLICATE in task.reasons
        }
        return StationView(
            status=status,
            box=MachineSummary(
                camera=self.camera.name,
                disk_free_bytes=shutil.disk_usage(self.settings.station.data).free,
                clock_synced=self.clock().clock_synced,
                pack=self.in_use.version,
                version=__version__,
            ),
            drain_s=self.drain.estimate(time.monotonic(), status.queued),
            link=self.forwarder.status_text,
            connected=self.forwarder.connected,
            fault=self.counter.fault,
            scans=scans,
            price=self._price(scans[0].scan) if scans else None,
            tasks=shown,
            before={scan: line for scan, line in before.items() if line is not None},
            open_tasks=self.task_table.count_open(),
            overruled=self.tasks.overruled,
            awaited=self.tasks.scan_to_repeat,
            uploads=self.uploader is not None,
            uploads_paused=self.uploader is not None and self.uploader.paused,
            has_live=isinstance(self.camera, LiveCamera),
            notice=notice,
        )

    def _price(self, scan: CardScanned) -> PriceSummary | None:
        best = scan.card or (scan.candidates[0].card if scan.candidates else None)
        last = self.in_use.price(best.id, scan.defaults) if best else None
        if last is None:
            return None
        return PriceSummary(
            money=last.price, source=last.source, days=(self.clock().time - last.as_of).days
        )

    def _page(self) -> PagePorts:
        watched = self.camera if isinstance(self.camera, LiveCamera) else None
        return PagePorts(
            station=self.settings.station.name,
            view=self._view,
            commits=self.outbox.database.commits,
            images=self.store,
            answers=self.tasks,
            search=self.in_use.search,
            defaults=lambda: self.outbox.defaults,
            set_defaults=self.outbox.set_defaults,
            withdraw=lambda scan: self._withdraw(scan, OPERATOR),
            skip=self.skipped.add,
            capture=self.camera.capture,
            live=lambda: outlined(watched.view) if watched is not None else None,
            pause_uploads=self.uploader.pause if self.uploader is not None else _ignore,
            metrics=lambda: self.metrics.render(
                self._status(), self._health(), connected=self.forwarder.connected
            ),
            pin=self.settings.station.page_pin,
        )

    def _last_scan(self) -> UUID | None:
        return next(
            (line.scan.scan for line in self.outbox.recent_scans(STRIP) if not line.withdrawn), None
        )

    def _withdraw(self, scan: UUID, by: str) -> bool:
        return self.outbox.withdraw(scan, by, self.clock())

    def _samples(self) -> list[tuple[Frame, str]]:
        return list(accepted_here(self.outbox.recent_scans(4 * SAMPLES), self.store.get))[:SAMPLES]

    def _reload(self) -> str:
        opened = opener(self.settings)(
            self.artifacts.path("catalogue"), self.artifacts.path("models")
        )
        self.in_use.use(opened)
        return f"pack {self.in_use.version} is in use"

    def _restart(self) -> bool:
        if self.systemd.present:
            threading.Timer(RESTART_S, self._station.stop).start()
        return self.systemd.present

    def _apply(self, desired: DesiredConfig) -> None:
        self.tunable.apply(desired)
        if self.cloud is not None and self.uploader is not None:
            self.cloud.max_kb_per_s = self.tunable.max_kb_per_s
            self.uploader.pause(self.tunable.uploads_paused)

    def _reported(self, version: int, says: str) -> ReportedConfig:
        models = self.artifacts.version("models")
        return self.tunable.reported(version, says, catalogue=self.in_use.version, models=models)

    def _drained(self) -> bool:
        status = self._status()
        return status.queued == 0 and (self.uploader is None or status.images_waiting == 0)

    def _well(self) -> str:
        if self.counter.finished or time.monotonic() - self.counter.last_activity < HANGS_S:
            return ""
        return f"counting has not moved for {HANGS_S:.0f} s: the camera or the recogniser hangs"

    def _close(self) -> None:
        self.camera.close()
        if self.cloud is not None:
            self.cloud.close()


def _beep() -> None:
    sys.stderr.write("\a")
    sys.stderr.flush()


def _ignore(_: bool) -> None:
    pass


_nothing: Callable[[], None] = lambda: None  # noqa: E731 - a name for "nobody is told"
