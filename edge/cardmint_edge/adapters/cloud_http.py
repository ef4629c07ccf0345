"""The cloud's HTTPS side: images by their content."""

from http import HTTPStatus

import httpx

from cardmint_edge.errors import Park, Retry

TIMEOUT_S = 30.0
_AGAIN = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.TOO_EARLY, HTTPStatus.TOO_MANY_REQUESTS}


class CloudHttp:
    """Puts images under `{url}/api/v1/{tenant}/images/{sha256}`."""

    def __init__(self, *, url: str, tenant: str, transport: httpx.BaseTransport | None = None) -> None:
        self._base = f"{url.rstrip('/')}/api/v1/{tenant}/images/"
        self._client = httpx.Client(timeout=TIMEOUT_S, transport=transport)

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Upload one image; the cloud may have it already.

        Raises:
            Park: the cloud does not want it (4xx).
            Retry: the cloud is away, or busy.
        """
        url = self._base + sha256
        try:
            response = self._client.put(url, content=jpeg, headers={"content-type": "image/jpeg"})
        except httpx.HTTPError as error:
            message = f"{url}: {type(error).__name__} {error}"
            raise Retry(message) from error
        if response.is_success:
            return
        message = f"{url} answered {response.status_code} {response.reason_phrase}"
        if response.is_client_error and response.status_code not in _AGAIN:
            raise Park(message)
        raise Retry(message)

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
