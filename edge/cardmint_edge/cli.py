"""The command line: `cardmint-edge`."""

import sys

import click

from cardmint_edge import __version__
from cardmint_edge.errors import EdgeError


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """CardMint's station: scan cards, count them durably, forward the counts."""


def main() -> None:
    """Run the command line; an error that a person can mend is one line on standard error and exit code 1."""
    try:
        cli()
    except EdgeError as error:
        click.echo(f"cardmint-edge: {error}", err=True)
        sys.exit(1)
