"""Rollout of packs and models: download, check, try, switch, watch, and roll back if worse."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import structlog
from tenacity import Retrying, retry_if_exception_type, stop_when_event_set, wait_exponential_jitter
from tenacity.wait import wait_base

from cardmint_contracts.cards import Card, Decision, ScanDefaults
from cardmint_contracts.control import Artifact, Manifest
from cardmint_contracts.prices import LastPrice
from cardmint_edge.adapters.artifacts import ArtifactStore, InstalledArtifact
from cardmint_edge.domain.recognition import Frame, Recogniser, Recognition
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.errors import EdgeError, Park, Retry

WATCHED_CARDS = 100
"""Cards whose decisions are compared, after a switch and before it."""

MAX_INCREASE = 0.2
"""Increase of the share of questions from which a switch is rolled back."""

MIN_NAMED = 0.6
"""Share of earlier accepted cards that a new pack or new models must name, at least."""

log = structlog.get_logger(__name__)


class CataloguePack(Protocol):
    """A pack as a catalogue for people."""

    @property
    def version(self) -> str:
        """The pack's version."""
        ...

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its identifier; None for an unknown one."""
        ...

    def search(self, text: str) -> Sequence[Card]:
        """Find printings by words of name, number and set."""
        ...

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing with the defaults' finish and edition."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognitionBundle:
    """A pack and the recogniser over it."""

    pack: CataloguePack
    recogniser: Recogniser


class ActiveRecognition:
    """The pack and recogniser in use. They are replaced between two cards."""

    def __init__(self, bundle: RecognitionBundle) -> None:
        self._bundle = bundle

    @property
    def version(self) -> str:
        """The pack's version."""
        return self._bundle.pack.version

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its identifier; None for an unknown one."""
        return self._bundle.pack.card(card_id)

    def search(self, text: str) -> Sequence[Card]:
        """Find printings by words of name, number and set."""
        return self._bundle.pack.search(text)

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing with the defaults' finish and edition."""
        return self._bundle.pack.price(card_id, defaults)

    def recognise(self, frame: Frame) -> Recognition:
        """Recognise a frame with the recogniser in use."""
        return self._bundle.recogniser.recognise(frame)

    def use(self, bundle: RecognitionBundle) -> RecognitionBundle:
        """Use another bundle from the next card on, and return the earlier one."""
        before, self._bundle = self._bundle, bundle
        return before


def open_installed(
    artifacts: ArtifactStore, open_: Callable[[Path | None, Path | None], RecognitionBundle]
) -> RecognitionBundle:
    """Open the pack and models that were in use, or those of the settings if that fails.

    Raises:
        Stop: those of the settings cannot be opened.
    """
    pack, models = artifacts.path("catalogue"), artifacts.path("models")
    if pack is not None or models is not None:
        try:
            return open_(pack, models)
        except EdgeError as error:
            log.error("the installed pack or models cannot be used any more", reason=str(error))
            artifacts.index.active.clear()
    return open_(None, None)


