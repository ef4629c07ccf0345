"""The command line of the laboratory: `cardmint-lab`."""

import sys
from pathlib import Path

import click

from cardmint_cloud.errors import CloudError
from cardmint_edge.errors import EdgeError
from cardmint_lab.chaos import chaos
from cardmint_lab.cloud.cli import cloud
from cardmint_lab.recognition.cli import recognition
from cardmint_lab.stand_ins.cli import stand_ins
from cardmint_lab.station.cli import station


@click.group()
def cli() -> None:
    """CardMint's laboratory: measure, evaluate, and run the whole system against stand-ins."""


@cli.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder to write.",
)
def fictional(out: Path) -> None:
    """Print the fictional game into OUT/cards and OUT/images, and build OUT/pack.sqlite of it."""
    from cardmint_edge.catalogue import build
    from cardmint_lab.fictional.catalogue_files import issue

    count = issue(out)
    built = build(
        out / "cards", out / "images", out / "pack.sqlite", lambda line: click.echo(line, err=True)
    )
    click.echo(f"{out / 'pack.sqlite'}: version {built.version}, {count} cards")


@cli.command()
@click.option(
    "--cards",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="How many to scan.",
)
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
@click.option(
    "--exit",
    "leave",
    is_flag=True,
    help="End when the cards are done; the exit code says whether all is well.",
)
def demo(cards: int, folder: Path, leave: bool) -> None:
    """Run the whole system here: two stations, an outage in the middle, every card counted once."""
    from cardmint_lab import demo as demonstration

    if not demonstration.run(folder, cards, leave=leave, say=click.echo):
        sys.exit(1)


for group in (station, cloud, recognition):
    cli.add_command(group)
for command in (stand_ins, chaos):
    cli.add_command(command)


def main() -> None:
    """Run the command line. An error for people is printed as one line; the exit code is then 1."""
    try:
        cli()
    except (CloudError, EdgeError) as error:
        click.echo(f"cardmint-lab: {error}", err=True)
        sys.exit(1)
