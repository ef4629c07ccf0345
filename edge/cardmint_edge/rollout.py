"""Rollout: a pack or models from afar are fetched, tried, switched to between two cards, and given back if worse."""

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

WATCHED = 100
"""So many cards are watched after a switch, against as many before it."""

WORSE = 0.2
"""By this share more questions than before, and it is given back."""

NAMED = 0.6
"""Of the cards that were accepted here before, a new one must name at least this share."""

log = structlog.get_logger(__name__)


class CataloguePack(Protocol):
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

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing as a defaults describes it."""
        ...


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognitionBundle:
    """A pack and what recognises by it."""

    catalogue: CataloguePack
    recogniser: Recogniser


class ActiveRecognition:
    """The pack and recogniser in use; another takes their place between two cards."""

    def __init__(self, working: RecognitionBundle) -> None:
        self._working = working

    @property
    def version(self) -> str:
        """The pack's version."""
        return self._working.catalogue.version

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its id."""
        return self._working.catalogue.card(card_id)

    def search(self, text: str) -> Sequence[Card]:
        """Find printings by words of name, number and set."""
        return self._working.catalogue.search(text)

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing as a defaults describes it."""
        return self._working.catalogue.price(card_id, defaults)

    def recognise(self, frame: Frame) -> Recognition:
        """Recognise by what is in use now."""
        return self._working.recogniser.recognise(frame)

    def use(self, working: RecognitionBundle) -> RecognitionBundle:
        """Use another from the next card on, and return the one before."""
        before, self._working = self._working, working
        return before


def open_installed(
    artifacts: ArtifactStore, open_: Callable[[Path | None, Path | None], RecognitionBundle]
) -> RecognitionBundle:
    """Open what was in use; what came from afar and cannot be opened any more gives way to what the settings name.

    Raises:
        Stop: what the settings name cannot be opened.
    """
    pack, models = artifacts.path("catalogue"), artifacts.path("models")
    if pack is not None or models is not None:
        try:
            return open_(pack, models)
        except EdgeError as error:
            log.error("what came from afar cannot be used any more", reason=str(error))
            artifacts.shelf.active.clear()
    return open_(None, None)


