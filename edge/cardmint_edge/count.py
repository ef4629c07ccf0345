"""Counting: a shot becomes a durable scan, and only then comes the beep."""

import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID, uuid4

import structlog
from msgspec.structs import replace
from tenacity import (
    RetryCallState,
    Retrying,
    retry_if_exception_type,
    stop_when_event_set,
    wait_exponential,
)

from cardmint_contracts.cards import Card, Decision, Image, ScanDefaults
from cardmint_contracts.catalogue import Variant
from cardmint_contracts.events import CardScanned
from cardmint_contracts.reasons import Reason
from cardmint_edge.capture import Camera, Shot
from cardmint_edge.domain.config import LanguageConfig
from cardmint_edge.domain.delivery.batches import Timestamp
from cardmint_edge.domain.language import tell_language, with_language
from cardmint_edge.domain.recognition import Frame, Recogniser, Recognition
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.domain.variants import with_variant
from cardmint_edge.domain.vision.fingerprint import fingerprint
from cardmint_edge.errors import EdgeError, Park, Retry, Stop
from cardmint_edge.scan_event import (
    RECENT_SCANS,
    RecentScans,
    event_of,
    failed_event,
)

SHOT_TIMEOUT_S = 0.25
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0

SAME_PICTURE = "same-picture"
"""Code of a file whose bytes were counted before."""
UNUSABLE_PICTURE = "unusable-picture"
"""Code of a file whose picture cannot be stored."""

LANGUAGE = LanguageConfig()

log = structlog.get_logger(__name__)


class ScanOutbox(Protocol):
    """The outbox, as counting needs it. Every method may raise `Stop`."""

    @property
    def defaults(self) -> ScanDefaults:
        """The operator's scan defaults."""
        ...

    @property
    def last_shot(self) -> tuple[str, str] | None:
        """The origin of the last recorded shot, and its image's SHA-256; None before the first."""
        ...

    def record(
        self,
        scan: CardScanned,
        stamp: Timestamp,
        origin: str,
        fingerprint: bytes,
        picture: str,
    ) -> ScanRecord:
        """Count one scan durably. The same scan twice counts once."""
        ...

    def scan_of_picture(self, picture: str) -> UUID | None:
        """Return the scan that counted a file (SHA-256, hex); None if it is not counted."""
        ...

    def recent_scans(self, count: int) -> Sequence[ScanRecord]:
        """Return the last `count` scans, the newest first."""
        ...

    def park(self) -> None:
        """Count one capture that was set aside."""
        ...


