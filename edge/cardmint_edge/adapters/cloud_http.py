"""The cloud's HTTPS side: images by their content."""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx

from cardmint_contracts.http import UPLOAD_COMPLETE, UPLOAD_OFFSET, image_path
from cardmint_edge.errors import Park, Retry

TIMEOUT_S = 30.0
PIECE_BYTES = 8 << 10
_AGAIN = {
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class CloudHttp:
    """Puts images under `{url}/api/v1/{tenant}/images/{sha256}`, each from where an earlier attempt broke off."""

    def __init__(
        self,
        *,
        url: str,
        tenant: str,
        max_kb_per_s: int = 0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the address; `max_kb_per_s` leaves the rest of the line to others, 0 takes what there is."""
        self.max_kb_per_s = max_kb_per_s
        self._sleep = sleep
        self._url = url.rstrip("/")
        self._tenant = tenant
        self._client = httpx.Client(timeout=TIMEOUT_S, transport=transport)

    def put(self, sha256: str, jpeg: bytes) -> None:
        """Upload one image, or the rest of it; the cloud may have it already.

        Raises:
            Park: the cloud does not want it (4xx).
            Retry: the cloud is away, busy, or has lost what was to be gone on from.
        """
        url = self._url + image_path(self._tenant, sha256)
        try:
            known = self._client.head(url)
            if known.headers.get(UPLOAD_COMPLETE) == "?1":
                return
            offset = _offset(known)
            headers = {"content-type": "image/jpeg", "content-length": str(len(jpeg) - offset)}
            if offset:
                headers |= {
                    "content-type": "application/partial-upload",
                    UPLOAD_OFFSET: str(offset),
                }
            method = "PATCH" if offset else "PUT"
            response = self._client.request(
                method, url, content=self._paced(jpeg[offset:]), headers=headers
            )
        except httpx.HTTPError as error:
            message = f"{url}: {type(error).__name__} {error}"
            raise Retry(message) from error
        if response.is_success:
            return
        message = f"{url} answered {response.status_code} {response.reason_phrase}"
        if response.is_client_error and response.status_code not in _AGAIN:
            raise Park(message)
        raise Retry(message)

    def _paced(self, jpeg: bytes) -> Iterator[bytes]:
        if not self.max_kb_per_s:
            yield jpeg
            return
        for start in range(0, len(jpeg), PIECE_BYTES):
            piece = jpeg[start : start + PIECE_BYTES]
            self._sleep(len(piece) / (max(1, self.max_kb_per_s) * 1024))
            yield piece

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _offset(answer: httpx.Response) -> int:
    """Return how much of an image the cloud says that it has; 0 when it does not say."""
    text = answer.headers.get(UPLOAD_OFFSET, "")
    return int(text) if answer.is_success and text.isdecimal() and len(text) < 12 else 0
