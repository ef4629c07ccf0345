"""The short form of `make fuzz`: the seeds, the corpus, and the same mutations in each run."""

from pathlib import Path

import pytest

from cardmint_lab.folders import temporary_folder
from tests.fuzz import catalogue, contracts, files, http
from tests.fuzz.target import Target, mutations, try_one

MQTT5_SAYS_IT_TWICE = pytest.mark.filterwarnings(
    "ignore::pytest.PytestUnraisableExceptionWarning"  # a panic of the package's Rust
)


def try_all(target: Target, folder: Path) -> None:
    seeds = target.inputs()
    findings: dict[str, str] = {}
    with target.open(folder) as run:
        for data in (*seeds, *mutations(seeds, target.mutations, target.name)):
            if (found := try_one(target, run, data)) is not None:
                findings.setdefault(found.key, f"{data[:2000]!r}\n{found.text}")
    assert not findings, "\n\n".join(f"{key}: {text}" for key, text in findings.items())


@MQTT5_SAYS_IT_TWICE
@pytest.mark.parametrize(
    "target",
    [*catalogue.TARGETS, *contracts.TARGETS, *files.TARGETS, *http.TARGETS],
    ids=lambda target: target.name,
)
def test_any_bytes_give_what_the_contract_names(target: Target, tmp_path: Path) -> None:
    try_all(target, tmp_path)


@pytest.mark.integration
@pytest.mark.greenlets
def test_any_request_to_the_dashboard_is_answered() -> None:
    with temporary_folder() as folder:
        try_all(http.DASHBOARD, folder)
