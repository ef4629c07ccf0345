"""Last known prices leave as a file that a pack takes."""

import asyncio
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner
from msgspec.structs import replace

from cardmint_cloud.adapters.postgres.connection import Pool
from cardmint_cloud.cli import cli
from cardmint_contracts.cards import Edition, Finish, Money
from cardmint_contracts.prices import LastPrice
from cardmint_edge.catalogue import read_prices
from tests.cloud.kit.cards import NOW

pytestmark = pytest.mark.integration


@pytest.mark.greenlets
async def test_what_is_exported_a_pack_takes(
    owner: Pool, database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetched = NOW - timedelta(days=1)
    await owner.executemany(
        "INSERT INTO current_quotes (tenant, card_id, finish, edition, source, basis, minor,"
        " currency, as_of,"
        " fetched_at, lowest) VALUES ($1, 'emb-1', $2, $3, 'tcgdex', 'market', $4, 'EUR', $5, $6,"
        " false)",
        [
            ("shop", "", "", 120, NOW, fetched),
            ("shop", "holo", "first", 900, NOW, fetched),
            ("another", "", "", 5, NOW, fetched),
        ],
    )
    monkeypatch.setenv("CARDMINT_CLOUD_TENANT", "shop")
    monkeypatch.setenv("CARDMINT_CLOUD_DATABASE", database)
    file = tmp_path / "prices.jsonl"
    done = await asyncio.to_thread(
        CliRunner().invoke, cli, ["prices", "export", str(file)], catch_exceptions=False
    )
    assert (done.exit_code, done.output) == (0, f"{file}: 2 prices\n")
    known = LastPrice(
        card="emb-1", price=Money(minor=120, currency="EUR"), as_of=NOW, source="tcgdex"
    )
    first = {
        "price": Money(minor=900, currency="EUR"),
        "finish": Finish.HOLO,
        "edition": Edition.FIRST,
    }
    assert list(read_prices(file, pytest.fail)) == [known, replace(known, **first)]
    nowhere = await asyncio.to_thread(
        CliRunner().invoke, cli, ["prices", "export", str(tmp_path / "no" / "file")]
    )
    assert "cannot be written: No such file" in str(nowhere.exception)
