"""The OpenAPI document of the HTTP side that stations use: `python -m cardmint_contracts.openapi`.

A test holds `docs/openapi.json` to it, and another one holds the cloud's routes to it.
"""

import json
import sys
from typing import Any

import msgspec

from cardmint_contracts.http import (
    ARTIFACT_PATH,
    ARTIFACT_PATH_0_1,
    IMAGE_PATH,
    STATION_CODE_PATH,
    TENANT_PATH,
    UPLOAD_COMPLETE,
    UPLOAD_OFFSET,
)
from cardmint_contracts.station_codes import StationCode, StationCredentials

_PARAMETERS = [
    {"name": "tenant", "in": "path", "required": True, "schema": {"type": "string"}},
    {
        "name": "sha256",
        "in": "path",
        "required": True,
        "schema": {"type": "string", "pattern": "^[0-9a-f]{64}$"},
    },
]
_ITEM = {
    "name": "item",
    "in": "query",
    "description": "The item whose event names the image; stations up to version 0.1.0 omit it.",
    "schema": {"type": "string", "format": "uuid"},
}
_OFFSET = {
    "description": "How many bytes the cloud has.",
    "schema": {"type": "integer", "minimum": 0},
}
_COMPLETE = {
    "description": "Whether the upload is complete.",
    "schema": {"enum": ["?0", "?1"]},
}
_JPEG = {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}
_PARTIAL = {"application/partial-upload": {"schema": {"type": "string", "format": "binary"}}}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}

_TENANT = {
    "application/json": {
        "schema": {
            "type": "object",
            "required": ["tenant"],
            "properties": {"tenant": {"type": "string"}},
        }
    }
}


def document() -> dict[str, Any]:
    """Return the document as JSON values."""
    artifact = {
        "parameters": _PARAMETERS,
        "get": {
            "summary": "Download a pack, or a zip of models, by its SHA-256.",
            "parameters": [
                {
                    "name": "range",
                    "in": "header",
                    "description": "`bytes=N-` asks for the rest from N on.",
                    "schema": {"type": "string"},
                }
            ],
            "responses": {
                "200": {"description": "All of it.", "content": _BYTES},
                "206": {"description": "The rest of it.", "content": _BYTES},
                "404": {"description": "There is no such file."},
                "416": {"description": "The range begins behind the end."},
            },
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "CardMint: what stations use by HTTP", "version": "1"},
        "paths": {
            IMAGE_PATH: {
                "parameters": _PARAMETERS,
                "head": {
                    "summary": "Ask how much of an image the cloud has.",
                    "responses": {
                        "204": {
                            "description": "Complete, or the offset to go on from.",
                            "headers": {UPLOAD_COMPLETE: _COMPLETE, UPLOAD_OFFSET: _OFFSET},
                        }
                    },
                },
                "put": {
                    "summary": "Upload an image, named by an event, under its content's SHA-256.",
                    "parameters": [_ITEM],
                    "requestBody": {"required": True, "content": _JPEG},
                    "responses": _upload_responses(),
                },
                "patch": {
                    "summary": "Upload the rest of an image.",
                    "parameters": [
                        _ITEM,
                        {
                            "name": UPLOAD_OFFSET,
                            "in": "header",
                            "required": True,
                            "description": "How many bytes were sent before.",
                            "schema": {"type": "integer", "minimum": 0},
                        },
                    ],
                    "requestBody": {"required": True, "content": _PARTIAL},
                    "responses": _upload_responses()
                    | {
                        "409": {
                            "description": "The cloud goes on from another offset.",
                            "headers": {UPLOAD_OFFSET: _OFFSET},
                        }
                    },
                },
            },
            TENANT_PATH: {
                "get": {
                    "summary": "Ask whose cards the dashboard shows.",
                    "responses": {"200": {"description": "The tenant.", "content": _TENANT}},
                }
            },
            STATION_CODE_PATH: {
                "post": {
                    "summary": "Trade a code, once, for the station's credentials.",
                    "requestBody": {"required": True, "content": _of(StationCode)},
                    "responses": {
                        "200": {
                            "description": "The credentials; earlier ones of the station end.",
                            "content": _of(StationCredentials),
                        },
                        "404": {"description": "The code is wrong, was used, or is too old."},
                    },
                }
            },
            ARTIFACT_PATH: artifact,
            ARTIFACT_PATH_0_1: artifact | {"summary": "As version 0.1.0 named it."},
        },
    }


def _of(message: type) -> dict[str, Any]:
    (schema,), definitions = msgspec.json.schema_components([message])
    del schema
    return {"application/json": {"schema": definitions[message.__name__]}}


def _upload_responses() -> dict[str, Any]:
    return {
        "200": {"description": "The cloud had it already."},
        "201": {"description": "It is kept."},
        "413": {"description": "It is larger than an image may be."},
        "422": {
            "description": "It is no image, not the content that the path names, or no event's."
        },
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(document(), indent=1, ensure_ascii=False) + "\n")
