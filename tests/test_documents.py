"""The documents lead somewhere: links, files, named tests, commands and make targets exist."""

import re
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from cardmint_cloud.cli import cli as cloud
from cardmint_edge.cli import cli as edge
from cardmint_lab.cli import cli as lab

ROOT = Path(__file__).parents[1]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("ansible/*.md")])
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
PROGRAMS: dict[str, click.Command] = {"edge": edge, "cloud": cloud, "lab": lab}
PACKAGES = ("shared", "edge", "cloud", "tests")
MODULES = [
    f"/{path.relative_to(ROOT)}" for name in PACKAGES for path in ROOT.glob(f"{name}/**/*.py")
]
HISTORY = {"CHANGELOG.md"}
"""It names commands and settings as they were."""


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_exists(document: Path) -> None:
    text = document.read_text()
    for link in re.findall(r"\]\(([^)#\s]+)", text):
        if "://" not in link:
            assert (document.parent / link).exists(), f"{document.name} links to {link}"
    for target in re.findall(r"(?:`|    )make ([a-z-]+)", text):
        assert target in TARGETS, f"{document.name} names make {target}"
    if document.name in HISTORY:
        return
    for path in re.findall(r"\b(?:tests|edge|cloud|shared|ansible)/[\w/]+(?:\.\w+)?", text):
        assert (ROOT / path).exists(), f"{document.name} names {path}"
    for path in re.findall(r"`([\w/]+\.py)`", text):
        assert any(file.endswith(f"/{path}") for file in MODULES), f"{document.name} names {path}"
    for program, words in commands(text):
        assert resolves(PROGRAMS[program], words), f"{document.name}: cardmint-{program} {words}"


def commands(text: str) -> Iterator[tuple[str, list[str]]]:
    """Yield the programs that a document runs, each with its words up to the first option."""
    code = [
        *re.findall(r"`([^`\n]+)`", text),
        *re.findall(r"^(?:    |\$ )(.*)$", text, re.MULTILINE),
    ]
    for line in code:
        for program, words in re.findall(r"cardmint-(edge|cloud|lab)((?: [a-z][a-z-]*)*)", line):
            yield program, words.split()


def resolves(command: click.Command, words: list[str]) -> bool:
    """Whether `words` name a command below `command`; what follows it are its arguments."""
    for word in words:
        if not isinstance(command, click.Group):
            return True
        if word not in command.commands:
            return False
        command = command.commands[word]
    return True


@pytest.mark.parametrize(
    "template",
    sorted(
        [*ROOT.glob("*/cardmint_*/**/templates/*.html"), *ROOT.glob("edge/**/page/static/*.[cj]s*")]
    ),
    ids=lambda path: str(path.relative_to(ROOT)),
)
def test_the_lines_of_a_page_end_before_column_100(template: Path) -> None:
    long = [n for n, line in enumerate(template.read_text().split("\n"), 1) if len(line) > 100]
    assert long == [], "wrap the lines with these numbers"
