"""Wires the station, once, by hand."""

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

from cardmint_contracts.control import DesiredConfig, ReportedConfig
from cardmint_edge.adapters.artifacts import ArtifactStore, allowed_hosts, artifact_folder
from cardmint_edge.adapters.cameras.live import LiveCamera, preview_jpeg
from cardmint_edge.adapters.cameras.photos import PhotoCamera
from cardmint_edge.adapters.cameras.selection import OpenCamera, camera_of
from cardmint_edge.adapters.cameras.several import SeveralCameras
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.failure_note import FAILURE_FILE, FailureNote
from cardmint_edge.adapters.hardware import hardware_id
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.lan import lan_address
from cardmint_edge.adapters.log_output import LogOutput
from cardmint_edge.adapters.models import FOLDER
from cardmint_edge.adapters.mqtt import BrokerLink
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.photo_inbox import PhotoInbox
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import OUTBOX_FILE, Outbox
from cardmint_edge.adapters.sqlite.tasks import TaskTable
from cardmint_edge.adapters.systemd import Systemd
from cardmint_edge.capture import NO_FILES, Camera, HasFiles, SourceFiles
from cardmint_edge.count import CardCounter
from cardmint_edge.domain.delivery.messages import EventAppended
from cardmint_edge.domain.reading.close_up import settled
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Stop
from cardmint_edge.evict import Evictor, missing_bytes
from cardmint_edge.forward import Forwarder
from cardmint_edge.metrics import StationMetrics
from cardmint_edge.objections import record_objection
from cardmint_edge.pack_file import PackFileWatch
from cardmint_edge.page.actions import OPERATOR
from cardmint_edge.page.photos import PhonePorts
from cardmint_edge.page.ports import PagePorts
from cardmint_edge.page.routes import make_page
from cardmint_edge.page.server import PageServer
from cardmint_edge.page.views import RECENT_SCANS
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
from cardmint_edge.source_files import FileDesk
from cardmint_edge.station_view import StationViewReader
from cardmint_edge.status import StationStatus
from cardmint_edge.supervisor import ComponentThread, StationSupervisor
from cardmint_edge.upload import Uploader

if TYPE_CHECKING:
    from cardmint_edge.adapters.cloud_http import CloudHttp

IMAGES = "images"
BALLAST = "ballast"
PHOTOS = "photos"
STDERR = 2
SAMPLES = 20
RESTART_DELAY_S = 0.5
"""Seconds between the reply to a restart command and the restart, so that the reply is sent."""

HANGS_AFTER_S = 90.0
"""No camera takes longer for one photo."""


def build(
    settings: EdgeSettings,
    open_camera: OpenCamera = camera_of,
    log_problem: Callable[[], str] = str,
) -> StationSupervisor:
    """Open everything that the settings name, and return the station, ready to run.

    `log_problem` returns why the log cannot be written; empty while it can.

    Raises:
        Stop: something that the station needs is missing or damaged.
    """
    page_server = PageServer(settings.station.page_host, settings.station.page_port)
    folder = artifact_folder(settings.station.data)
    artifacts = ArtifactStore(
        folder,
        key=settings.recognition.signed_by,
        hosts=allowed_hosts(settings.cloud.url, settings.recognition.hosts),
        token=settings.cloud.token,
        cloud_url=settings.cloud.url,
        reserve_bytes=settings.station.reserve_mb << 20,
    )
    active = ActiveRecognition(open_installed(artifacts, bundle_opener(settings)))
    outbox = Outbox.open(settings.station.data / OUTBOX_FILE)
    counters = outbox.counters
    last = outbox.recent_scans(1)
    last_fingerprint = last[0].fingerprint if last else b""
    camera = open_camera(settings.camera, counters.scanned + counters.parked, last_fingerprint)
    station = Assembly(settings, outbox, camera, active, artifacts, log_problem=log_problem)
    return station.supervisor(page_server)