class Rollout:
    """Rolls out one manifest after another in `run`, until `stop`."""

    def __init__(
        self,
        *,
        active: ActiveRecognition,
        artifacts: ArtifactStore,
        open_: Callable[[Path | None, Path | None], RecognitionBundle],
        samples: Callable[[], Sequence[tuple[Frame, str]]],
        on_change: Callable[[str], None],
        wait: wait_base | None = None,
    ) -> None:
        """Take the parts.

        `open_` opens a pack and a folder of models; None is for those of the settings. `samples`
        returns pictures of cards that were accepted here, with the printings' identifiers.
        `on_change` takes a sentence about each manifest's result.
        """
        self._active = active
        self._artifacts = artifacts
        self._open = open_
        self._samples = samples
        self._on_change = on_change
        self._wait = wait or wait_exponential_jitter(initial=1, max=300)
        self._inbox: queue.SimpleQueue[Manifest | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._questions: deque[bool] = deque(maxlen=WATCHED_CARDS)
        self._watching: tuple[Artifact, RecognitionBundle, float] | None = None

    def post(self, manifest: Manifest) -> None:
        """Put a manifest into the inbox, from any thread."""
        self._inbox.put(manifest)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._inbox.put(None)

    def run(self) -> None:
        """Roll out manifests until `stop`."""
        while not self._stopping.is_set():
            manifest = self._inbox.get()
            if manifest is not None:
                try:
                    self.roll_out(manifest)
                except EdgeError as error:
                    # A disk error: the broker sends the manifest again after the next start.
                    log.error("not rolled out", artifact=manifest.artifact, reason=str(error))

    def roll_out(self, manifest: Manifest) -> bool:
        """Roll out a manifest's artifact, and return whether it is in use."""
        index = self._artifacts.index
        installed = index.active.get(manifest.artifact)
        if installed is not None and installed.sha256 == manifest.sha256:
            return True
        if manifest.sha256 in index.refused:
            self._on_change(
                f"{manifest.artifact} {manifest.version} was refused before:"
                f" {index.refused[manifest.sha256]}"
            )
            return False
        try:
            self._artifacts.check_signature(manifest)
            fetched = self._fetch(manifest)
            if fetched is None:
                return False
            self._switch(manifest.artifact, fetched)
        except EdgeError as error:
            self._refuse(manifest, str(error))
            return False
        self._on_change(f"{manifest.artifact} {manifest.version} is in use")
        return True

    def card_counted(self, decision: Decision) -> None:
        """Record a card's decision. Too many questions after a switch roll it back."""
        self._questions.append(decision is not Decision.ACCEPT)
        watched = self._watching
        if watched is None or len(self._questions) < WATCHED_CARDS:
            return
        artifact, before, share = watched
        self._watching = None
        now = sum(self._questions) / WATCHED_CARDS
        if now > share + MAX_INCREASE:
            self._roll_back(
                artifact, before, f"{now:.0%} of the cards are asked about, {share:.0%} were before"
            )

    def _fetch(self, manifest: Manifest) -> InstalledArtifact | None:
        attempts = Retrying(
            retry=retry_if_exception_type(Retry),
            wait=self._wait,
            stop=stop_when_event_set(self._stopping),
            sleep=self._pause,
            before_sleep=lambda state: log.warning(
                "a download waits",
                artifact=manifest.artifact,
                reason=str(state.outcome and state.outcome.exception()),
            ),
            reraise=True,
        )
        try:
            return attempts(self._artifacts.fetch, manifest, self._stopping.is_set)
        except Retry:
            return None  # stopping; the broker sends the manifest again after the next start

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _switch(self, artifact: Artifact, fetched: InstalledArtifact) -> None:
        paths: dict[Artifact, Path | None] = {
            name: self._artifacts.path(name) for name in ("catalogue", "models")
        }
        paths[artifact] = self._artifacts.folder / fetched.name
        bundle = self._open(paths["catalogue"], paths["models"])
        self._check_on_samples(bundle)
        index = self._artifacts.index
        index.before[artifact] = index.active.get(artifact, InstalledArtifact())
        index.active[artifact] = fetched
        self._artifacts.save()
        share = sum(self._questions) / len(self._questions) if self._questions else 1.0
        self._questions.clear()
        self._watching = (artifact, self._active.use(bundle), share)
        log.info("switched", artifact=artifact, version=fetched.version)

    def _check_on_samples(self, bundle: RecognitionBundle) -> None:
        """Recognise cards that were accepted here. Raises Park if too many fail."""
        named = known = 0
        for frame, card_id in self._samples():
            recognition = bundle.recogniser.recognise(frame)
            if "unusable" in recognition.models.values():
                raise Park(
                    "its models cannot be used: they are damaged, or made for another version"
                )
            if bundle.pack.card(card_id) is None:
                continue
            known += 1
            named += any(candidate.card.id == card_id for candidate in recognition.candidates[:1])
            if recognition.card is not None and recognition.card.id != card_id:
                raise Park(f"it accepts {recognition.card.id} for a card that was {card_id} here")
        if known and named < MIN_NAMED * known:
            raise Park(f"it names {named} of {known} cards that were accepted here")

    def _roll_back(self, artifact: Artifact, before: RecognitionBundle, reason: str) -> None:
        index = self._artifacts.index
        worse = index.active.get(artifact, InstalledArtifact())
        index.refused[worse.sha256] = reason
        index.active[artifact] = index.before.pop(artifact, InstalledArtifact())
        self._active.use(before)
        self._artifacts.save()
        log.error("rolled back", artifact=artifact, version=worse.version, reason=reason)
        self._on_change(f"{artifact} {worse.version} was rolled back: {reason}")

    def _refuse(self, manifest: Manifest, reason: str) -> None:
        log.error("refused", artifact=manifest.artifact, version=manifest.version, reason=reason)
        self._artifacts.index.refused[manifest.sha256] = reason
        self._artifacts.save()
        self._on_change(f"{manifest.artifact} {manifest.version} is refused: {reason}")


def accepted_here(
    records: Sequence[ScanRecord], bytes_of: Callable[[str], bytes | None]
) -> Iterator[tuple[Frame, str]]:
    """Yield the pictures of cards that were accepted and not taken back, with their printings."""
    from cardmint_edge.adapters.decode import decode_image  # noqa: PLC0415 - 2 MB, needed for a rollout

    for record in records:
        if record.scan.card is None or record.scan.image is None or record.withdrawn:
            continue
        content = bytes_of(record.scan.image.sha256)
        if content is not None:
            yield decode_image(content), record.scan.card.id
