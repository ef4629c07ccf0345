"""`cardmint-cloud bench`: the benchmarks."""

import sys
from dataclasses import asdict

import click

from cardmint_cloud.bench.supply import prices, reviews
from cardmint_contracts.wire import encode


@click.group()
def bench() -> None:
    """Measure this machine: real servers as child processes, beside the limit in the same minute."""


@bench.command()
@click.option("--events", type=click.IntRange(1, 200_000), default=20_000, show_default=True, help="How many in all.")
@click.option("--stations", type=click.IntRange(1, 2000), default=10, show_default=True, help="From how many stations.")
@click.option("--batch", type=click.IntRange(1, 1000), default=50, show_default=True, help="Events a message.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def ingest(events: int, stations: int, batch: int, as_json: bool) -> None:
    """Events a second from MQTT to the inventory; exit code 1 when one is lost or counted twice."""
    from cardmint_cloud.bench import ingest as measured

    report = measured.run(events=events, stations=stations, batch=batch, say=lambda line: click.echo(line, err=as_json))
    click.echo(encode(asdict(report)).decode() if as_json else "\n".join(measured.told(report)))
    if not measured.good(report):
        sys.exit(1)


bench.add_command(prices)
bench.add_command(reviews)
