"""Every package that we ship with has a licence that lets us, and its users, do so."""

import re
from importlib import metadata
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LOCKS = sorted(
    lock for part in ("shared", "edge", "cloud") for lock in ROOT.glob(f"{part}/requirements*.txt")
)

FREE = re.compile(r"\bMIT\b|BSD|Apache|\bISC\b|\bZlib\b|PSF|CC0|Public Domain|MPL|EPL-2.0|Mozilla")
LESSER = {"gphoto2", "psycopg", "psycopg-binary", "psycopg-pool"}
"""LGPL: unchanged packages of their own, which anybody may exchange."""

ELSEWHERE = {"colorama"}
"""Of the lock, for another operating system than Linux."""


def locked(file: Path) -> list[str]:
    return re.findall(r"^([A-Za-z0-9_.-]+)==", file.read_text(), re.MULTILINE)


def licence_of(package: str) -> str:
    told = metadata.metadata(package)
    named = [*told.get_all("License-Expression", []), *told.get_all("License", [])]
    classified = [
        one.rpartition(" :: ")[2]
        for one in told.get_all("Classifier", [])
        if one.startswith("License ::")
    ]
    return "; ".join([*(one.strip().partition("\n")[0] for one in named), *classified])


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: str(lock.relative_to(ROOT)))
def test_what_is_shipped_is_free_to_use(lock: Path) -> None:
    packages = set(locked(lock)) - ELSEWHERE
    assert packages
    licences = {package: licence_of(package) for package in packages}
    lesser = {package for package, words in licences.items() if "LGPL" in words}
    assert lesser <= LESSER
    odd = {
        package: words
        for package, words in licences.items()
        if package not in lesser and (not FREE.search(words) or re.search(r"\bA?GPL", words))
    }
    assert not odd, f"{lock}: look whether these may be shipped: {odd}"


def test_a_strong_licence_is_found() -> None:
    for words in ("GPL-3.0-or-later", "AGPL-3.0", "Other/Proprietary License", ""):
        assert not FREE.search(words) or re.search(r"\bA?GPL", words), words
