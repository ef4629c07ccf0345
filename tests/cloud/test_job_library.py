"""The pinned library of the queue: its schema and private SQL functions may change any time."""

import re
from importlib import metadata
from pathlib import Path

import pytest
from procrastinate.schema import SchemaManager

import cardmint_cloud
from cardmint_cloud.adapters.postgres import job_queue
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.errors import StopService

PACKAGE = Path(cardmint_cloud.__file__).parent
ALLOWED = {"adapters/postgres/job_queue.py", "migrations/versions/0003_prices.py"}


def test_the_installed_version_is_the_pinned_one() -> None:
    assert metadata.version("procrastinate") == job_queue.LIBRARY_VERSION == "3.10.0"
    assert job_queue.library_schema() == SchemaManager.get_schema()


def test_another_schema_is_refused_with_both_versions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SchemaManager, "get_schema", staticmethod(lambda: "SELECT 1"))
    with pytest.raises(StopService, match=r"another schema than 3\.10\.0.*procrastinate==3\.10\.0"):
        job_queue.library_schema()


def test_one_module_names_the_librarys_tables_and_functions() -> None:
    files = {
        str(file.relative_to(PACKAGE))
        for file in PACKAGE.rglob("*.py")
        if re.search(r"procrastinate_[a-z]", file.read_text())
    }
    assert files == ALLOWED


@pytest.mark.integration
async def test_the_private_functions_exist(owner: Pool) -> None:
    text = (PACKAGE / "adapters/postgres/job_queue.py").read_text()
    named = set(re.findall(r"(procrastinate_\w+_v\d)\(", text))
    rows = await owner.fetch("SELECT proname FROM pg_proc WHERE proname = ANY($1)", sorted(named))
    assert (
        {row["proname"] for row in rows}
        == named
        == {
            "procrastinate_defer_jobs_v1",
            "procrastinate_retry_job_v2",
        }
    )