class ImageWriter(Protocol):
    """Storage of images."""

    def put(self, frame: Frame) -> Image:
        """Store a frame durably. Raises Park or Stop."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _RecognisedShot:
    """A shot that is recognised and not yet counted. The event still lacks image and defaults."""

    event: CardScanned
    stamp: Timestamp
    shot: Shot
    picture: Frame
    fingerprint: bytes
    languages: dict[str, float] | None
    ms: dict[str, float]


def _no_scan() -> None:
    return None


def _as_it_is(_: Frame, recognition: Recognition) -> Recognition:
    return recognition


def _no_variants(_: str) -> Sequence[Variant]:
    return ()


class CardCounter:
    """Takes shots from the camera and counts them, until the camera is done or `stop`."""

    def __init__(
        self,
        *,
        camera: Camera,
        recogniser: Recogniser,
        outbox: ScanOutbox,
        images: ImageWriter,
        read_clock: Callable[[], Timestamp],
        on_counted: Callable[[], None],
        scan_to_repeat: Callable[[], UUID | None] = _no_scan,
        settle: Callable[[Frame, Recognition], Recognition] = _as_it_is,
        variants: Callable[[str], Sequence[Variant]] = _no_variants,
        on_timings: Callable[[dict[str, float]], None] | None = None,
        on_decision: Callable[[Decision], None] | None = None,
        first_wait_s: float = FIRST_WAIT_S,
        sleep: Callable[[float], object] | None = None,
    ) -> None:
        """Take the parts.

        `on_counted`, the beep, follows the commit; `on_decision` takes the card's decision, and
        `on_timings` the milliseconds of each step. `scan_to_repeat` names the earlier scan of the
        card under the camera, if the operator was asked to scan it again; `settle` is then given a
        frame that is not accepted, as it may show the number alone. `variants` returns those of a
        printing. `first_wait_s` is the first pause after an error; `sleep` makes it, by
        default until `stop`.
        """
        self._camera = camera
        self._recogniser = recogniser
        self._outbox = outbox
        self._images = images
        self._read_clock = read_clock
        self._on_counted = on_counted
        self._scan_to_repeat = scan_to_repeat
        self._settle = settle
        self._variants = variants
        self._on_timings = on_timings
        self._on_decision = on_decision
        self._first_wait_s = first_wait_s
        self._stopping = threading.Event()
        self._sleep = sleep or self._stopping.wait
        self._shot_before_start = outbox.last_shot
        self._recent = RecentScans(reversed(outbox.recent_scans(RECENT_SCANS)))
        self.fault = ""
        """Why no card is counted at the moment, for the operator; empty while all is well."""
        self.stack = False
        """Whether copies of a card are counted one upon another: then nothing is a repeat."""
        self.set_aside = ""
        """Why the last capture was set aside; empty after the next card that is counted."""
        self.last_activity = time.monotonic()
        self.finished = False

    def stop(self) -> None:
        """Make `run` return after the current card."""
        self._stopping.set()

    def run(self) -> None:
        """Count cards.

        Raises:
            Stop: the camera cannot be used at all.
        """
        log.info("ready")
        while not self._stopping.is_set() and not self._camera.done:
            self.last_activity = time.monotonic()
            try:
                shot = self._retrying("the camera is away", Retry)(
                    self._camera.next, SHOT_TIMEOUT_S
                )
            except Park as error:
                self._park("", error)
                continue
            except Retry:
                break  # stopping
            self.fault = ""
            if shot is not None:
                self._count(shot)
        self.finished = True

    def _count(self, shot: Shot) -> None:
        try:
            known = shot.digest and self._retrying("this card is not counted yet", Stop)(
                self._outbox.scan_of_picture, shot.digest
            )
        except Stop:
            return  # stopping
        if known and shot.resumed and not shot.again:
            self._confirm_counted(shot)
            return
        if known and not shot.again:
            self._set_aside(
                shot,
                SAME_PICTURE,
                Park("the same picture was counted before; count it again only for another card"),
            )
            return
        recognised = self._recognise(shot)
        began = time.perf_counter()
        try:
            # The card still lies there, without a beep: waiting for room on the disk loses nothing.
            event, record = self._retrying("this card is not counted yet", Stop)(
                self._store, recognised
            )
        except Park as error:
            self._set_aside(shot, UNUSABLE_PICTURE, error)
            return
        except Stop:
            return  # stopping
        if record is None:
            self._confirm_counted(shot)
            return
        self.fault = self.set_aside = ""
        self._recent.add(record)
        _tell(self._on_counted)
        self._confirm()
        ms = {**recognised.ms, "store": (time.perf_counter() - began) * 1000}
        if self._on_decision is not None:
            _tell(self._on_decision, event.decision)
        if self._on_timings is not None:
            _tell(self._on_timings, ms)
        log.info(
            "card",
            scan=str(event.scan),
            decision=event.decision.value,
            card=event.card.id if event.card else None,
            confidence=round(event.confidence, 4),
            reasons=event.reasons,
            duplicate_of=event.possible_duplicate_of and str(event.possible_duplicate_of),
            sequence=record.sequence,
            origin=shot.origin,
            ms={step: round(value, 2) for step, value in ms.items()},
        )

    def _store(self, recognised: _RecognisedShot) -> tuple[CardScanned, ScanRecord | None]:
        """Store a card durably. No record: the card was counted before a restart."""
        event, shot = self._complete(recognised), recognised.shot
        if self._counted_before_start(event, shot):
            return event, None
        record = self._outbox.record(
            event, recognised.stamp, shot.origin, recognised.fingerprint, shot.digest
        )
        return event, record

    def _confirm_counted(self, shot: Shot) -> None:
        log.info("this shot was counted before the restart", origin=shot.origin)
        self._confirm()

    def _confirm(self) -> None:
        """Confirm the shot until the camera takes it, so that the shot does not come again."""
        with suppress(Retry):  # stopping; the next start knows the shot
            self._retrying("the camera is away", Retry)(self._camera.confirm)

    def _recognise(self, shot: Shot) -> _RecognisedShot:
        scan, stamp = uuid4(), self._read_clock()
        picture, languages, ms = shot.frame, None, dict[str, float]()
        try:
            recognition = self._recogniser.recognise(shot.frame)
            again = self._scan_to_repeat() is not None
            if again and recognition.decision is not Decision.ACCEPT:
                recognition = self._settle(shot.frame, recognition)
            event = event_of(scan, recognition, shot.frame)
        except Exception:
            log.exception(
                "recognition failed; a person must look", scan=str(scan), origin=shot.origin
            )
            event = failed_event(scan)
        else:
            languages, ms = recognition.languages, recognition.ms
            if recognition.rectified is not None and Reason.SEVERAL_CARDS not in event.reasons:
                picture = recognition.rectified
        code = shot.fingerprint or fingerprint(picture)
        return _RecognisedShot(
            event=event,
            stamp=stamp,
            shot=shot,
            picture=picture,
            fingerprint=code,
            languages=languages,
            ms=ms,
        )

    def _complete(self, recognised: _RecognisedShot) -> CardScanned:
        """Return the event with image and defaults."""
        image, defaults = self._images.put(recognised.picture), self._outbox.defaults
        told = tell_language(recognised.languages, defaults.language, LANGUAGE)
        event = with_language(recognised.event, told, LANGUAGE)
        event = replace(event, defaults=defaults, image=image, rescan_of=self._scan_to_repeat())
        if not recognised.shot.again and not self.stack:
            event = self._marked(event, recognised)
        return (
            event if event.card is None else with_variant(event, self._known_variants(event.card))
        )

    def _known_variants(self, card: Card) -> Sequence[Variant]:
        """Return a printing's variants; none when the pack cannot tell: the card counts without."""
        try:
            return self._variants(card.id)
        except EdgeError as error:
            log.warning("the variants of a card are not known", card=card.id, reason=str(error))
            return ()

    def _marked(self, event: CardScanned, recognised: _RecognisedShot) -> CardScanned:
        """Return the event with the scan that it repeats, unless that one was taken back."""
        marked = self._recent.mark_repeat(
            event, recognised.fingerprint, same_place=recognised.shot.same_place
        )
        repeated = marked.possible_duplicate_of
        if repeated is None:
            return event
        taken_back = {
            record.scan.scan
            for record in self._outbox.recent_scans(RECENT_SCANS)
            if record.withdrawn
        }
        return event if repeated in taken_back else marked

    def _counted_before_start(self, event: CardScanned, shot: Shot) -> bool:
        """Return whether this shot was counted before the start.

        A kill between commit and confirm makes the camera give the last shot again. That can only
        be the first shot after the start, or the first file that was taken before it.
        """
        if shot.digest and not shot.resumed:
            return False  # the file came after the start
        before, self._shot_before_start = self._shot_before_start, None
        return (
            before is not None
            and event.image is not None
            and before == (shot.origin, event.image.sha256)
        )

    def _set_aside(self, shot: Shot, reason: str, error: Park) -> None:
        self._park(shot.origin, error)
        with suppress(Retry):  # stopping; the next start gives the shot again
            self._retrying("the camera is away", Retry)(self._camera.set_aside, reason, str(error))

    def _park(self, origin: str, error: Park) -> None:
        log.warning("capture set aside", origin=origin, reason=str(error))
        self.set_aside = f"{origin}: {error}" if origin else str(error)
        with suppress(Stop):  # stopping
            self._retrying("a capture is not set aside yet", Stop)(self._outbox.park)

    def _retrying(self, situation: str, error: type[Exception]) -> Retrying:
        """Return an object that calls something until it raises no `error`, or until `stop`.

        The error becomes the `fault`, and is logged once.
        """

        def report(state: RetryCallState) -> None:
            fault = f"{situation}: {state.outcome.exception() if state.outcome else ''}"
            if fault != self.fault:
                log.error("not counting", reason=fault)
            self.fault = fault

        return Retrying(
            retry=retry_if_exception_type(error),
            wait=wait_exponential(multiplier=self._first_wait_s, max=LONGEST_WAIT_S),
            stop=stop_when_event_set(self._stopping),
            sleep=self._pause,
            before_sleep=report,
            reraise=True,
        )

    def _pause(self, seconds: float) -> None:
        self.last_activity = time.monotonic()
        self._sleep(seconds)


def _tell(listener: Callable[..., None], *values: object) -> None:
    """Call a listener. Whatever fails there, the card is counted, and the next one will be."""
    try:
        listener(*values)
    except Exception:
        log.exception("a part failed to take a counted card")
