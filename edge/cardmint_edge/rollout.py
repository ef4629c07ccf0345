"""Rollout of packs and models: download, check, try, switch, watch, and roll back if worse."""

import random
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

import structlog

from cardmint_contracts.cards import Card, Decision, Language, ScanDefaults
from cardmint_contracts.catalogue import Variant
from cardmint_contracts.control import Artifact, Manifest
from cardmint_contracts.prices import LastPrice
from cardmint_edge.adapters.artifacts import ArtifactStore, InstalledArtifact
from cardmint_edge.domain.catalogue.pack_contents import PackContents, losses
from cardmint_edge.domain.reading.close_up import CloseUp
from cardmint_edge.domain.recognition import Frame, Recogniser, Recognition
from cardmint_edge.domain.scan_record import ScanRecord
from cardmint_edge.errors import EdgeError, Park, Retry, Stop

WATCHED_CARDS = 100
"""Cards whose decisions are compared, after a switch and before it."""

MAX_INCREASE = 0.2
"""Increase of the share of questions from which a switch is rolled back."""

MIN_NAMED = 0.6
"""Share of earlier accepted cards that a new pack or new models must name, at least."""

LONGEST_PAUSE_S = 3600.0
AFTER_BUG_S = 60.0
MAX_REPLACED = 100
"""Artifacts in use earlier that are remembered, to refuse manifests without a serial of them."""

_REPLACING = "sign it with `cardmint-edge fleet manifest --replace` to use it all the same"

log = structlog.get_logger(__name__)


def pause_after(failures: int) -> float:
    """Return the seconds to wait after so many failed attempts: at random, and ever longer."""
    return min(LONGEST_PAUSE_S, 2.0 ** min(failures, 12)) * random.uniform(0.5, 1.0)  # noqa: S311


class CataloguePack(Protocol):
    """A pack as a catalogue for people."""

    @property
    def version(self) -> str:
        """The pack's version."""
        ...

    @property
    def made_at(self) -> datetime | None:
        """When the catalogue's source was last asked; None where the pack does not say."""
        ...

    @property
    def newest_set(self) -> str:
        """The name of the set that came out last; empty where the pack does not say."""
        ...

    def contents(self) -> PackContents:
        """Return which printings it has, and how many pictures and names. Raises Stop."""
        ...

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its identifier; None for an unknown one."""
        ...

    def picture(self, card_id: str) -> bytes | None:
        """Return a printing's thumbnail as JPEG; None without a picture."""
        ...

    def named(self, card_id: str, language: Language | None) -> Card | None:
        """Return a printing, named in a language where the catalogue has it."""
        ...

    def variants(self, card_id: str) -> Sequence[Variant]:
        """Return the variants of a printing; none where none are known."""
        ...

    def languages(self, card_id: str) -> Sequence[Language]:
        """Return the languages in which a printing exists; none where none are known."""
        ...

    def search(
        self, text: str, limit: int = 20, language: Language | None = None
    ) -> Sequence[Card]:
        """Find printings by what is printed on them, named in a language."""
        ...

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing with the defaults' finish and edition."""
        ...


def _no_close_up(_: Frame) -> CloseUp | None:
    return None


@dataclass(frozen=True, kw_only=True, slots=True)
class RecognitionBundle:
    """A pack and the recogniser over it."""

    pack: CataloguePack
    recogniser: Recogniser
    close_up: Callable[[Frame], CloseUp | None] = _no_close_up
    """Reads a photo of a card's lower edge alone."""


