"""`cardmint-cloud bench`: the benchmarks."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click

from cardmint_cloud.bench.stand import Given
from cardmint_contracts.wire import encode


@click.group()
def bench() -> None:
    """Measure this machine: real servers, started here unless they are given, beside the limit in the same minute."""


_database = click.option("--database", help="A database that is there already; one is started otherwise.")
_broker = click.option("--broker", help="A broker that is there already, as HOST:PORT; one is started otherwise.")
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_batch = click.option("--batch", type=click.IntRange(1, 1000), default=50, show_default=True, help="Events a message.")


def _say(as_json: bool) -> Callable[[str], None]:
    return lambda line: click.echo(line, err=as_json)


def _tell(report: Any, lines: Sequence[str], *, as_json: bool) -> None:
    """Print a report; exit code 1 when an event was lost or counted twice."""
    click.echo(encode(asdict(report)).decode() if as_json else "\n".join(lines))
    if not (report.equals_log and report.lost == report.duplicated == report.parked == 0):
        sys.exit(1)


@bench.command()
@click.option("--events", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True, help="How many in all.")
@click.option("--stations", type=click.IntRange(1, 2000), default=10, show_default=True, help="From how many stations.")
@_batch
@_database
@_broker
@_json
def ingest(*, events: int, stations: int, batch: int, database: str | None, broker: str | None, as_json: bool) -> None:
    """Events a second from MQTT to the inventory; exit code 1 when one is lost or counted twice."""
    from cardmint_cloud.bench import ingest as measured

    given = Given(database=database, broker=broker)
    report = measured.run(events=events, stations=stations, batch=batch, given=given, say=_say(as_json))
    _tell(report, measured.told(report), as_json=as_json)


@bench.command()
@click.option("--events", type=click.IntRange(1, 1_000_000), default=20_000, show_default=True, help="How many in all.")
@click.option("--stations", type=click.IntRange(1, 2000), default=10, show_default=True, help="From how many stations.")
@_batch
@_database
@_broker
@_json
def drain(*, events: int, stations: int, batch: int, database: str | None, broker: str | None, as_json: bool) -> None:
    """How soon a backlog is in once a worker comes, after a time without one and a broker that was killed."""
    from cardmint_cloud.bench import drain as measured

    given = Given(database=database, broker=broker)
    report = measured.run(events=events, stations=stations, batch=batch, given=given, say=_say(as_json))
    _tell(report, measured.told(report), as_json=as_json)


@bench.command()
@click.option("--stations", type=click.IntRange(1, 8000), default=2000, show_default=True, help="How many connect.")
@click.option("--events", type=click.IntRange(1, 1000), default=10, show_default=True, help="How many each one has.")
@_batch
@_database
@_broker
@_json
def storm(*, stations: int, events: int, batch: int, database: str | None, broker: str | None, as_json: bool) -> None:
    """How soon all stations are connected, and everything is in, when they come back in the same moment."""
    from cardmint_cloud.bench import storm as measured

    given = Given(database=database, broker=broker)
    report = measured.run(stations=stations, events=events, batch=batch, given=given, say=_say(as_json))
    _tell(report, measured.told(report), as_json=as_json)


@bench.command()
@click.option(
    "--events",
    "sizes",
    type=click.IntRange(100, 100_000_000),
    multiple=True,
    default=(100_000, 1_000_000, 5_000_000),
    show_default=True,
    help="A size of the log to measure at; may be given several times.",
)
@_database
@_json
def log(sizes: tuple[int, ...], database: str | None, as_json: bool) -> None:
    """How long the inventory's questions take as the log grows."""
    from cardmint_cloud.bench import log as measured

    report = measured.run(sizes=sizes, given=Given(database=database), say=_say(as_json))
    click.echo(encode(asdict(report)).decode() if as_json else "\n".join(measured.told(report)))
