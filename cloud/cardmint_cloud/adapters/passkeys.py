"""Passkeys (WebAuthn Level 3), checked by the library `webauthn`.

A passkey must know its user by a PIN or a fingerprint, so that it is two factors in one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit
from uuid import UUID

import webauthn
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

MOST_BYTES = 8 << 10
"""Of a passkey's answer: attestation is not asked for, so that it is small."""

_VERIFIED = UserVerificationRequirement.REQUIRED
_BAD = (WebAuthnException, ValueError, KeyError, TypeError)


@dataclass(frozen=True, kw_only=True, slots=True)
class Passkey:
    """A passkey's credential, its public key, and how often it has signed by its own count."""

    credential: bytes
    public_key: bytes
    count: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Asked:
    """Options for the browser as JSON, and the challenge to be signed."""

    options: str
    challenge: bytes


def can_have_passkeys(origin: str) -> bool:
    """Return whether browsers make passkeys for a site: by HTTPS or `localhost`, and a name."""
    parts = urlsplit(origin)
    host = parts.hostname or ""
    numeric = ":" in host or host.replace(".", "").isdigit()
    return not numeric and (parts.scheme == "https" or host == "localhost")


def ask_to_register(
    origin: str, *, tenant: str, name: str, account: UUID, known: Sequence[bytes]
) -> Asked:
    """Return what asks a browser for a new passkey of an account."""
    made = webauthn.generate_registration_options(
        rp_id=_site(origin),
        rp_name=f"CardMint, {tenant}",
        user_name=name,
        user_id=account.bytes,
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.PREFERRED, user_verification=_VERIFIED
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
    )
    return Asked(options=webauthn.options_to_json(made), challenge=made.challenge)


def registered(answer: str, *, challenge: bytes, origin: str) -> Passkey | None:
    """Return the passkey that a browser made; None where the answer is not what was asked for."""
    if len(answer) > MOST_BYTES:
        return None
    try:
        found = webauthn.verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_site(origin),
            expected_origin=origin,
            require_user_verification=True,
        )
    except _BAD:
        return None
    return Passkey(
        credential=found.credential_id,
        public_key=found.credential_public_key,
        count=found.sign_count,
    )


def ask_to_sign(origin: str, known: Sequence[bytes]) -> Asked:
    """Return what asks a browser to sign by one of the known passkeys."""
    made = webauthn.generate_authentication_options(
        rp_id=_site(origin),
        allow_credentials=[PublicKeyCredentialDescriptor(id=one) for one in known],
        user_verification=_VERIFIED,
    )
    return Asked(options=webauthn.options_to_json(made), challenge=made.challenge)


def ask_anybody(origin: str) -> Asked:
    """Return what asks a browser to sign by any passkey that it has for the site."""
    return ask_to_sign(origin, [])


@dataclass(frozen=True, kw_only=True, slots=True)
class Told:
    """What an answer says of itself, unproven: its passkey, its owner and what it signed."""

    credential: bytes
    owner: bytes
    challenge: bytes


def told_by(answer: str) -> Told | None:
    """Return what an answer says of itself; None where it is none, or names no owner."""
    if len(answer) > MOST_BYTES:
        return None
    try:
        found = webauthn.helpers.parse_authentication_credential_json(answer)
        signed = webauthn.helpers.parse_client_data_json(found.response.client_data_json)
    except _BAD:
        return None
    owner = found.response.user_handle
    if owner is None:
        return None
    return Told(credential=found.raw_id, owner=owner, challenge=signed.challenge)


def credential_of(answer: str) -> bytes | None:
    """Return which passkey an answer says it is of; None where it says nothing."""
    if len(answer) > MOST_BYTES:
        return None
    try:
        found = webauthn.helpers.parse_authentication_credential_json(answer)
    except _BAD:
        return None
    return found.raw_id


def signed_count(answer: str, passkey: Passkey, *, challenge: bytes, origin: str) -> int | None:
    """Return a passkey's count after it signed; None where it did not sign this."""
    try:
        found = webauthn.verify_authentication_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=_site(origin),
            expected_origin=origin,
            credential_public_key=passkey.public_key,
            credential_current_sign_count=passkey.count,
            require_user_verification=True,
        )
    except _BAD:
        return None
    return found.new_sign_count


def _site(origin: str) -> str:
    return urlsplit(origin).hostname or ""
