"""`cardmint-cloud bench prices` and `bench reviews`."""

import sys
from dataclasses import asdict

import click

from cardmint_contracts.wire import encode

_json = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")


@click.command()
@click.option("--scans", type=click.IntRange(1, 100_000), default=10_000, show_default=True, help="How many scans.")
@click.option("--printings", type=click.IntRange(10, 3000), default=2000, show_default=True, help="Of how many.")
@click.option("--events", type=click.IntRange(10, 5000), default=300, show_default=True, help="Scans a round.")
@_json
def prices(scans: int, printings: int, events: int, as_json: bool) -> None:
    """What prices cost providers and us, and that they hold up no scan; exit code 1 when calls are too many."""
    from cardmint_cloud.bench import prices as measured  # noqa: PLC0415 - loads servers

    report = measured.run(
        scans=scans, printings=printings, events=events, say=lambda line: click.echo(line, err=as_json)
    )
    click.echo(encode(asdict(report)).decode() if as_json else "\n".join(measured.told(report)))
    if not measured.good(report):
        sys.exit(1)


@click.command()
@click.option("--questions", type=click.IntRange(1, 10_000), default=200, show_default=True, help="How many.")
@_json
def reviews(questions: int, as_json: bool) -> None:
    """Milliseconds from the commit of a question in the cloud to the station's page."""
    from cardmint_cloud.bench import reviews as measured  # noqa: PLC0415 - loads servers

    report = measured.run(questions=questions, say=lambda line: click.echo(line, err=as_json))
    click.echo(encode(asdict(report)).decode() if as_json else "\n".join(measured.told(report)))
