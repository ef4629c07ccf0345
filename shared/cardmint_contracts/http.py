"""Paths and headers of the cloud's HTTP side that stations use."""

IMAGE_PATH = "/api/v1/{tenant}/images/{sha256}"
"""An image by the SHA-256 of its content: HEAD, PUT, PATCH."""

ARTIFACT_PATH = "/api/v1/{tenant}/artifacts/{sha256}"
"""A pack, or a zip of models, by its SHA-256: GET, whole or from an offset."""

ARTIFACT_PATH_0_1 = "/api/v1/{tenant}/wares/{sha256}"
"""The same up to version 0.1.0: manifests that were published then name it."""

TENANT_PATH = "/api/v1/tenant"
"""The name of the tenant whose cards the dashboard shows, as `{"tenant": "..."}`: GET."""

STATION_CODE_PATH = "/api/v1/station-code"
"""Where a station trades a code for its credentials (`station_codes`): POST."""

UPLOAD_OFFSET = "upload-offset"
"""How many bytes of an upload the cloud has (draft-ietf-httpbis-resumable-upload)."""

UPLOAD_COMPLETE = "upload-complete"
"""Whether an upload is complete: `?1` or `?0`, from the same draft."""


def image_path(tenant: str, sha256: str, item: str = "") -> str:
    """Return the path of an image, with the item whose event names it as the query `item`."""
    path = IMAGE_PATH.format(tenant=tenant, sha256=sha256)
    return f"{path}?item={item}" if item else path


def artifact_path(tenant: str, sha256: str) -> str:
    """Return the path of a pack or of models."""
    return ARTIFACT_PATH.format(tenant=tenant, sha256=sha256)
