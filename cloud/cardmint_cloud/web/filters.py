"""Template filters: money, moments, ages, sizes and codes as people read them."""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from cardmint_cloud.domain.permissions import person_may
from cardmint_cloud.web.sign_in import reach_of_asker
from cardmint_contracts.currencies import digits

_SIGNS = {"USD": "$", "EUR": "€", "GBP": "£"}
_WORDS = {
    "near_mint": "Near mint",
    "lightly_played": "Lightly played",
    "moderately_played": "Moderately played",
    "heavily_played": "Heavily played",
    "damaged": "Damaged",
    "normal": "Normal",
    "holo": "Holo",
    "reverse_holo": "Reverse holo",
    "unlimited": "Unlimited",
    "first": "1st edition",
    "counted": "Counted",
    "review": "To review",
    "rejected": "Not counted",
    "no_card": "Not counted",
}


def money(minor: int | None, currency: str | None) -> str:
    """Return an amount such as `$1,234.50`; a dash for none."""
    if minor is None or currency is None:
        return "–"
    return _SIGNS.get(currency, f"{currency} ") + digits(minor, currency)


def code_in_words(code: str) -> str:
    """Return a contract's code in words; an unknown one with spaces and a capital letter."""
    return _WORDS.get(code) or code.replace("_", " ").replace("-", " ").capitalize()


def age_text(moment: datetime, now: datetime) -> str:
    """Return how long ago `moment` was, in its largest unit."""
    seconds = int((now - moment).total_seconds())
    if seconds < 0:
        return "in " + _span(-seconds)
    return "just now" if seconds < 5 else f"{_span(seconds)} ago"


def _span(seconds: int) -> str:
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} s"


def percent(share: float) -> str:
    """Return a share in whole percent, rounded down: 100 % only for 1."""
    return f"{int(round(share * 100, 6))} %" if share < 1 else "100 %"


def byte_size(count: int) -> str:
    """Return a number of bytes in the usual unit."""
    amount = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" or amount >= 10 else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def payload_preview(payload: bytes, limit: int = 2000) -> str:
    """Return the beginning of a payload: text if it is text, else hexadecimal."""
    beginning = bytes(payload[:limit])
    text = beginning.decode("utf-8", errors="replace")
    if text.count("�") > len(text) // 20 or any(ord(c) < 32 and c not in "\t\r\n" for c in text):
        return beginning[: limit // 4].hex(" ")
    return text


@pass_context
def time_element(context: Context, at: datetime) -> Markup:
    """Return a `<time>` element that shows the age and has the moment as its title."""
    at = at.astimezone(UTC)
    return Markup('<time datetime="{}" title="{} UTC">{}</time>').format(
        at.isoformat(timespec="seconds"), f"{at:%Y-%m-%d %H:%M:%S}", age_text(at, context["now"])
    )


def may_change_cards(request: Any) -> bool:
    """Return whether the person who asks may change cards; everybody may where nobody signs in."""
    who = request.scope.get("cardmint.who")
    return who is None or person_may(who.role, "POST", "/items/change")


def is_limited(request: Any) -> bool:
    """Return whether who asks sees the cards of some stations or lots alone."""
    return reach_of_asker(request.scope) is not None


def reach_in_words(request: Any) -> str:
    """Return the stations and lots to which who asks is limited; empty for none."""
    reach = reach_of_asker(request.scope)
    return reach.words if reach else ""


def template_environment(static: Callable[[str], str], **values: Any) -> Environment:
    """Return the templates' environment.

    It escapes everything, and an undefined name is an error.
    """
    environment = Environment(
        loader=PackageLoader("cardmint_cloud.web"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "words": code_in_words,
        "moment": time_element,
        "percent": percent,
        "bytes": byte_size,
        "preview": payload_preview,
        "fromjson": json.loads,
    }
    environment.globals |= {
        "money": money,
        "static": static,
        "is_limited": is_limited,
        "reach_in_words": reach_in_words,
        "may_change": may_change_cards,
        **values,
    }
    return environment
