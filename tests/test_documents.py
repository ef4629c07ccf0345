"""The documents lead somewhere: links, named tests and make targets exist."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("ansible/*.md")])
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in link:
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
    for test in re.findall(r"\btests/[\w/]+(?:\.py)?", text):
        assert (ROOT / test).exists(), f"{document.name} names {test}"
    for target in re.findall(r"(?:`|    )make ([a-z-]+)", text):
        assert target in TARGETS, f"{document.name} names make {target}"
