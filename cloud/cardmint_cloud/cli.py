"""The command line: `cardmint-cloud`."""

import asyncio
import sys
from pathlib import Path

import click

from cardmint_cloud import __version__, settings
from cardmint_cloud.errors import CloudError
from cardmint_cloud.standin.command import stand_in


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """CardMint's service: ingest, price, inventory, reviews, dashboard."""


_config = click.option(
    "--config", type=click.Path(path_type=Path), help="Settings file; the environment's CARDMINT_CLOUD_* override it."
)


@cli.command()
@_config
def migrate(config: Path | None) -> None:
    """Bring the database to this version's tables."""
    from cardmint_cloud import app

    revision = asyncio.run(app.migrate_database(settings.load(config)))
    click.echo(f"the database has the tables of revision {revision}")


@cli.command()
@_config
def work(config: Path | None) -> None:
    """Take what stations publish, commit it, send receipts, price cards."""
    from cardmint_cloud import app

    asyncio.run(app.work(settings.load(config)))


@cli.command()
@_config
def serve(config: Path | None) -> None:
    """Serve the dashboard, on loopback only: there are no accounts yet."""
    from cardmint_cloud import app

    asyncio.run(app.serve(settings.load(config)))


@cli.command()
@click.option("--cards", type=click.IntRange(1, 100_000), default=200, show_default=True, help="How many to scan.")
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
@click.option(
    "--exit", "leave", is_flag=True, help="End when the cards are done; the exit code says whether all is well."
)
def demo(cards: int, folder: Path, leave: bool) -> None:
    """Run the whole system here: two stations, an outage in the middle, every card counted once."""
    from cardmint_cloud import demo as demonstration

    if not demonstration.run(folder, cards, leave=leave, say=click.echo):
        sys.exit(1)


cli.add_command(stand_in)


def main() -> None:
    """Run the command line; an error that a person can mend is one line on standard error and exit code 1."""
    try:
        cli()
    except CloudError as error:
        click.echo(f"cardmint-cloud: {error}", err=True)
        sys.exit(1)
