"""Codes of a second factor: by time from an app (RFC 6238), and recovery codes on paper."""

import base64
import re
from hmac import compare_digest

import pyotp

STEP_S = 30
TOLERANCE = 1
"""Steps before and after the present one whose codes are taken: clocks differ."""

RECOVERY_CODES = 10
RECOVERY_BYTES = 15
"""120 bits: too many to guess, so that a plain hash keeps them."""

_TOTP = re.compile(r"\d{6}\Z")


def accepted_step(secret: str, code: str, now_s: float, last: int) -> int | None:
    """Return the step of a right code; None for a wrong one, or one of `last` or before it.

    Each code counts once. `now_s` is Unix time in seconds. A `last` that is still to come says that
    the clock was ahead once, and nothing else.
    """
    code = code.strip().replace(" ", "")
    if not _TOTP.match(code) or not code.isascii():
        return None
    totp = pyotp.TOTP(secret, interval=STEP_S)
    present = int(now_s // STEP_S)
    last = last if last <= present + TOLERANCE else 0
    found = None
    for step in range(present - TOLERANCE, present + TOLERANCE + 1):
        if step > last and compare_digest(totp.at(step * STEP_S), code):
            found = step
    return found


def setup_address(secret: str, name: str, issuer: str) -> str:
    """Return what the app's QR code says."""
    return pyotp.TOTP(secret, interval=STEP_S).provisioning_uri(name=name, issuer_name=issuer)


def recovery_code(random: bytes) -> str:
    """Return random bytes as a code that people copy: six groups of four."""
    text = base64.b32encode(random).decode().lower()
    return "-".join(text[at : at + 4] for at in range(0, len(text), 4))


def plain_recovery_code(code: str) -> str:
    """Return a recovery code as it is hashed, however it was typed."""
    return re.sub(r"[\s-]", "", code).lower()
