"""The command line: `cardmint-edge`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from cardmint_contracts.cards import Language
from cardmint_edge import __version__
from cardmint_edge.catalogue_commands import catalogue
from cardmint_edge.config_commands import config
from cardmint_edge.errors import EdgeError
from cardmint_edge.fleet_commands import fleet
from cardmint_edge.outbox_commands import outbox
from cardmint_edge.run_commands import completion, doctor, run
from cardmint_edge.setup_commands import setup

if TYPE_CHECKING:
    from cardmint_edge.adapters.pack import Pack
    from cardmint_edge.domain.recognition import Recogniser


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """CardMint's station: scan cards, count them durably, send them to the cloud."""


FILE = click.Path(dir_okay=False, path_type=Path)


def _code(_context: click.Context, _option: click.Parameter, text: str | None) -> Language | None:
    try:
        return None if text is None else msgspec.convert(text, Language)
    except msgspec.ValidationError:
        raise click.BadParameter(f"{text!r} is no code of a language such as fr or de") from None


@cli.command("scan")
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option("--json", "as_objects", is_flag=True, help="One JSON object a line.")
@click.option(
    "--language",
    callback=_code,
    help="Name all cards in this language, such as fr; each in its own if left out.",
)
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
def scan_images(
    pack: Path, images: tuple[Path, ...], *, as_objects: bool, language: str | None
) -> None:
    """Recognise the card in each of IMAGES. The exit code is 1 when one could not be read."""
    from cardmint_edge.scan import as_json, as_line, in_language, scan

    opened = _open(pack)
    recogniser = single_core_recogniser(opened)
    failed = False
    for found in scan(images, recogniser):
        scanned = in_language(found, opened, language)
        click.echo(
            json.dumps(as_json(scanned), ensure_ascii=False) if as_objects else as_line(scanned)
        )
        if scanned.error:
            failed = True
            click.echo(f"cardmint-edge: {scanned.error}", err=True)
    sys.exit(1 if failed else 0)


def single_core_recogniser(pack: "Pack") -> "Recogniser":
    """Return a recogniser that uses one core, as a station does."""
    import cv2

    from cardmint_edge.recogniser import recogniser_of

    cv2.setNumThreads(1)
    return recogniser_of(pack)


def _open(path: Path) -> "Pack":
    """Open a pack, and close it when the command ends."""
    from cardmint_edge.adapters.pack import Pack

    pack = Pack(path)
    click.get_current_context().call_on_close(pack.close)
    return pack


cli.add_command(run)
for command in (setup, catalogue, outbox, doctor, completion, fleet, config):
    cli.add_command(command)


def main() -> None:
    """Run the command line. An `EdgeError` is one line on standard error, and exit code 1."""
    try:
        cli()
    except EdgeError as error:
        click.echo(f"cardmint-edge: {error}", err=True)
        sys.exit(1)