def bundle_opener(
    settings: EdgeSettings,
) -> Callable[[Path | None, Path | None], RecognitionBundle]:
    """Return a function that opens a pack and a folder of models; None is for the settings'."""

    def open_bundle(pack_file: Path | None, models: Path | None) -> RecognitionBundle:
        pack = Pack(pack_file or settings.recognition.pack)
        recogniser = recogniser_of(
            pack, models or FOLDER, second_look=settings.recognition.second_look
        )
        return RecognitionBundle(
            pack=pack, recogniser=recogniser, close_up=recogniser.read_close_up
        )

    return open_bundle


class Assembly:
    """The parts of a station, and the calls between them."""

    def __init__(
        self,
        settings: EdgeSettings,
        outbox: Outbox,
        camera: Camera,
        active: ActiveRecognition,
        artifacts: ArtifactStore,
        *,
        log_problem: Callable[[], str] = str,
    ) -> None:
        self.settings = settings
        self.log_problem = log_problem
        self.bell = LogOutput(STDERR)
        self.failure = FailureNote(settings.station.data / FAILURE_FILE)
        self.outbox = outbox
        self.camera = camera
        self.active = active
        self.artifacts = artifacts
        self.clock = StationClock()
        self.systemd = Systemd(os.environ)
        self.metrics = StationMetrics()
        outbox.identify(
            settings.station.tenant,
            settings.station.name,
            self.clock(),
            settings.cloud.database,
            box=hardware_id(),
        )
        self.store = ImageStore(settings.station.data / IMAGES)
        self.inbox = self._make_inbox()
        self.photos = PhotoCamera(self.inbox.folder)
        self.images = ImageTable(outbox.database)
        self.task_table = TaskTable(outbox.database)
        self.status = StationStatus(
            settings=settings,
            outbox=outbox,
            images=self.images,
            clock=self.clock,
            epoch=outbox.count_start(),
            pack_version=lambda: active.version,
            catalogue_at=lambda: active.made_at,
        )
        self.remote_settings = RemoteSettings(
            max_kb_per_s=settings.cloud.max_kb_per_s, reserve_mb=settings.station.reserve_mb
        )
        self.tasks = ReviewTasks(
            store=self.task_table,
            append=outbox.append,
            transaction=outbox.database.write,
            read_clock=self.clock,
            find_card=active.card,
        )
        self.cloud, self.uploader = self._make_uploader()
        self.rollout = Rollout(
            active=active,
            artifacts=artifacts,
            open_=bundle_opener(settings),
            samples=self._samples,
            on_change=lambda text: self.remote_control.report(text),  # noqa: PLW0108 - made below
        )
        self.pack_file = PackFileWatch(
            settings.recognition.pack,
            in_use=lambda: artifacts.path("catalogue") is None,
            reload=self._reload,
        )
        self.counter = CardCounter(
            camera=SeveralCameras(camera, self.photos),
            recogniser=active,
            outbox=outbox,
            images=self.store,
            read_clock=self.clock,
            on_counted=self._on_counted,
            scan_to_repeat=lambda: self.tasks.scan_to_repeat,
            settle=lambda frame, recognition: settled(
                recognition, active.close_up(frame), self.tasks.cards_to_repeat
            ),
            variants=active.variants,
            on_timings=self.metrics.observe_card,
            on_decision=self.rollout.card_counted,
        )
        self.link = BrokerLink(
            broker=settings.broker,
            station=settings.station,
            bootid=self.clock.bootid,
            state=self.status.state,
            health=self.status.health,
            to_forwarder=lambda message: self.forwarder.post(message),  # noqa: PLW0108 - made below
            to_control=lambda message: self.remote_control.post(message),  # noqa: PLW0108 - made below
        )
        self.forwarder = Forwarder(
            outbox=outbox,
            link=self.link,
            tasks=self.tasks,
            source=f"/stations/{settings.station.name}",
            read_clock=self.clock,
            on_receipt=self.uploader.wake if self.uploader else _do_nothing,
        )
        outbox.call_on_append(lambda: self.forwarder.post(EventAppended()))
        self.evictor = Evictor(
            images=self.images,
            files=self.store,
            append=outbox.append,
            transaction=outbox.database.write,
            read_clock=self.clock,
            missing_bytes=lambda: missing_bytes(
                settings.station.data, self.remote_settings.reserve_mb << 20
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
                diagnostics=lambda: [self.status.outbox(), self.status.health()],
            ),
            apply=self._apply,
            reported=self._reported,
            on_manifest=self.rollout.post,
        )
        self.files = FileDesk(self._sources, self.inbox, outbox, lambda: self.tasks.answers)
        self.view = StationViewReader(
            status=self.status,
            outbox=outbox,
            task_table=self.task_table,
            tasks=self.tasks,
            camera=camera,
            counter=self.counter,
            forwarder=self.forwarder,
            uploader=self.uploader,
            active=active,
            clock=self.clock,
            problems=self._problems,
            link_problem=lambda: self.link.problem,
            files=self.files.listed,
            newest_sets=lambda: self.remote_control.newest_sets,
        )

    def supervisor(self, page_server: PageServer) -> StationSupervisor:
        """Return the station's supervisor, its page on `page_server`."""
        self._page_port = page_server.port
        page_server.show(make_page(self._page()))
        threads = [
            ComponentThread(name="count", component=self.counter, may_end=True),
            ComponentThread(name="page", component=page_server),
            ComponentThread(name="evict", component=self.evictor),
            ComponentThread(name="rollout", component=self.rollout),
            ComponentThread(name="pack", component=self.pack_file),
        ]
        if self.uploader is not None:
            threads.append(ComponentThread(name="upload", component=self.uploader))
        threads += [
            ComponentThread(name="control", component=self.remote_control),
            ComponentThread(name="link", component=self.link),
            ComponentThread(name="forward", component=self.forwarder),
        ]
        self._supervisor = StationSupervisor(
            threads=threads,
            database=self.outbox.database,
            drained=self._drained,
            close=self._close,
            find_hang=self._find_hang,
            systemd=self.systemd,
            on_end=self._on_end,
        )
        return self._supervisor

    def _make_uploader(self) -> "tuple[CloudHttp | None, Uploader | None]":
        url = self.settings.cloud.url
        if not url:
            return None, None
        from cardmint_edge.adapters.cloud_http import CloudHttp  # noqa: PLC0415 - 2 MB

        limit = self.settings.cloud.max_kb_per_s
        cloud = CloudHttp(
            url=url,
            tenant=self.settings.station.tenant,
            token=self.settings.cloud.token,
            max_kb_per_s=limit,
        )
        return cloud, Uploader(images=self.images, store=self.store, cloud=cloud)

    def _make_inbox(self) -> PhotoInbox:
        station = self.settings.station
        try:
            return PhotoInbox(
                station.data / PHOTOS,
                is_counted=lambda photo: self.outbox.scan_of_picture(photo) is not None,
                missing_bytes=lambda: missing_bytes(
                    station.data, self.remote_settings.reserve_mb << 20
                ),
                starts_as_image=_starts_as_image,
            )
        except OSError as error:
            raise Stop(f"{station.data / PHOTOS}: {error.strerror}") from error

    def _sources(self) -> list[SourceFiles]:
        camera = self.camera
        return [camera.files if isinstance(camera, HasFiles) else NO_FILES, self.photos.files]

    def _phone(self) -> PhonePorts:
        station = self.settings.station
        address = lan_address(station.page_host)
        return PhonePorts(
            add_piece=self.inbox.add_piece,
            outcomes=self.files.outcomes,
            address=f"http://{address}:{self._page_port}/phone" if address else "",
        )

    def _on_counted(self) -> None:
        self.tasks.card_counted()
        if self.settings.station.beep:
            self.bell.try_to_write(b"\a")

    def _page(self) -> PagePorts:
        live_camera = self.camera if isinstance(self.camera, LiveCamera) else None
        return PagePorts(
            station=self.settings.station.name,
            view=self.view.read,
            wait_for_commits=self.outbox.database.wait_for_commits,
            images=self.store,
            answers=self.tasks,
            search=lambda text: self.active.search(text, language=self.outbox.defaults.language),
            defaults=lambda: self.outbox.defaults,
            set_defaults=self.outbox.set_defaults,
            withdraw=lambda scan: self._withdraw(scan, OPERATOR),
            object_to=lambda scan: record_objection(
                self.outbox, self._has_image, scan, self.clock()
            ),
            skip=self.view.skip,
            capture=self.camera.capture,
            preview=lambda: preview_jpeg(live_camera.preview) if live_camera else None,
            pause_uploads=self.uploader.pause if self.uploader is not None else _ignore,
            set_stack=self._set_stack,
            metrics=lambda: self.metrics.render(
                self.status.outbox(), self.status.health(), connected=self.forwarder.connected
            ),
            phone=self._phone(),
            card_picture=self.active.picture,
            retry_file=self.files.retry,
            dismiss_file=self.files.dismiss,
            dashboard=self.settings.cloud.url,
            can_capture=live_camera is not None,
            pin=self.settings.station.page_pin,
        )

    def _set_stack(self, stack: bool) -> None:
        self.counter.stack = stack
        if isinstance(self.camera, LiveCamera):
            self.camera.set_stack(stack)

    def _last_scan(self) -> UUID | None:
        return next(
            (
                record.scan.scan
                for record in self.outbox.recent_scans(RECENT_SCANS)
                if not record.withdrawn
            ),
            None,
        )

    def _withdraw(self, scan: UUID, by: str) -> bool:
        return self.outbox.withdraw(scan, by, self.clock())

    def _has_image(self, sha256: str) -> bool:
        return self.store.get(sha256) is not None

    def _samples(self) -> list[tuple[Frame, str]]:
        return list(accepted_here(self.outbox.recent_scans(4 * SAMPLES), self.store.get))[:SAMPLES]

    def _reload(self) -> str:
        pack, models = self.artifacts.path("catalogue"), self.artifacts.path("models")
        self.active.use(bundle_opener(self.settings)(pack, models))
        return f"pack {self.active.version} is in use"

    def _restart(self) -> bool:
        if self.systemd.present:
            threading.Timer(RESTART_DELAY_S, self._supervisor.stop).start()
        return self.systemd.present

    def _apply(self, desired: DesiredConfig) -> None:
        self.remote_settings.apply(desired)
        if self.cloud is not None and self.uploader is not None:
            self.cloud.max_kb_per_s = self.remote_settings.max_kb_per_s
            self.uploader.pause(self.remote_settings.uploads_paused)

    def _reported(self, version: int, text: str) -> ReportedConfig:
        return self.remote_settings.reported(
            version,
            text,
            catalogue=self.active.version,
            models=self.artifacts.version("models"),
        )

    def _drained(self) -> bool:
        status = self.status.outbox()
        return status.queued == 0 and (self.uploader is None or status.images_waiting == 0)

    def _find_hang(self) -> str:
        idle_s = time.monotonic() - self.counter.last_activity
        if self.counter.finished or idle_s < HANGS_AFTER_S:
            return ""
        return f"counting has not moved for {HANGS_AFTER_S:.0f} s: the camera or recogniser hangs"

    def _problems(self) -> list[str]:
        camera = self.camera.trouble if isinstance(self.camera, LiveCamera) else ""
        problems = (self.log_problem(), self.failure.text, self.pack_file.problem, camera)
        return [text for text in problems if text]

    def _on_end(self, reason: str) -> None:
        if reason:
            self.failure.write(self.clock().time, reason)
        else:
            self.failure.clear()

    def _close(self) -> None:
        self.camera.close()
        if self.cloud is not None:
            self.cloud.close()


def _starts_as_image(start: bytes) -> bool:
    from cardmint_edge.adapters.decode import starts_as_image  # noqa: PLC0415 - loads the decoders

    return starts_as_image(start)


def _ignore(_: bool) -> None:
    pass


def _do_nothing() -> None:
    pass
