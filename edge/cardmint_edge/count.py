"""Counting: from a shot under the camera to a durable fact, and only then the beep."""

import threading
import time
from collections import deque
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

from cardmint_contracts.cards import Decision, Image, ScanDefaults
from cardmint_contracts.events import CardScanned
from cardmint_contracts.events import Recogniser as MadeBy
from cardmint_contracts.reasons import Reason
from cardmint_contracts.wire import decode, encode
from cardmint_edge.capture import Camera, Shot
from cardmint_edge.domain.delivery.batches import Stamp
from cardmint_edge.domain.recognition import Frame, Recogniser, Recognition
from cardmint_edge.domain.vision.fingerprint import find_duplicate, fingerprint
from cardmint_edge.errors import Park, Retry, Stop

SHOT_TIMEOUT_S = 0.25
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 10.0
ENGLISH = "en"

MAX_CANDIDATES = 8
RECENT = 100
"""Among so many scans a card that comes again is flagged as a possible duplicate."""

log = structlog.get_logger(__name__)


class Line(Protocol):
    """What the outbox says of a recorded scan."""

    @property
    def sequence(self) -> int:
        """The event's sequence."""
        ...

    @property
    def scan(self) -> CardScanned:
        """The scan itself."""
        ...

    @property
    def fingerprint(self) -> bytes:
        """What the card looked like."""
        ...

    @property
    def withdrawn(self) -> bool:
        """Whether a person took it back."""
        ...


class Facts(Protocol):
    """What counting needs of the outbox; every method may raise `Stop`."""

    @property
    def defaults(self) -> ScanDefaults:
        """What the operator says of every card until they say otherwise."""
        ...

    @property
    def last_shot(self) -> tuple[str, str] | None:
        """Where the last recorded shot came from, and its image's SHA-256."""
        ...

    def record(self, scan: CardScanned, stamp: Stamp, origin: str, fingerprint: bytes) -> Line:
        """Count one scan durably; the same scan twice counts once."""
        ...

    def scans(self, count: int) -> Sequence[Line]:
        """Return the last scans, the newest first."""
        ...

    def park(self) -> None:
        """Count one capture that was set aside."""
        ...


