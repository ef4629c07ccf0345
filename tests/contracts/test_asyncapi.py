"""The published AsyncAPI and OpenAPI documents are what the code says."""

import json
from pathlib import Path

from cardmint_contracts import openapi, topics
from cardmint_contracts.asyncapi import document
from cardmint_contracts.reasons import Reason

ID = "00000000-0000-0000-0000-000000000001"
FILE = Path(__file__).parents[2] / "docs" / "asyncapi.json"


def test_the_document_is_current() -> None:
    assert json.loads(FILE.read_text()) == document(), (
        "run: python -m cardmint_contracts.asyncapi > docs/asyncapi.json"
    )


def test_the_http_document_is_current() -> None:
    file = FILE.with_name("openapi.json")
    assert json.loads(file.read_text()) == openapi.document(), (
        "run: python -m cardmint_contracts.openapi > docs/openapi.json"
    )


def test_reasons_and_claims_are_described() -> None:
    made = document()
    assert made["x-reason-codes"]["same-art"] == Reason.SAME_ART.description
    for message in made["channels"]["events"]["messages"].values():
        assert set(message["headers"]["properties"]) == {"stream", "first", "last", "before"}


def test_every_reference_leads_somewhere_and_every_channel_parses() -> None:
    made = document()
    text = json.dumps(made)
    for part in text.split('"$ref": "#/')[1:]:
        node = made
        for step in part.split('"', 1)[0].split("/"):
            node = node[step]
    values = {"tenant": "shop", "station": "left", "task": ID, "command": ID}
    for channel in made["channels"].values():
        assert topics.parse(channel["address"].format(**values)).tenant == "shop"
