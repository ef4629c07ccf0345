"""Signing in by another provider: OpenID Connect Core 1.0, authorization code flow with PKCE.

One secret, kept in a cookie by the browser that began, gives state, nonce and verifier. So nothing
is stored here, and an answer that another browser asked for is refused.
"""

import base64
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from hmac import compare_digest
from typing import Any
from urllib.parse import quote_plus, urlsplit

import httpx
import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import KeySet

from cardmint_cloud.settings import OidcSettings, is_loopback

ALGORITHMS = ["RS256", "PS256", "ES256", "EdDSA"]
"""Signatures that are taken: those with a public key."""

METADATA_LIFE_S = 600.0
TIMEOUT_S = 10.0
LEEWAY_S = 60
MOST_BYTES = 256 << 10


class ProviderProblem(Exception):
    """The provider signed nobody in; the message says why, for a person."""


class _Metadata(msgspec.Struct, frozen=True):
    """What OpenID Connect Discovery 1.0 says of a provider, as far as it is used here."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str


@dataclass(frozen=True, kw_only=True, slots=True)
class _Derived:
    """What a browser's secret gives for one sign-in."""

    state: str
    nonce: str
    verifier: str


class OidcProvider:
    """An OpenID Connect provider."""

    def __init__(self, settings: OidcSettings) -> None:
        self._settings = settings
        self._metadata: tuple[float, _Metadata] | None = None

    @property
    def name(self) -> str:
        """What people call the provider."""
        return self._settings.name

    async def address(self, secret: str, redirect_uri: str) -> str:
        """Return where a browser with a secret goes to sign in.

        Raises:
            ProviderProblem: the provider cannot be asked.
        """
        metadata, derived = await self._known(), _derive(secret)
        query = {
            "response_type": "code",
            "scope": "openid",
            "client_id": self._settings.client_id,
            "redirect_uri": redirect_uri,
            "state": derived.state,
            "nonce": derived.nonce,
            "code_challenge": _encoded(sha256(derived.verifier.encode()).digest()),
            "code_challenge_method": "S256",
        }
        return str(httpx.URL(metadata.authorization_endpoint).copy_merge_params(query))

    async def identity(
        self, secret: str, redirect_uri: str, answer: Mapping[str, str], now: datetime
    ) -> bytes:
        """Return who came back from the provider: the digest of issuer and subject.

        Raises:
            ProviderProblem: nobody did, or what came does not hold.
        """
        derived = _derive(secret)
        if not secret or not compare_digest(
            answer.get("state", "").encode(), derived.state.encode()
        ):
            raise ProviderProblem("This sign-in was not begun in this browser; begin again.")
        if answer.get("error"):
            raise ProviderProblem(f"{self.name} signed nobody in: {answer['error'][:60]}")
        metadata = await self._known()
        if answer.get("iss", metadata.issuer) != metadata.issuer:  # RFC 9207
            raise ProviderProblem("Another provider answered.")
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                token = await self._redeemed(
                    client, metadata, answer.get("code", ""), derived.verifier, redirect_uri
                )
                keys = KeySet.import_key_set(await _sent(client, "GET", metadata.jwks_uri))
            claims = self._checked(token, keys, metadata, derived.nonce, now)
        except httpx.HTTPStatusError as error:
            raise ProviderProblem(
                f"{self.name} refused the answer ({error.response.status_code}); begin again."
            ) from None
        except (httpx.HTTPError, OSError) as error:
            raise self._silent(error) from None
        except (JoseError, ValueError, KeyError, TypeError) as error:
            raise ProviderProblem(
                f"What {self.name} answered does not hold: {type(error).__name__}; begin again."
            ) from error
        return sha256(f"{metadata.issuer}\n{claims['sub']}".encode()).digest()

    async def _redeemed(
        self,
        client: httpx.AsyncClient,
        metadata: _Metadata,
        code: str,
        verifier: str,
        redirect_uri: str,
    ) -> object:
        """Return the ID token for a code (RFC 6749, 4.1.3; RFC 7636)."""
        known, secret = self._settings.client_id, self._settings.client_secret
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "code_verifier": verifier,
            "redirect_uri": redirect_uri,
        }
        answer = await _sent(
            client,
            "POST",
            metadata.token_endpoint,
            data=form if secret else {**form, "client_id": known},
            auth=httpx.BasicAuth(quote_plus(known), quote_plus(secret)) if secret else None,
        )
        return answer["id_token"]

    def _checked(
        self, token: object, keys: KeySet, metadata: _Metadata, nonce: str, now: datetime
    ) -> dict[str, Any]:
        """Return the claims of an ID token (OpenID Connect Core 1.0, 3.1.3.7)."""
        if not isinstance(token, str):
            message = "no ID token"
            raise TypeError(message)
        claims = jwt.decode(token, keys, algorithms=ALGORITHMS).claims
        own = self._settings.client_id
        jwt.JWTClaimsRegistry(
            now=int(now.timestamp()),
            leeway=LEEWAY_S,
            iss={"essential": True, "value": metadata.issuer},
            aud={"essential": True, "value": own},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
            nonce={"essential": True, "value": nonce},
        ).validate(claims)
        several = isinstance(claims["aud"], list) and len(claims["aud"]) > 1
        if claims.get("azp", None if several else own) != own:
            message = "issued to another party"
            raise ValueError(message)
        if not isinstance(claims["sub"], str) or not claims["sub"]:
            message = "no subject"
            raise ValueError(message)
        return dict(claims)

    async def _known(self) -> _Metadata:
        """Return what the provider says of itself, at most ten minutes old."""
        if self._metadata and time.monotonic() - self._metadata[0] < METADATA_LIFE_S:
            return self._metadata[1]
        issuer = self._settings.issuer
        try:
            async with httpx.AsyncClient(timeout=TIMEOUT_S) as client:
                address = f"{issuer.rstrip('/')}/.well-known/openid-configuration"
                metadata = msgspec.convert(await _sent(client, "GET", address), _Metadata)
        except (httpx.HTTPError, OSError) as error:
            raise self._silent(error) from None
        except ValueError as error:
            raise ProviderProblem(f"{issuer} is no OpenID Connect provider: {error}") from None
        if metadata.issuer != issuer:
            raise ProviderProblem(
                f"{issuer} calls itself {metadata.issuer[:100]!r}; set `oidc.issuer` to that."
            )
        for endpoint in (metadata.authorization_endpoint, metadata.token_endpoint):
            if not _may_be_asked(endpoint):
                raise ProviderProblem(f"{self.name} names an address without HTTPS.")
        self._metadata = time.monotonic(), metadata
        return metadata

    def _silent(self, error: Exception) -> ProviderProblem:
        return ProviderProblem(
            f"{self.name} does not answer ({type(error).__name__}); sign in by password meanwhile."
        )


def _derive(secret: str) -> _Derived:
    return _Derived(
        state=_part("state", secret), nonce=_part("nonce", secret), verifier=_part("pkce", secret)
    )


def _part(use: str, secret: str) -> str:
    return _encoded(sha256(f"{use}\n{secret}".encode()).digest())


def _encoded(digest: bytes) -> str:
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _may_be_asked(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "https" or (parts.scheme == "http" and is_loopback(parts.hostname or ""))


async def _sent(client: httpx.AsyncClient, method: str, address: str, **more: Any) -> Any:
    """Send a request, and return the JSON of its answer.

    Raises:
        ValueError: it is longer than a provider's is, or none.
    """
    body = bytearray()
    plain = {"accept": "application/json", "accept-encoding": "identity"}
    async with client.stream(method, address, headers=plain, **more) as answer:
        answer.raise_for_status()
        async for part in answer.aiter_raw():
            body += part
            if len(body) > MOST_BYTES:
                message = f"{address} sends more than {MOST_BYTES} bytes"
                raise ValueError(message)
    return msgspec.json.decode(bytes(body))
