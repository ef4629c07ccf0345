"""Events of an item in words, for people."""

from collections.abc import Mapping
from typing import Any

from cardmint_cloud.domain.person_references import with_names
from cardmint_cloud.web.filters import code_in_words, money
from cardmint_contracts.cards import Card, Condition, Decision, Edition, Finish, Money
from cardmint_contracts.changes import ItemValues, Slab, Stock
from cardmint_contracts.events import (
    CardScanned,
    ItemsAdded,
    ItemsChanged,
    Question,
    RescanRequested,
    ReviewAged,
    ReviewAnswered,
    ReviewOpened,
    ReviewUndone,
    ScanWithdrawn,
)

_QUESTION_TEXTS = {
    Question.PRINTING: "Asked which card it is",
    Question.DUPLICATE: "Asked whether it is the same card again",
    Question.AUDIT: "Asked whether it was counted rightly",
}


_FIELDS = {"paid": "purchase price"}

_ItemEvent = (
    CardScanned
    | ReviewOpened
    | ReviewAnswered
    | ReviewUndone
    | RescanRequested
    | ReviewAged
    | ScanWithdrawn
    | ItemsChanged
    | ItemsAdded
)


def describe_events(events: list[dict[str, Any]], names: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return events with a sentence for each as `text`, with the names of persons."""
    return [{**event, "text": with_names(_event_text(event["data"]), names)} for event in events]


def _event_text(data: _ItemEvent) -> str:  # noqa: PLR0911 - one for each kind of event
    match data:
        case CardScanned():
            again = "Scanned again: " if data.rescan_of else ""
            found = {
                Decision.ACCEPT: f"Recognised as {_card_title(data.card)}",
                Decision.REVIEW: "Not certain: a person was asked",
                Decision.REJECT: "Found to be no card",
            }
            return again + found[data.decision]
        case ReviewOpened():
            why = (
                ""
                if data.question is Question.AUDIT
                else ": " + ", ".join(code_in_words(one).lower() for one in data.reasons)
            )
            return _QUESTION_TEXTS[data.question] + why
        case ReviewUndone():
            return f"Answer taken back, by {data.by}"
        case RescanRequested():
            return f"Asked for the card itself: {data.place}, by {data.by}"
        case ReviewAged():
            return "Waited too long" if data.outcome == "escalated" else "Given up: nobody looked"
        case ScanWithdrawn():
            return f"Taken back, by {data.by}"
        case ItemsChanged():
            back = "Changed back: " if data.undoes else "Changed: "
            return f"{back}{', '.join(values_in_words(data.groups[0].after))}, by {data.by}"
        case ItemsAdded():
            return (
                f"Added without a camera: {_card_title(data.groups[0].values.card)}, by {data.by}"
            )
        case ReviewAnswered():
            variant = [code_in_words(one).lower() for one in (data.finish, data.edition) if one]
            said = [_card_title(data.card) or "no card", data.language or "", *variant]
            return f"Answered: {' '.join(filter(None, said))}, by {data.by}"


def values_in_words(values: ItemValues) -> list[str]:
    """Return what is set and cleared, such as `bin B1` and `no note`."""
    words: list[str] = []
    for name in sorted(values.fields):
        value = getattr(values, name)
        match value:
            case None:
                words.append(f"no {_FIELDS.get(name, name)}")
            case Money():
                words.append(f"paid {money(value.minor, value.currency)}")
            case Slab():
                words.append(f"{value.grader} {value.grade} {value.certificate}".strip())
            case Card():
                words.append(f"is {_card_title(value)}")
            case Stock() | Condition() | Finish() | Edition():
                words.append(code_in_words(value.value).lower())
            case _:
                words.append(f"{name} {value}")
    return words


def _card_title(card: Card | None) -> str:
    return f"{card.name} {card.number}".strip() if card else ""
