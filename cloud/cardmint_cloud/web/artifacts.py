"""Downloads of packs and models for stations, whole or from an offset."""

import re
from collections.abc import Iterator
from pathlib import Path

from litestar import get
from litestar.di import NamedDependency
from litestar.exceptions import ClientException, NotFoundException
from litestar.response import Stream
from litestar.status_codes import (
    HTTP_200_OK,
    HTTP_206_PARTIAL_CONTENT,
    HTTP_416_REQUESTED_RANGE_NOT_SATISFIABLE,
)

from cardmint_cloud.fleet import artifact_file
from cardmint_cloud.web.api import Sha256, Tenant, route
from cardmint_cloud.web.context import PageContext, PageRequest
from cardmint_contracts.http import ARTIFACT_PATH, ARTIFACT_PATH_0_1

PIECE = 1 << 16
_FROM = re.compile(r"bytes=(\d{1,15})-\Z")


def _artifact(
    tenant: Tenant, sha256: Sha256, request: PageRequest, shop: NamedDependency[PageContext]
) -> Stream:
    """Hand out a file by its SHA-256.

    `Range: bytes=N-` gives the rest from N on, any other range all of it.
    """
    file = artifact_file(shop.artifacts, tenant, sha256)
    try:
        size = file.stat().st_size
    except FileNotFoundError:
        raise NotFoundException("There is no such pack or model here; publish it again.") from None
    asked = _FROM.match(request.headers.get("range", ""))
    first = int(asked[1]) if asked else 0
    if first and first >= size:
        error = ClientException(
            f"The file has {size} bytes.", headers={"content-range": f"bytes */{size}"}
        )
        error.status_code = HTTP_416_REQUESTED_RANGE_NOT_SATISFIABLE
        raise error
    headers = {"accept-ranges": "bytes", "content-length": str(size - first), "etag": f'"{sha256}"'}
    if asked:
        headers["content-range"] = f"bytes {first}-{size - 1}/{size}"
    return Stream(
        _pieces(file, first),
        headers=headers,
        media_type="application/octet-stream",
        status_code=HTTP_206_PARTIAL_CONTENT if asked else HTTP_200_OK,
    )


def _pieces(file: Path, first: int) -> Iterator[bytes]:
    with file.open("rb") as opened:
        opened.seek(first)
        while piece := opened.read(PIECE):
            yield piece


get_artifact = get(route(ARTIFACT_PATH), sync_to_thread=True)(_artifact)
get_artifact_0_1 = get(route(ARTIFACT_PATH_0_1), sync_to_thread=True, include_in_schema=False)(
    _artifact
)
HANDLERS = (get_artifact, get_artifact_0_1)