class Images(Protocol):
    """Where images are kept."""

    def put(self, frame: Frame) -> Image:
        """Store a frame durably; raises Park or Stop."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class _Taken:
    """A shot that was recognised and not yet counted.

    The event still lacks its image and the defaults.
    """

    event: CardScanned
    stamp: Stamp
    origin: str
    picture: Frame
    fingerprint: bytes
    other_language: bool
    ms: dict[str, float]


def _no_card() -> None:
    return None


class Counter:
    """Takes shots from the camera and counts them, until the camera is done or `stop`."""

    def __init__(
        self,
        *,
        camera: Camera,
        recogniser: Recogniser,
        facts: Facts,
        images: Images,
        stamp: Callable[[], Stamp],
        counted: Callable[[], None],
        again: Callable[[], UUID | None] = _no_card,
        timed: Callable[[dict[str, float]], None] | None = None,
        decided: Callable[[Decision], None] | None = None,
        first_wait_s: float = FIRST_WAIT_S,
    ) -> None:
        """Take the parts; `counted`, the beep, follows the commit.

        `first_wait_s` is the pause after a fault.

        `again` names the earlier scan of the card that lies there, when it was asked for. `timed`
        is given the milliseconds of each step of a counted card, `decided` what became of it.
        """
        self._camera = camera
        self._recogniser = recogniser
        self._facts = facts
        self._images = images
        self._stamp = stamp
        self._counted = counted
        self._again = again
        self._timed = timed
        self._decided = decided
        self._first_wait_s = first_wait_s
        self._stopping = threading.Event()
        self._before = facts.last_shot
        self._recent = deque(
            (_recent(line) for line in reversed(facts.scans(RECENT))), maxlen=RECENT
        )
        self.fault = ""
        self.beat = time.monotonic()
        self.finished = False

    def stop(self) -> None:
        """Make `run` return after the card at hand."""
        self._stopping.set()

    def run(self) -> None:
        """Count cards. `fault` says, for the operator, why none is counted at the moment.

        Raises:
            Stop: the camera cannot be used at all.
        """
        log.info("ready")
        while not self._stopping.is_set() and not self._camera.done:
            self.beat = time.monotonic()
            try:
                shot = self._patiently("the camera is away", Retry)(
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
        taken = self._recognise(shot)
        began = time.perf_counter()
        try:
            # The card lies there uncounted and unbeeped. Holding it until there is room again loses
            # nothing.
            event, line = self._patiently("this card is not counted yet", Stop)(self._store, taken)
        except Park as error:
            self._park(taken.origin, error)
            self._confirm()
            return
        except Stop:
            return  # stopping
        if line is None:
            log.info("this shot was counted before the restart", origin=taken.origin)
            self._confirm()
            return
        self.fault = ""
        self._recent.append(_recent(line))
        self._counted()
        self._confirm()
        ms = {**taken.ms, "store": (time.perf_counter() - began) * 1000}
        if self._decided is not None:
            self._decided(event.decision)
        if self._timed is not None:
            self._timed(ms)
        log.info(
            "card",
            scan=str(event.scan),
            decision=event.decision.value,
            card=event.card.id if event.card else None,
            confidence=round(event.confidence, 4),
            reasons=event.reasons,
            duplicate_of=event.possible_duplicate_of and str(event.possible_duplicate_of),
            sequence=line.sequence,
            origin=taken.origin,
            ms={step: round(value, 2) for step, value in ms.items()},
        )

    def _store(self, taken: _Taken) -> tuple[CardScanned, Line | None]:
        """Store a card durably; without a line when it was counted before a restart."""
        event = self._whole(taken)
        if self._counted_before(event, taken.origin):
            return event, None
        return event, self._facts.record(event, taken.stamp, taken.origin, taken.fingerprint)

    def _confirm(self) -> None:
        """Tell the camera that its shot is counted, until it has heard.

        Otherwise the same shot would come again.
        """
        with suppress(Retry):  # stopping; the next start knows the shot again
            self._patiently("the camera is away", Retry)(self._camera.confirm)

    def _recognise(self, shot: Shot) -> _Taken:
        scan, stamp = uuid4(), self._stamp()
        try:
            recognition = self._recogniser.recognise(shot.frame)
            event = event_of(scan, recognition)
        except Exception:
            log.exception(
                "recognition failed; a person must look", scan=str(scan), origin=shot.origin
            )
            recognition = Recognition(
                decision=Decision.REVIEW, reasons=(Reason.RECOGNITION_FAILED,), method="none"
            )
            event = event_of(scan, recognition)
        picture = shot.frame if recognition.rectified is None else recognition.rectified
        code = shot.fingerprint or fingerprint(picture)
        printing = event.card or (event.candidates[0].card if event.candidates else None)
        if printing is not None:
            event = replace(
                event, possible_duplicate_of=find_duplicate(self._recent, printing.id, code)
            )
        return _Taken(
            event=event,
            stamp=stamp,
            origin=shot.origin,
            picture=picture,
            fingerprint=code,
            other_language=recognition.other_language,
            ms=recognition.ms,
        )

    def _whole(self, taken: _Taken) -> CardScanned:
        image, defaults, event = self._images.put(taken.picture), self._facts.defaults, taken.event
        if taken.other_language and defaults.language == ENGLISH:
            # Left open, the language is nobody's claim; the defaults's claim is one that this card
            # contradicts.
            event = replace(
                event, decision=Decision.REVIEW, card=None, reasons=(Reason.OTHER_LANGUAGE,)
            )
        return replace(event, defaults=defaults, image=image, rescan_of=self._again())

    def _counted_before(self, event: CardScanned, origin: str) -> bool:
        """Whether a kill between commit and confirm brought the last shot again.

        Only the first shot can be that.
        """
        before, self._before = self._before, None
        return (
            before is not None
            and event.image is not None
            and before == (origin, event.image.sha256)
        )

    def _park(self, origin: str, error: Park) -> None:
        log.warning("capture set aside", origin=origin, reason=str(error))
        with suppress(Stop):  # stopping
            self._patiently("a capture is not set aside yet", Stop)(self._facts.park)

    def _patiently(self, why: str, error: type[Exception]) -> Retrying:
        """Return what tries something again after `error`, and says so once, until it succeeds, or `stop`."""

        def say(state: RetryCallState) -> None:
            fault = f"{why}: {state.outcome.exception() if state.outcome else ''}"
            if fault != self.fault:
                log.error("not counting", reason=fault)
            self.fault = fault

        return Retrying(
            retry=retry_if_exception_type(error),
            wait=wait_exponential(multiplier=self._first_wait_s, max=LONGEST_WAIT_S),
            stop=stop_when_event_set(self._stopping),
            sleep=self._pause,
            before_sleep=say,
            reraise=True,
        )

    def _pause(self, seconds: float) -> None:
        self.beat = time.monotonic()
        self._stopping.wait(seconds)


def _recent(line: Line) -> tuple[UUID, str, bytes]:
    printing = line.scan.card or (line.scan.candidates[0].card if line.scan.candidates else None)
    return line.scan.scan, printing.id if printing else "", line.fingerprint


def event_of(scan: UUID, found: Recognition) -> CardScanned:
    """Return what was found as an event that every reader takes.

    Raises ContractError or ValueError if it is none.
    """
    event = CardScanned(
        scan=scan,
        decision=found.decision,
        recogniser=MadeBy(
            method=found.method, pack=found.pack, models=found.models, rules=found.rules_version
        ),
        card=found.card,
        confidence=found.confidence,
        margin=found.margin,
        likeness_gap=found.likeness_gap,
        reasons=found.reasons,
        candidates=found.candidates[:MAX_CANDIDATES],
    )
    return decode(encode(event), CardScanned)