class Rollout:
    """Takes manifests in `run`, until `stop`."""

    def __init__(
        self,
        *,
        in_use: ActiveRecognition,
        artifacts: ArtifactStore,
        open_: Callable[[Path | None, Path | None], RecognitionBundle],
        samples: Callable[[], Sequence[tuple[Frame, str]]],
        changed: Callable[[str], None],
        wait: wait_base | None = None,
    ) -> None:
        """Take the parts.

        `open_` opens a pack and a folder of models, None for those of the settings; `samples` gives
        pictures that were accepted here, with their printings; `changed` is told what came of a
        manifest.
        """
        self._in_use = in_use
        self._artifacts = artifacts
        self._open = open_
        self._samples = samples
        self._changed = changed
        self._wait = wait or wait_exponential_jitter(initial=1, max=300)
        self._inbox: queue.SimpleQueue[Manifest | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._asked: deque[bool] = deque(maxlen=WATCHED)
        self._watching: tuple[Artifact, RecognitionBundle, float] | None = None

    def take(self, manifest: Manifest) -> None:
        """Hand in a manifest, from any thread."""
        self._inbox.put(manifest)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._inbox.put(None)

    def run(self) -> None:
        """Take what comes."""
        while not self._stopping.is_set():
            manifest = self._inbox.get()
            if manifest is not None:
                try:
                    self.bring(manifest)
                except (
                    EdgeError
                ) as error:  # the disk: what came is kept, and the retained manifest comes again
                    log.error("not rolled out", artifact=manifest.artifact, reason=str(error))

    def bring(self, manifest: Manifest) -> bool:
        """Bring what a manifest names into use; say whether it is."""
        shelf = self._artifacts.shelf
        kept = shelf.active.get(manifest.artifact)
        if kept is not None and kept.sha256 == manifest.sha256:
            return True
        if manifest.sha256 in shelf.refused:
            self._changed(
                f"{manifest.artifact} {manifest.version} was refused before: {shelf.refused[manifest.sha256]}"
            )
            return False
        try:
            self._artifacts.check_signature(manifest)
            fetched = self._fetched(manifest)
            if fetched is None:
                return False
            self._switch(manifest.artifact, fetched)
        except EdgeError as error:
            self._refuse(manifest, str(error))
            return False
        self._changed(f"{manifest.artifact} {manifest.version} is in use")
        return True

    def card_counted(self, decision: Decision) -> None:
        """Learn what became of a card: too many questions after a switch, and it is given back."""
        self._asked.append(decision is not Decision.ACCEPT)
        watched = self._watching
        if watched is None or len(self._asked) < WATCHED:
            return
        artifact, before, share = watched
        self._watching = None
        now = sum(self._asked) / WATCHED
        if now > share + WORSE:
            self._give_back(
                artifact, before, f"{now:.0%} of the cards are asked about, {share:.0%} were before"
            )

    def _fetched(self, manifest: Manifest) -> InstalledArtifact | None:
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
            return None  # stopping; the retained manifest comes again after the next start

    def _pause(self, seconds: float) -> None:
        self._stopping.wait(seconds)

    def _switch(self, artifact: Artifact, fetched: InstalledArtifact) -> None:
        paths: dict[Artifact, Path | None] = {
            one: self._artifacts.path(one) for one in ("catalogue", "models")
        }
        paths[artifact] = self._artifacts.folder / fetched.name
        working = self._open(paths["catalogue"], paths["models"])
        self._try(working)
        shelf = self._artifacts.shelf
        shelf.before[artifact] = shelf.active.get(artifact, InstalledArtifact())
        shelf.active[artifact] = fetched
        self._artifacts.save()
        share = sum(self._asked) / len(self._asked) if self._asked else 1.0
        self._asked.clear()
        self._watching = (artifact, self._in_use.use(working), share)
        log.info("switched", artifact=artifact, version=fetched.version)

    def _try(self, working: RecognitionBundle) -> None:
        """Try it on cards that were accepted here; raises Park when it fails on them."""
        named = known = 0
        for frame, card_id in self._samples():
            seen = working.recogniser.recognise(frame)
            if "unusable" in seen.models.values():
                raise Park(
                    "its models cannot be used: they are damaged, or made for another version"
                )
            if working.catalogue.card(card_id) is None:
                continue
            known += 1
            named += any(candidate.card.id == card_id for candidate in seen.candidates[:1])
            if seen.card is not None and seen.card.id != card_id:
                raise Park(f"it takes a card that was {card_id} here for {seen.card.id}")
        if known and named < NAMED * known:
            raise Park(f"it names {named} of {known} cards that were accepted here")

    def _give_back(self, artifact: Artifact, before: RecognitionBundle, reason: str) -> None:
        shelf = self._artifacts.shelf
        worse = shelf.active.get(artifact, InstalledArtifact())
        shelf.refused[worse.sha256] = reason
        shelf.active[artifact] = shelf.before.pop(artifact, InstalledArtifact())
        self._in_use.use(before)
        self._artifacts.save()
        log.error("given back", artifact=artifact, version=worse.version, reason=reason)
        self._changed(f"{artifact} {worse.version} was given back: {reason}")

    def _refuse(self, manifest: Manifest, reason: str) -> None:
        log.error("refused", artifact=manifest.artifact, version=manifest.version, reason=reason)
        self._artifacts.shelf.refused[manifest.sha256] = reason
        self._artifacts.save()
        self._changed(f"{manifest.artifact} {manifest.version} is refused: {reason}")


def accepted_here(
    lines: Sequence[ScanRecord], bytes_of: Callable[[str], bytes | None]
) -> Iterator[tuple[Frame, str]]:
    """Give the pictures of cards that were accepted here and not taken back, with their printings."""
    from cardmint_edge.adapters.decode import decode_image  # noqa: PLC0415 - 2 MB, for a new pack or model

    for line in lines:
        if line.scan.card is None or line.scan.image is None or line.withdrawn:
            continue
        content = bytes_of(line.scan.image.sha256)
        if content is not None:
            yield decode_image(content), line.scan.card.id
