"""The command line: `cardmint-cloud`."""

import sys

import click

from cardmint_cloud import __version__
from cardmint_cloud.errors import CloudError


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """CardMint's service: ingest, price, inventory, reviews, dashboard."""


def main() -> None:
    """Run the command line; an error that a person can mend is one line on standard error and exit code 1."""
    try:
        cli()
    except CloudError as error:
        click.echo(f"cardmint-cloud: {error}", err=True)
        sys.exit(1)
