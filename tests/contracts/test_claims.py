"""Claims in user properties, paths of the HTTP side, and notifications: what is written is read."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cardmint_contracts.claims import Claim
from cardmint_contracts.control import Manifest
from cardmint_contracts.http import artifact_path, image_path
from cardmint_contracts.notifications import Subject, payload

STREAM = str(UUID(int=1))


@given(
    st.uuids(),
    st.integers(1, 2**63 - 2000),
    st.integers(0, 999),
    st.none() | st.binary(min_size=32, max_size=32),
)
def test_a_claim_is_read_as_it_was_written(
    stream: UUID, first: int, more: int, before: bytes | None
) -> None:
    claim = Claim(stream, first, first + more, before)
    assert Claim.read(claim.properties()) == claim


@pytest.mark.parametrize(
    ("stream", "first", "last"),
    [
        ("none", "1", "2"),
        (STREAM, "one", "2"),
        (STREAM, "0", "2"),
        (STREAM, "3", "2"),
        (STREAM, "1", "1001"),
        (STREAM, str(2**63), str(2**63)),
    ],
)
def test_a_claim_that_is_not_sound_is_none(stream: str, first: str, last: str) -> None:
    assert Claim.read([("stream", stream), ("first", first), ("last", last)]) is None
    assert Claim.read([("stream", stream)]) is None
    sound = Claim(UUID(STREAM), 1, 2).properties()
    assert Claim.read([*sound, ("before", "zz")]) is None
    assert Claim.read([*sound, ("before", "ab")]) is None


def test_paths_name_tenant_and_content() -> None:
    assert image_path("shop", "ab") == "/api/v1/shop/images/ab"
    assert artifact_path("shop", "ab") == "/api/v1/shop/artifacts/ab"


def test_a_notification_names_tenant_and_subject() -> None:
    assert payload("shop", Subject.DEAD_LETTERS) == "shop dead-letters"


def test_a_signature_covers_everything_but_the_address() -> None:
    manifest = Manifest(
        artifact="models",
        version="2",
        url="https://cards.example.com/1.zip",
        bytes=5,
        sha256="ab" * 32,
        signature="A" * 86 + "==",
    )
    assert manifest.signed() == f"cardmint models\n2\n5\n{'ab' * 32}\n"
