"""`cardmint-lab cloud`: the benchmarks of the cloud."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

import click

from cardmint_contracts.wire import encode


@click.group()
def cloud() -> None:
    """Measure this machine with real servers, which are started here unless they are given."""


_database = click.option(
    "--database", help="A database that is there already; one is started otherwise."
)
_broker = click.option(
    "--broker", help="A broker that is there already, as HOST:PORT; one is started otherwise."
)
_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
_batch = click.option(
    "--batch", type=click.IntRange(1, 1000), default=50, show_default=True, help="Events a message."
)


def _servers(command: Callable[..., None]) -> Callable[..., None]:
    return _database(_broker(_json(command)))


def _backlog(command: Callable[..., None]) -> Callable[..., None]:
    most = click.IntRange(1, 1_000_000)
    events = click.option(
        "--events", type=most, default=20_000, show_default=True, help="How many in all."
    )
    from_ = click.IntRange(1, 2000)
    stations = click.option(
        "--stations", type=from_, default=10, show_default=True, help="From how many stations."
    )
    return events(stations(_batch(command)))


def _say(as_json: bool) -> Callable[[str], None]:
    return lambda line: click.echo(line, err=as_json)


def _print(report: Any, lines: Sequence[str], *, as_json: bool) -> None:
    click.echo(encode(asdict(report)).decode() if as_json else "\n".join(lines))


def _tell(report: Any, lines: Sequence[str], *, as_json: bool) -> None:
    """Print a report; exit with 1 when an event was lost or counted twice."""
    _print(report, lines, as_json=as_json)
    if not (report.equals_log and report.lost == report.duplicated == report.parked == 0):
        sys.exit(1)


def _measure_backlog(
    run: Callable[..., Any],
    report_lines: Callable[[Any], Sequence[str]],
    *,
    as_json: bool,
    database: str | None,
    broker: str | None,
    **backlog: int,
) -> None:
    """Run a benchmark with the options of `_backlog` and `_servers`, and print its report."""
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = run(**backlog, given=given, say=_say(as_json))
    _tell(report, report_lines(report), as_json=as_json)


@cloud.command()
@_backlog
@_servers
def ingest(*, as_json: bool, **backlog: Any) -> None:
    """Measure events a second from MQTT to the inventory; exit with 1 if any is lost or doubled."""
    from cardmint_lab.cloud import ingest as measured

    _measure_backlog(measured.run, measured.report_lines, as_json=as_json, **backlog)


@cloud.command()
@click.option(
    "--events",
    type=click.IntRange(100, 1_000_000),
    default=20_000,
    show_default=True,
    help="How many in each round.",
)
@click.option(
    "--stations",
    type=click.IntRange(1, 2000),
    default=10,
    show_default=True,
    help="From how many stations.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 20), default=5, show_default=True, help="Off and on in turn."
)
@click.option(
    "--paced-s",
    type=click.FloatRange(1, 600),
    default=10.0,
    show_default=True,
    help="Seconds at 500 events a second.",
)
@_servers
def feed(
    *,
    events: int,
    stations: int,
    rounds: int,
    paced_s: float,
    database: str | None,
    broker: str | None,
    as_json: bool,
) -> None:
    """Measure how soon the feed tells of a commit, what it costs ingest, and replay."""
    from cardmint_lab.cloud import feed as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = measured.run(
        events=events,
        stations=stations,
        rounds=rounds,
        paced_s=paced_s,
        given=given,
        say=_say(as_json),
    )
    _print(report, measured.report_lines(report), as_json=as_json)
    if report.missing or report.out_of_order:
        sys.exit(1)


@cloud.command()
@_backlog
@_servers
def drain(*, as_json: bool, **backlog: Any) -> None:
    """Measure how soon a backlog is committed after a time without a worker and a broker crash."""
    from cardmint_lab.cloud import drain as measured

    _measure_backlog(measured.run, measured.report_lines, as_json=as_json, **backlog)


@cloud.command()
@click.option(
    "--stations",
    type=click.IntRange(1, 8000),
    default=2000,
    show_default=True,
    help="How many connect.",
)
@click.option(
    "--events",
    type=click.IntRange(1, 1000),
    default=10,
    show_default=True,
    help="How many each one has.",
)
@_batch
@_servers
def storm(
    *,
    stations: int,
    events: int,
    batch: int,
    database: str | None,
    broker: str | None,
    as_json: bool,
) -> None:
    """Measure how soon all stations are connected and committed when all connect at once."""
    from cardmint_lab.cloud import storm as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = measured.run(
        stations=stations, events=events, batch=batch, given=given, say=_say(as_json)
    )
    _tell(report, measured.report_lines(report), as_json=as_json)


@cloud.command()
@_servers
def hostile(*, database: str | None, broker: str | None, as_json: bool) -> None:
    """Measure what honest stations notice while another one sends what cannot be used."""
    from cardmint_lab.cloud import hostile as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = measured.run(given=given, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)


@cloud.command()
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
    """Measure the queries of the inventory's pages while the log grows."""
    from cardmint_lab.cloud import log as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    report = measured.run(sizes=sizes, given=GivenServers(database=database), say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)


