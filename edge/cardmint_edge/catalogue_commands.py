"""The commands `cardmint-edge catalogue`: fetch a catalogue, build packs, compare sources."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cardmint_contracts.catalogue import CatalogueSet

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def _warn(line: str) -> None:
    click.echo(line, err=True)


@click.group()
def catalogue() -> None:
    """Fetch the catalogue and build packs: the cards that a station knows."""


@catalogue.command("build")
@click.option(
    "--cards", type=FOLDER, required=True, help="Folder with sets/en.json and cards/en/<set>.json."
)
@click.option("--images", type=FOLDER, required=True, help="Folder of scans, <card id>.jpg.")
@click.option("--out", type=FILE, required=True, help="The pack to write.")
@click.option(
    "--prices",
    type=FILE,
    help="Last known prices to show at the station: `cardmint-cloud prices export`.",
)
def build_pack(cards: Path, images: Path, out: Path, prices: Path | None) -> None:
    """Build a pack from a catalogue and its scans."""
    from cardmint_edge.catalogue import build  # noqa: PLC0415 - loads OpenCV

    built = build(cards, images, out, _warn, prices)
    click.echo(
        f"{out}: version {built.version}, {built.cards} cards ({built.twinned} with twins),"
        f" {built.images} images, {built.prices} prices, {built.skipped} skipped,"
        f" {built.seconds} s, {built.bytes / 1e6:.1f} MB"
    )


@catalogue.command("bridge")
@click.option("--cards", type=FOLDER, required=True, help="The catalogue, of TCGdex.")
@click.option(
    "--pokemon-tcg", type=FOLDER, required=True, help="A folder of pokemon-tcg-data to compare."
)
def bridge(cards: Path, pokemon_tcg: Path) -> None:
    """Compare a catalogue's identifiers with pokemon-tcg-data's, and list what differs."""
    from cardmint_edge.domain.catalogue.bridge import compare  # noqa: PLC0415 - only needed here

    report = compare(_read(cards), _read(pokemon_tcg))
    for printing in report.missing_here:
        click.echo(f"only in pokemon-tcg-data: {printing.id} {_name(printing.names)}")
    for card_id, ours, theirs in report.other_name:
        click.echo(f"other name: {card_id} {ours!r}, in pokemon-tcg-data {theirs!r}")
    for printing in report.missing_there:
        click.echo(f"only here: {printing.id} {_name(printing.names)}")
    for one in report.sets_missing_there:
        click.echo(f"set only here: {one.id} {_name(one.names)}, {len(one.printings)} cards")
    click.echo(
        f"{report.bridged} of pokemon-tcg-data's cards are bridged ({report.share:.2%}),"
        f" {len(report.missing_here)} have no printing here, {len(report.other_name)} another name;"
        f" it lacks {len(report.missing_there)} cards and {len(report.sets_missing_there)} sets"
    )


def _read(folder: Path) -> list["CatalogueSet"]:
    from cardmint_edge.adapters.catalogue_folder import open_catalogue  # noqa: PLC0415 - as above

    read = [source.read(_warn) for source in open_catalogue(folder).sets]
    return [one for one in read if one is not None]


def _name(names: dict[str, str]) -> str:
    from cardmint_contracts.catalogue import name_in  # noqa: PLC0415 - as above

    return name_in(names, None)
