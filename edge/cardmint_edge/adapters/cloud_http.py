"""The cloud by HTTPS: the upload of images."""

import time
from collections.abc import Callable, Iterator
from http import HTTPStatus

import httpx
import structlog

from cardmint_contracts.http import UPLOAD_COMPLETE, UPLOAD_OFFSET, image_path
from cardmint_edge.domain.scan_record import WaitingImage
from cardmint_edge.errors import Park, Retry

TIMEOUT_S = 30.0
CHUNK_BYTES = 8 << 10

log = structlog.get_logger(__name__)

_RETRY_STATUSES = {
    HTTPStatus.UNAUTHORIZED,
    HTTPStatus.FORBIDDEN,
    HTTPStatus.REQUEST_TIMEOUT,
    HTTPStatus.CONFLICT,
    HTTPStatus.TOO_EARLY,
    HTTPStatus.TOO_MANY_REQUESTS,
}


class CloudHttp:
    """Uploads images to `{url}/api/v1/{tenant}/images/{sha256}`.

    An upload continues where an earlier attempt ended.
    """

    def __init__(
        self,
        *,
        url: str,
        tenant: str,
        token: str = "",
        max_kb_per_s: int = 0,
        transport: httpx.BaseTransport | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Take the address and the station's token.

        `max_kb_per_s` limits the bandwidth; 0 is no limit.
        """
        self.max_kb_per_s = max_kb_per_s
        self._sleep = sleep
        self._url = url.rstrip("/")
        self._tenant = tenant
        headers = {"authorization": f"Bearer {token}"} if token else {}
        try:
            self._client = httpx.Client(timeout=TIMEOUT_S, transport=transport, headers=headers)
        except (ImportError, ValueError) as error:
            # The agent counts without the cloud; a proxy is no reason to end it.
            log.error(
                "the proxy in the environment cannot be used; trying without", reason=str(error)
            )
            self._client = httpx.Client(
                timeout=TIMEOUT_S, transport=transport, headers=headers, trust_env=False
            )

    def put(self, image: WaitingImage, jpeg: bytes) -> None:
        """Upload one image, or the rest of it, unless the cloud has it already.

        Raises:
            Park: the cloud refuses it (4xx).
            Retry: the cloud is away or busy, does not know the token, or has lost the first part of
                the image.
        """
        url = self._url + image_path(self._tenant, image.sha256, image.item)
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
        if response.status_code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
            message += "; set cloud.token to the token that `cardmint-cloud add-station` prints"
        if response.is_client_error and response.status_code not in _RETRY_STATUSES:
            raise Park(message)
        raise Retry(message)

    def _paced(self, jpeg: bytes) -> Iterator[bytes]:
        if not self.max_kb_per_s:
            yield jpeg
            return
        for start in range(0, len(jpeg), CHUNK_BYTES):
            chunk = jpeg[start : start + CHUNK_BYTES]
            self._sleep(len(chunk) / (max(1, self.max_kb_per_s) * 1024))
            yield chunk

    def close(self) -> None:
        """Close the connections."""
        self._client.close()


def _offset(answer: httpx.Response) -> int:
    """Return the bytes of an image that the cloud has; 0 if it does not report any."""
    text = answer.headers.get(UPLOAD_OFFSET, "")
    return int(text) if answer.is_success and text.isdecimal() and len(text) < 12 else 0
