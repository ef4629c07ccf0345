"""References of persons in the event log, and the names that are shown for them."""

from uuid import UUID

from cardmint_cloud.domain.person_references import is_reference, reference_of, with_names
from cardmint_contracts import topics

OWL, FOX = UUID(int=7), UUID(int=8)


def test_a_reference_is_opaque_and_can_stand_in_a_topic() -> None:
    assert reference_of(OWL) == f"person-{OWL.hex}"
    assert topics.name(reference_of(OWL)) == reference_of(OWL)
    assert is_reference(reference_of(OWL))
    assert not is_reference("owl")
    assert not is_reference(f"{reference_of(OWL)}0")


def test_names_stand_in_place_of_references() -> None:
    text = f"{reference_of(OWL)} answered before {reference_of(FOX)}; left did not"
    names = {reference_of(OWL): "Owl"}
    assert with_names(text, names) == "Owl answered before somebody; left did not"
    assert with_names("anna, by name", names) == "anna, by name"