class ActiveRecognition:
    """The pack and recogniser in use. They are replaced between two cards."""

    def __init__(self, bundle: RecognitionBundle) -> None:
        self._bundle = bundle

    @property
    def version(self) -> str:
        """The pack's version."""
        return self._bundle.pack.version

    @property
    def made_at(self) -> datetime | None:
        """When the catalogue's source was last asked; None where the pack does not say."""
        return self._bundle.pack.made_at

    @property
    def newest_set(self) -> str:
        """The name of the set that came out last; empty where the pack does not say."""
        return self._bundle.pack.newest_set

    def card(self, card_id: str) -> Card | None:
        """Return a printing by its identifier; None for an unknown one."""
        return self._bundle.pack.card(card_id)

    def picture(self, card_id: str) -> bytes | None:
        """Return a printing's thumbnail as JPEG; None without a picture."""
        return self._bundle.pack.picture(card_id)

    def named(self, card_id: str, language: Language | None) -> Card | None:
        """Return a printing, named in a language where the catalogue has it."""
        return self._bundle.pack.named(card_id, language)

    def variants(self, card_id: str) -> Sequence[Variant]:
        """Return the variants of a printing; none where none are known."""
        return self._bundle.pack.variants(card_id)

    def languages(self, card_id: str) -> Sequence[Language]:
        """Return the languages in which a printing exists; none where none are known."""
        return self._bundle.pack.languages(card_id)

    def search(
        self, text: str, limit: int = 20, language: Language | None = None
    ) -> Sequence[Card]:
        """Find printings by what is printed on them, named in a language."""
        return self._bundle.pack.search(text, limit, language)

    def price(self, card_id: str, defaults: ScanDefaults) -> LastPrice | None:
        """Return the last known price of a printing with the defaults' finish and edition."""
        return self._bundle.pack.price(card_id, defaults)

    def recognise(self, frame: Frame) -> Recognition:
        """Recognise a frame with the recogniser in use."""
        return self._bundle.recogniser.recognise(frame)

    def close_up(self, frame: Frame) -> CloseUp | None:
        """Read a photo of a card's lower edge alone."""
        return self._bundle.close_up(frame)

    def contents(self) -> PackContents:
        """Return what the pack in use holds; nothing when it cannot be read any more."""
        try:
            return self._bundle.pack.contents()
        except Stop:
            return PackContents()

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
        except Exception as error:  # noqa: BLE001 - damaged files may raise anything
            log.error("the installed pack or models cannot be used any more", reason=repr(error))
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
        pause_s: Callable[[int], float] = pause_after,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Take the parts.

        `open_` opens a pack and a folder of models; None is for those of the settings. `samples`
        returns pictures of cards that were accepted here, with the printings' identifiers.
        `on_change` takes a sentence about each manifest's result. `pause_s` returns the seconds to
        wait after a number of failed attempts.
        """
        self._active = active
        self._artifacts = artifacts
        self._open = open_
        self._samples = samples
        self._on_change = on_change
        self._pause_s = pause_s
        self._clock = clock
        self._pending: dict[Artifact, _PendingManifest] = {}
        self._mutex = threading.Lock()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._questions: deque[bool] = deque(maxlen=WATCHED_CARDS)
        self._watching: tuple[Artifact, RecognitionBundle, float] | None = None

    def post(self, manifest: Manifest) -> None:
        """Check a manifest, from any thread, and roll it out soon.

        It takes the place of an earlier one of the same artifact, also while that is fetched.
        """
        with self._mutex:
            if self._is_news(manifest):
                self._pending[manifest.artifact] = _PendingManifest(manifest)
        self._news.set()

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._news.set()

    def run(self) -> None:
        """Roll out manifests until `stop`."""
        while not self._stopping.is_set():
            self._news.clear()
            try:
                wait_s = self.step()
            except Exception:
                log.exception("a rollout failed; this is a bug")
                wait_s = AFTER_BUG_S
            self._news.wait(wait_s)

    def step(self) -> float | None:
        """Try the manifest that is due, and return the seconds until the next one is.

        None: there is nothing to roll out.
        """
        with self._mutex:
            due = min(self._pending.values(), key=lambda one: one.due, default=None)
        if due is None:
            return None
        if due.due <= self._clock():
            self._try(due)
            return 0.0
        return due.due - self._clock()

    def _is_news(self, manifest: Manifest) -> bool:
        """Check a manifest, and return whether there is something to fetch.

        The signature comes first. What is wrong with a manifest is said and not remembered.
        """
        name, index = f"{manifest.artifact} {manifest.version}", self._artifacts.index
        try:
            self._artifacts.check(manifest)
            if (manifest.serial or 0) > index.serials.get(manifest.artifact, 0):
                index.serials[manifest.artifact] = manifest.serial or 0
                self._artifacts.save()
        except Park as error:
            log.error("manifest refused", artifact=name, reason=str(error))
            self._on_change(f"{name} is refused: {error}")
            return False
        except Retry as error:  # the next start may take an older manifest
            log.error("the serial is not stored", artifact=name, reason=str(error))
        if (verdict := index.refused.get(_verdict_key(manifest))) is not None:
            self._on_change(f"{name} was refused before: {verdict}")
            return False
        if index.active.get(manifest.artifact, InstalledArtifact()).sha256 == manifest.sha256:
            self._pending.pop(manifest.artifact, None)
            return False
        pending = self._pending.get(manifest.artifact)
        return pending is None or pending.manifest != manifest

    def _try(self, pending: "_PendingManifest") -> None:
        """Try once to fetch and use an artifact."""
        manifest = pending.manifest
        name = f"{manifest.artifact} {manifest.version}"

        def interrupted() -> bool:
            newest = self._pending.get(manifest.artifact)
            return self._stopping.is_set() or newest is not pending

        try:
            fetched = self._artifacts.fetch(manifest, interrupted)
            if interrupted():
                return
            self._switch(manifest, fetched)
        except EdgeError as error:
            if isinstance(error, Retry) or isinstance(error.__context__, OSError):
                if not interrupted():
                    self._try_later(pending, name, str(error))
                return
            self._refuse(manifest, str(error))
        except Exception as error:
            log.exception("the artifact makes the agent fail", artifact=name)
            self._refuse(manifest, f"it makes the agent fail: {error!r}")
        else:
            self._on_change(f"{name} is in use")
        with self._mutex:
            if self._pending.get(manifest.artifact) is pending:
                del self._pending[manifest.artifact]

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

    def _try_later(self, pending: "_PendingManifest", name: str, reason: str) -> None:
        pending.failures += 1
        pending.due = self._clock() + self._pause_s(pending.failures)
        if reason != pending.reason:
            pending.reason = reason
            log.warning("a rollout waits", artifact=name, reason=reason)
            self._on_change(f"{name} is not here yet, and tried again: {reason}")

    def _switch(self, manifest: Manifest, fetched: InstalledArtifact) -> None:
        artifact = manifest.artifact
        paths: dict[Artifact, Path | None] = {
            name: self._artifacts.path(name) for name in ("catalogue", "models")
        }
        paths[artifact] = self._artifacts.folder / fetched.name
        bundle = self._open(paths["catalogue"], paths["models"])
        complete = artifact == "catalogue" and not manifest.replace_signature
        if complete:
            self._check_contents(bundle.pack)
        self._check_on_samples(bundle, complete=complete)
        index = self._artifacts.index
        before = index.active.get(artifact, InstalledArtifact())
        index.active[artifact] = fetched
        try:
            self._artifacts.save()
        except Retry:
            index.active[artifact] = before
            raise
        index.before[artifact] = before
        if before.sha256:
            index.replaced = [*index.replaced, before.sha256][-MAX_REPLACED:]
        share = sum(self._questions) / len(self._questions) if self._questions else 1.0
        self._questions.clear()
        self._watching = (artifact, self._active.use(bundle), share)
        log.info("switched", artifact=artifact, version=fetched.version)

    def _check_contents(self, pack: CataloguePack) -> None:
        """Compare a new pack with the one in use. Raises Park if it lacks much of it."""
        if lost := losses(self._active.contents(), pack.contents()):
            raise Park(f"it lacks {', '.join(lost)} of the pack in use: {_REPLACING}")

    def _check_on_samples(self, bundle: RecognitionBundle, *, complete: bool) -> None:
        """Recognise cards that were accepted here.

        Raises:
            Park: too many fail, or, where the pack must be `complete`, it lacks one that the pack
                in use has.
        """
        named = known = 0
        for frame, card_id in self._samples():
            recognition = bundle.recogniser.recognise(frame)
            if "unusable" in recognition.models.values():
                raise Park(
                    "its models cannot be used: they are damaged, or made for another version"
                )
            if bundle.pack.card(card_id) is None:
                if complete and self._active.card(card_id) is not None:
                    raise Park(f"it lacks {card_id}, which was accepted here: {_REPLACING}")
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
        index.refused |= dict.fromkeys((worse.sha256, f"{worse.sha256} replace"), reason)
        index.active[artifact] = index.before.pop(artifact, InstalledArtifact())
        self._active.use(before)
        self._save()
        log.error("rolled back", artifact=artifact, version=worse.version, reason=reason)
        self._on_change(f"{artifact} {worse.version} was rolled back: {reason}")

    def _refuse(self, manifest: Manifest, reason: str) -> None:
        log.error("refused", artifact=manifest.artifact, version=manifest.version, reason=reason)
        self._artifacts.index.refused[_verdict_key(manifest)] = reason
        self._save()
        self._on_change(f"{manifest.artifact} {manifest.version} is refused: {reason}")

    def _save(self) -> None:
        """Store the index. If that fails, the next start decides once more."""
        try:
            self._artifacts.save()
        except Retry as error:
            log.error("the decision is not stored", reason=str(error))


def _verdict_key(manifest: Manifest) -> str:
    """Return under what a refusal is remembered: what lacks cards may be told to replace later."""
    return f"{manifest.sha256} replace" if manifest.replace_signature else manifest.sha256


@dataclass(slots=True, eq=False)
class _PendingManifest:
    """A checked manifest, and how often it failed. It is due at a time of the clock."""

    manifest: Manifest
    failures: int = 0
    due: float = 0.0
    reason: str = ""


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
