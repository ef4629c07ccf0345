"""What a broker's refusal means and what to do about it, by the reason codes of MQTT 5.

The tables have the codes as numbers: the enumerations of `mqtt5` cannot be keys.
"""

import mqtt5
from mqtt5 import ConnAckReasonCode, DisconnectReasonCode

_RIGHTS = (
    "let the cloud's user read +/+/events, +/+/state, +/+/health and +/+/config/reported below"
    " cardmint/v1, and write below it"
)
_USER = "check `broker.username` and `broker.password` in the settings"
_CERTIFICATE = "`broker.cert_file`, where the broker knows its clients by certificate"
_LATER = "that passes by itself, or see the broker's log"
_RETAINED = (
    "keeps no retained messages, by which receipts, tasks and settings reach the stations:"
    " allow them (mosquitto: `retain_available true`), or use another broker"
)
_QOS = (
    "takes QoS 0 only, so messages may be lost unseen: allow QoS 1 (mosquitto: `max_qos 1`),"
    " or use another broker"
)
_WILDCARDS = (
    "allows no wildcards in subscriptions, by which the cloud hears every station:"
    " allow them, or use another broker"
)
_MOVED = "set `broker.host` and `broker.port` to the broker that it names"
_CONNECT = {
    0x84: ("it does not speak MQTT 5: allow version 5 there, or use another broker"),
    0x85: ("allow client identifiers that begin with `cardmint-cloud-`, of 51 characters"),
    0x86: _USER,
    0x87: (f"allow this user to connect, or {_USER}, and {_CERTIFICATE}"),
    0x88: f"it is not ready; {_LATER}",
    0x89: f"it is overloaded; {_LATER}",
    0x8A: "lift the ban on this user, client or address at the broker",
    0x8C: ("allow sign-in by user name and password, or by certificate, at the broker"),
    0x95: "raise the broker's largest packet",
    0x97: ("raise the broker's limit of connections or messages for this user"),
    0x9A: f"it {_RETAINED}",
    0x9B: f"it {_QOS}",
    0x9C: _MOVED,
    0x9D: _MOVED,
    0x9F: (
        "too many connections in a short time: does something else connect again and again"
        " as this user? it is tried less often now"
    ),
}
_LOST = {
    0x8E: (
        "another client connected under this worker's identifier: is it a copy of this process,"
        " or a machine restored from an image? stop one of the two"
    ),
    0x8D: "the broker heard nothing in time: see the network",
    0x87: _RIGHTS,
    0x95: "raise the broker's largest packet",
    0x97: "raise the broker's limit for this user",
    0x96: "raise the broker's message rate for this user",
    0x9A: f"it {_RETAINED}",
    0x9B: f"it {_QOS}",
    0x9C: _MOVED,
    0x9D: _MOVED,
    0xA2: f"it {_WILDCARDS}",
}
_PUBLISH = {
    0x87: _RIGHTS,
    0x97: ("raise the broker's limit of messages or of retained messages"),
}


def why_refused(answer: mqtt5.ConnAckPacket) -> str:
    """Return what is wrong when a broker refuses a connection, and what to do."""
    code = answer.reason_code
    told = "".join(f"; it says: {text}" for text in (answer.reason_str,) if text)
    if answer.server_reference:
        told += f"; it names {answer.server_reference}"
    return f"refuses us ({in_words(code)}): {_CONNECT.get(code.value, 'see its log')}{told}"


def why_unusable(answer: mqtt5.ConnAckPacket) -> str | None:
    """Return why a broker that accepts us cannot be used, and what to do; None if it can."""
    if not answer.retain_available:
        return _RETAINED
    if answer.max_qos == mqtt5.QoS.AT_MOST_ONCE:
        return _QOS
    return None if answer.wildcard_subscription_available else _WILDCARDS


def why_lost(packet: mqtt5.DisconnectPacket) -> str:
    """Return why a broker ends a connection, and what to do where something can be done."""
    said = packet.reason_str or in_words(packet.reason_code)
    advice = _LOST.get(packet.reason_code.value)
    return f"{said}: {advice}" if advice else said


def why_not_published(code: mqtt5.PubAckReasonCode) -> str:
    """Return what to do about a message that a broker refuses."""
    return _PUBLISH.get(code.value, "see the broker's log")


def why_not_subscribed() -> str:
    """Return what to do about a subscription that a broker refuses."""
    return _RIGHTS


def in_words(code: ConnAckReasonCode | DisconnectReasonCode | mqtt5.PubAckReasonCode) -> str:
    """Return a reason code in words, with its number as other programs log it."""
    return f"{code.name.replace('_', ' ').lower()}, 0x{code.value:02X}"
