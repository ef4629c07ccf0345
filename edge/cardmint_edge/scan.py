"""Recognition of image files from the command line."""

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import msgspec
import numpy as np

from cardmint_contracts.cards import Card, Decision, Language
from cardmint_edge.adapters.decode import Unreadable, read_reduced
from cardmint_edge.domain.config import LanguageConfig
from cardmint_edge.domain.language import recognition_with_language, tell_language
from cardmint_edge.domain.recognition import Recogniser, Recognition
from cardmint_edge.domain.vision.quad import Quad


@dataclass(frozen=True, kw_only=True, slots=True)
class ScannedImage:
    """The outcome of one image. `error` is set when the image could not be read."""

    image: Path
    recognition: Recognition
    error: str = ""


def scan(images: Iterable[Path], recogniser: Recogniser) -> Iterator[ScannedImage]:
    """Recognise each image, its language too. One that cannot be read is a reject with its reason.

    No language is set: most cards are taken to be English.
    """
    config = LanguageConfig()
    for image in images:
        started = time.perf_counter()
        try:
            frame, factor = read_reduced(image)
        except Unreadable as error:
            yield ScannedImage(
                image=image,
                recognition=Recognition(decision=Decision.REJECT, reasons=(error.reason,)),
                error=str(error),
            )
            continue
        decoded = round((time.perf_counter() - started) * 1000, 2)
        outcome = recogniser.recognise(frame)
        outcome.ms["decode"] = decoded
        told = tell_language(outcome.languages, None, config)
        outcome = recognition_with_language(outcome, told, config)
        if outcome.quad is not None and factor > 1:
            outcome = replace(outcome, quad=outcome.quad.scaled(np.float32(factor)))
        yield ScannedImage(image=image, recognition=outcome)


class NamedCards(Protocol):
    """A catalogue that names printings in a language."""

    def named(self, card_id: str, language: Language | None) -> Card | None:
        """Return a printing, named in a language where the catalogue has it."""
        ...


def in_language(
    scanned: ScannedImage, catalogue: NamedCards, language: Language | None
) -> ScannedImage:
    """Return the outcome with its printings named in a language, where the catalogue has them.

    Without one they are named in the card's own.
    """
    named_in = language or scanned.recognition.language
    candidates = tuple(
        msgspec.structs.replace(one, card=catalogue.named(one.card.id, named_in) or one.card)
        for one in scanned.recognition.candidates
    )
    return replace(scanned, recognition=replace(scanned.recognition, candidates=candidates))


def as_json(scanned: ScannedImage) -> dict[str, Any]:
    """Return the outcome as the command line prints it, one object a line."""
    recognition = scanned.recognition
    best = recognition.candidates[0].card if recognition.candidates else None
    return {
        "image": str(scanned.image),
        "card_id": best.id if best else None,
        "name": best.name if best else None,
        "number": best.number if best else None,
        "confidence": round(recognition.confidence, 4),
        "margin": round(recognition.margin, 4),
        "likeness_gap": None
        if recognition.likeness_gap is None
        else round(recognition.likeness_gap, 4),
        "decision": recognition.decision.value,
        "reasons": list(recognition.reasons),
        "language": recognition.language,
        "language_confidence": round(recognition.language_confidence, 4),
        "method": recognition.method,
        "models": recognition.models,
        "corners": _rounded(recognition.quad),
        "candidates": [
            {"card_id": candidate.card.id, "confidence": round(candidate.confidence, 4)}
            for candidate in recognition.candidates
        ],
        "ms": recognition.ms,
    }


def _rounded(quad: Quad | None) -> list[list[float]] | None:
    return None if quad is None else quad.corners.round(1).astype(float).tolist()


def as_line(scanned: ScannedImage) -> str:
    """Return the outcome as a line for people."""
    recognition = scanned.recognition
    best = (
        f"{recognition.candidates[0].card.id} {recognition.candidates[0].card.name}"
        if recognition.candidates
        else "-"
    )
    why = f"  ({', '.join(recognition.reasons)})" if recognition.reasons else ""
    verdict = f"{recognition.decision.value:7} {recognition.confidence:5.1%}"
    return f"{verdict}  {best}  {scanned.image}{why}"