@cloud.command()
@click.option("--items", default=100_000, show_default=True, help="Items of the inventory.")
@click.option("--changed", default=10_000, show_default=True, help="Items of the one change.")
@_database
@_json
def desk(*, items: int, changed: int, database: str | None, as_json: bool) -> None:
    """Measure finding, changing and downloading items."""
    from cardmint_lab.cloud import desk as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database)
    report = measured.run(items=items, changed=changed, given=given, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)


@cloud.command()
@click.option(
    "--items",
    type=click.IntRange(100, 1_000_000),
    default=100_000,
    show_default=True,
    help="How many items are written, and read again.",
)
@_database
@_json
def files(*, items: int, database: str | None, as_json: bool) -> None:
    """Measure files of cards: written, checked, imported; exit with 1 if a round trip loses any."""
    from cardmint_lab.cloud import card_files as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database)
    report = measured.run(items=items, given=given, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)
    if report.lost:
        sys.exit(1)


@cloud.command()
@click.option(
    "--scans",
    type=click.IntRange(1, 100_000),
    default=10_000,
    show_default=True,
    help="How many scans.",
)
@click.option(
    "--printings",
    type=click.IntRange(10, 3000),
    default=2000,
    show_default=True,
    help="Of how many.",
)
@click.option(
    "--events", type=click.IntRange(10, 5000), default=300, show_default=True, help="Scans a round."
)
@_json
def prices(*, scans: int, printings: int, events: int, as_json: bool) -> None:
    """Measure what prices cost providers and us, and that they delay no scan.

    Exit code 1 when there are too many calls.
    """
    from cardmint_lab.cloud import prices as measured

    report = measured.run(scans=scans, printings=printings, events=events, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)
    if not measured.meets_targets(report):
        sys.exit(1)


@cloud.command()
@click.option(
    "--questions", type=click.IntRange(1, 10_000), default=200, show_default=True, help="How many."
)
@_json
def reviews(*, questions: int, as_json: bool) -> None:
    """Measure milliseconds from the commit of a question to the station's page."""
    from cardmint_lab.cloud import reviews as measured

    report = measured.run(questions=questions, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)


@cloud.command()
@click.option(
    "--events",
    type=click.IntRange(50, 1_000_000),
    default=20_000,
    show_default=True,
    help="Events a round.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 100), default=5, show_default=True, help="Of each kind."
)
@click.option(
    "--read-s",
    type=click.FloatRange(0.2, 600),
    default=8.0,
    show_default=True,
    help="Seconds a round in which the read API is asked.",
)
@_servers
def policies(
    *,
    events: int,
    rounds: int,
    read_s: float,
    database: str | None,
    broker: str | None,
    as_json: bool,
) -> None:
    """Measure what the policies of tenants cost, against the same services without them.

    Exit code 1 when it is more than a tenth.
    """
    from cardmint_lab.cloud import policies as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = measured.run(
        events=events, rounds=rounds, read_s=read_s, given=given, say=_say(as_json)
    )
    _print(report, measured.report_lines(report), as_json=as_json)
    if not report.meets_target:
        sys.exit(1)


@cloud.command()
@click.option(
    "--read-s",
    type=click.FloatRange(0.2, 600),
    default=4.0,
    show_default=True,
    help="Seconds for each line.",
)
@_servers
def reads(*, read_s: float, database: str | None, broker: str | None, as_json: bool) -> None:
    """Measure how fast programs read, beside the least that could answer them here.

    Exit code 1 when a target is missed.
    """
    from cardmint_lab.cloud import reads as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = measured.run(read_s=read_s, given=given, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)
    if not report.meets_target:
        sys.exit(1)


@cloud.command()
@click.option(
    "--pages",
    type=click.IntRange(1, 10_000),
    default=2500,
    show_default=True,
    help="Open at once.",
)
@_servers
def pages(*, pages: int, database: str | None, broker: str | None, as_json: bool) -> None:
    """Measure what open pages cost, and how soon all are back after a restart.

    Exit code 1 when a target is missed.
    """
    from cardmint_lab.cloud import open_pages as measured
    from cardmint_lab.cloud.test_bed import GivenServers

    given = GivenServers(database=database, broker=broker)
    report = measured.run(pages=pages, given=given, say=_say(as_json))
    _print(report, measured.report_lines(report), as_json=as_json)
    if not report.meets_targets:
        sys.exit(1)
