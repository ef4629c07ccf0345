"""MQTT 5 reason codes that refuse something, and what the operator does about each.

The codes are those of the OASIS standard, section 2.4.
"""

from typing import NamedTuple

REFUSED_FROM = 0x80
UNSPECIFIED = 0x80
NOT_AUTHORISED = 0x87
SESSION_TAKEN_OVER = 0x8E


class Refusal(NamedTuple):
    """What a broker said, and the remedy."""

    meaning: str
    remedy: str


_UNKNOWN = Refusal("it gives no reason", "see the broker's own log")

_NO_LOGIN = Refusal(
    "the user or the password is wrong, or the user may not connect",
    "check broker.username and broker.password here, and the user on the broker",
)

_REFUSALS = {
    UNSPECIFIED: _UNKNOWN,
    0x81: Refusal("it cannot read the packet", "check that an MQTT 5 broker listens there"),
    0x82: Refusal("it sees a protocol error", "check that an MQTT 5 broker listens there"),
    0x83: Refusal("it refuses for a reason of its own", "see the broker's own log"),
    0x84: Refusal(
        "it does not speak MQTT 5", "switch MQTT 5 on at the broker, or name one that speaks it"
    ),
    0x85: Refusal(
        "it does not accept the client identifier",
        "let the broker accept identifiers that begin with `cardmint-`, of any length",
    ),
    0x86: _NO_LOGIN,
    NOT_AUTHORISED: Refusal(
        "it gives this user no right to do so",
        "give the station's user the rights on the station's topics (docs/station.md)",
    ),
    0x88: Refusal("it is not available", "wait; if it lasts, see the broker's own log"),
    0x89: Refusal("it is busy", "wait; if it lasts, give the broker more resources"),
    0x8A: Refusal("it has banned this station", "lift the ban on the broker"),
    0x8B: Refusal("it shuts down", "wait until it runs again"),
    0x8C: Refusal("it wants another way to log in", "let it accept a user and a password"),
    0x8D: Refusal("it heard nothing for too long", "check the network between station and broker"),
    SESSION_TAKEN_OVER: Refusal(
        "another client took over the connection",
        "another station has the same name: give each its own name",
    ),
    0x8F: Refusal("it does not accept a topic filter", "let the station subscribe to its topics"),
    0x90: Refusal("it does not accept a topic", "let the station publish to its own topics"),
    0x93: Refusal("it got more messages than it takes at once", "raise its receive maximum"),
    0x95: Refusal("a packet is too large for it", "raise its maximum packet size"),
    0x96: Refusal("it got too many messages a second", "raise the station's message rate there"),
    0x97: Refusal("a quota is used up", "raise the station's quota on the broker"),
    0x98: Refusal("an administrator ended it", "ask who administers the broker"),
    0x99: Refusal("it does not accept the payload", "switch its payload check off"),
    0x9A: Refusal(
        "it keeps no retained messages, which stations need", "switch retained messages on there"
    ),
    0x9B: Refusal("it does not offer QoS 1, which stations need", "allow QoS 1 on the broker"),
    0x9C: Refusal("another server is to be used", "set broker.host and broker.port to that one"),
    0x9D: Refusal("it has moved", "set broker.host and broker.port to the new address"),
    0x9E: Refusal("it offers no shared subscriptions", "see the broker's own log"),
    0x9F: Refusal(
        "it gets too many connections at the moment",
        "wait; if it lasts, raise the connection rate on the broker",
    ),
    0xA0: Refusal("a connection may not last longer there", "raise the longest connection there"),
    0xA2: Refusal(
        "it offers no wildcard subscriptions, which stations need",
        "switch wildcard subscriptions on there",
    ),
}


def refusal(code: int) -> Refusal:
    """Return what a reason code means, and what to do about it."""
    return _REFUSALS.get(code, _UNKNOWN)


def login_refusal(code: int) -> Refusal:
    """Return the same for the answer to a connection, where a wrong password is 0x87 too."""
    return _NO_LOGIN if code == NOT_AUTHORISED else refusal(code)


def subscription_refusal(code: int) -> Refusal:
    """Return the same for the answer to a subscription."""
    if code in {UNSPECIFIED, NOT_AUTHORISED}:
        return Refusal(refusal(code).meaning, "let the station subscribe to its own topics")
    return refusal(code)


def missing_feature(*, retain: int, maximum_qos: int, wildcards: int) -> Refusal | None:
    """Return why a broker that announces these features cannot be used; None if it can."""
    if not retain:
        return refusal(0x9A)
    if maximum_qos < 1:
        return refusal(0x9B)
    return None if wildcards else refusal(0xA2)
