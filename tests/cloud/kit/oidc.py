"""An OpenID Connect provider on loopback, whose answers can be wrong in every way."""

import base64
import secrets
import time
from collections.abc import Callable
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote_plus, urlencode

from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from litestar import Litestar, Request, Response, get, post
from litestar.datastructures import State
from litestar.response import Redirect

CLIENT_ID, CLIENT_SECRET = "cardmint", "a secret of the client"


class StandInProvider:
    """Signs in `subject` without asking. The attributes change what it answers."""

    def __init__(self) -> None:
        self.clock: Callable[[], float] = time.time
        self.issuer = ""
        self.subject = "248289761001"
        self.claims: dict[str, Any] = {}
        self.without: set[str] = set()
        self.refuses = ""
        self.metadata: dict[str, Any] = {}
        self.header: dict[str, Any] = {"alg": "RS256"}
        self.key = RSAKey.generate_key(2048, {"kid": "one"}, private=True)
        self.signs_with = self.key
        self.raw_token: object = None
        self.asked: dict[str, dict[str, str]] = {}
        self.app = Litestar(
            [self._discovery(), self._keys(), self._authorize(), self._token()],
            openapi_config=None,
        )

    def _discovery(self) -> Any:
        @get("/.well-known/openid-configuration", sync_to_thread=False)
        def discovery() -> dict[str, Any]:
            return {
                "issuer": self.issuer,
                "authorization_endpoint": f"{self.issuer}/authorize",
                "token_endpoint": f"{self.issuer}/token",
                "jwks_uri": f"{self.issuer}/keys",
                **self.metadata,
            }

        return discovery

    def _keys(self) -> Any:
        @get("/keys", sync_to_thread=False)
        def keys() -> dict[str, Any]:
            return dict(KeySet([self.key]).as_dict(private=False))

        return keys

    def _authorize(self) -> Any:
        @get("/authorize", sync_to_thread=False)
        def authorize(request: Request[None, None, State]) -> Redirect:
            asked = dict(request.query_params)
            assert asked["client_id"] == CLIENT_ID
            assert asked["code_challenge_method"] == "S256"
            assert "openid" in asked["scope"].split()
            back = {"state": asked["state"]}
            if self.refuses:
                back["error"] = self.refuses
            else:
                back["code"] = secrets.token_urlsafe(16)
                self.asked[back["code"]] = asked
            return Redirect(f"{asked['redirect_uri']}?{urlencode(back)}", status_code=302)

        return authorize

    def _token(self) -> Any:
        @post("/token", status_code=200)
        async def token(request: Request[None, None, State]) -> Response[Any]:
            form = {
                name: values[0]
                for name, values in parse_qs((await request.body()).decode()).items()
            }
            basic = base64.b64encode(
                f"{quote_plus(CLIENT_ID)}:{quote_plus(CLIENT_SECRET)}".encode()
            ).decode()
            asked = self.asked.pop(form.get("code", ""), None)
            challenge = base64.urlsafe_b64encode(
                sha256(form.get("code_verifier", "").encode()).digest()
            )
            if (
                asked is None
                or form["redirect_uri"] != asked["redirect_uri"]
                or challenge.decode().rstrip("=") != asked["code_challenge"]
                or request.headers.get("authorization") != f"Basic {basic}"
            ):
                return Response({"error": "invalid_grant"}, status_code=400)
            now = int(self.clock())
            claims = {
                "iss": self.issuer,
                "sub": self.subject,
                "aud": CLIENT_ID,
                "iat": now,
                "exp": now + 300,
                "nonce": asked["nonce"],
                **self.claims,
            }
            claims = {name: value for name, value in claims.items() if name not in self.without}
            signed: object = jwt.encode({"kid": "one", **self.header}, claims, self.signs_with)
            if self.raw_token is not None:
                signed = self.raw_token
            return Response({"access_token": "a", "token_type": "Bearer", "id_token": signed})

        return token
