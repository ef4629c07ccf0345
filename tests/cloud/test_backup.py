"""A backup restored into a new server: there the inventory equals the log."""

import asyncio
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from cardmint_cloud import rebuild
from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.local.postgres import LocalPostgres, database_environment
from cardmint_lab.folders import temporary_folder
from tests.cloud.kit.cards import accepted, send
from tests.cloud.kit.cli import run_command
from tests.cloud.kit.database import connected
from tests.cloud.kit.tenants import fill_tenant

pytestmark = pytest.mark.integration


def at(owner: str, *words: str) -> CompletedProcess[str]:
    return run_command(*words, **database_environment(owner))


@pytest.mark.greenlets
async def test_a_backup_is_whole_in_a_new_server(
    pool: Pool, owner: Pool, owner_database: str, tmp_path: Path
) -> None:
    await fill_tenant(pool)
    before = await rebuild.compare_with_log(owner_database)
    file = tmp_path / "shop.dump"
    done = await asyncio.to_thread(at, owner_database, "backup", str(file))
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o777 == 0o600
    await send(pool, accepted())  # Of after the backup.
    with temporary_folder() as folder:
        server = await asyncio.to_thread(LocalPostgres(folder).start)
        try:
            done = await asyncio.to_thread(at, server.address, "restore", str(file))
            assert done.returncode == 0, done.stderr
            assert await rebuild.compare_with_log(server.address) == before
            for words in (["migrate"], ["rebuild"], ["dead-letters", "list"]):
                done = await asyncio.to_thread(at, server.address, *words)
                assert done.returncode == 0, done.stderr
            async with connected(server.address) as there:
                assert await there.fetchval(
                    "SELECT count(*) FROM watermarks"
                ) == await owner.fetchval("SELECT count(*) - 1 FROM watermarks")
            twice = await asyncio.to_thread(at, server.address, "restore", str(file))
            assert twice.returncode == 1
            assert len(twice.stderr.splitlines()) == 1
            assert await rebuild.compare_with_log(server.address) == before
        finally:
            await asyncio.to_thread(server.drop)


def test_what_cannot_be_is_one_line_without_the_password(
    owner_database: str, tmp_path: Path
) -> None:
    file = tmp_path / "there"
    file.write_text("something")
    nowhere = "postgresql://cardmint:hunter2@127.0.0.1:1/x"
    for address, words, says in (
        (owner_database, ["backup", str(file)], "is there already"),
        (owner_database, ["restore", str(tmp_path / "missing")], "is no file"),
        (owner_database, ["restore", str(file)], "pg_restore failed"),
        (nowhere, ["backup", str(tmp_path / "new")], "pg_dump failed"),
        (owner_database, ["backup", str(tmp_path / "no" / "folder")], "cannot be written"),
    ):
        done = at(address, *words)
        assert (done.returncode, len(done.stderr.splitlines())) == (1, 1), done.stderr
        assert says in done.stderr
        assert "hunter2" not in done.stderr
    assert file.read_text() == "something"
