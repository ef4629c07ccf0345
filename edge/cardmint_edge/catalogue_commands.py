"""The commands `cardmint-edge catalogue`: fetch a catalogue, build packs, compare sources."""

import re
import time
from pathlib import Path
from typing import TYPE_CHECKING, cast

import click

from cardmint_edge.errors import Stop
from cardmint_edge.progress import progress_for_stderr

if TYPE_CHECKING:
    from cardmint_contracts.catalogue import CatalogueSet
    from cardmint_edge import catalogue_fetch
    from cardmint_edge.catalogue_fetch import FetchSummary

TCGDEX = "https://api.tcgdex.net/v2"
LANGUAGE = r"[a-z]{2,3}(-[A-Za-z]{2,4})?"

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


def _warn(line: str) -> None:
    click.echo(line, err=True)


@click.group()
def catalogue() -> None:
    """Fetch the catalogue and build packs: the cards that a station knows."""


@catalogue.command("fetch")
@click.option(
    "--out",
    type=FOLDER,
    default=Path("catalogue"),
    show_default=True,
    help="The catalogue's folder.",
)
@click.option("--url", default=TCGDEX, show_default=True, help="TCGdex's API, or a mirror of it.")
@click.option(
    "--language",
    "languages",
    default="en",
    show_default=True,
    help="Languages, separated by commas, the main one first; Asian ones bring the Asian sets.",
)
@click.option("--set", "sets", multiple=True, help="Only this set; may be given several times.")
@click.option(
    "--images",
    type=click.Choice(["low", "high", "none"]),
    default="low",
    show_default=True,
    help="Pictures of the cards: low 245 x 337, high 600 x 825.",
)
@click.option(
    "--texts",
    is_flag=True,
    help="Ask for the attacks in each language, too: a call for each card and language.",
)
@click.option("--refresh", is_flag=True, help="Ask again about each card.")
@click.option(
    "--connections",
    type=click.IntRange(1, 32),
    default=8,
    show_default=True,
    help="Connections at a time, at most.",
)
@click.option(
    "--from",
    "source",
    type=FOLDER,
    help="Read a downloaded folder instead: of TCGdex's database or of pokemon-tcg-data.",
)
def fetch(
    *,
    out: Path,
    url: str,
    languages: str,
    sets: tuple[str, ...],
    images: str,
    texts: bool,
    refresh: bool,
    connections: int,
    source: Path | None,
) -> None:
    """Fetch sets, cards and pictures, or what is new or changed since the last time.

    It can be ended at any moment; the same command goes on where it was.
    """
    from cardmint_edge import catalogue_fetch  # noqa: PLC0415 - loads the HTTP client
    from cardmint_edge.adapters.tcgdex_http import TcgdexHttp  # noqa: PLC0415 - as above

    began = time.monotonic()
    if source is not None:
        summary = catalogue_fetch.import_folder(source, out, warn=_warn)
        click.echo(_fetched(out, summary, time.monotonic() - began))
        return
    chosen = tuple(dict.fromkeys(languages.replace(",", " ").split()))
    for language in chosen:
        if not re.fullmatch(LANGUAGE, language):
            raise Stop(f"--language {language}: not a language such as en, fr or zh-tw")
    if not chosen:
        raise Stop("--language is empty: name at least one language, such as en")
    api = TcgdexHttp(url, connections=connections)
    try:
        fetching = catalogue_fetch.CatalogueFetch(
            api,
            out,
            catalogue_fetch.FetchRequest(
                languages=chosen,
                sets=frozenset(sets),
                size=None if images == "none" else cast("catalogue_fetch.Size", images),
                every_text=texts,
                refresh=refresh,
                connections=connections,
            ),
            source=url,
            progress=progress_for_stderr(),
            warn=_warn,
        )
        summary = fetching.run()
    finally:
        api.close()
    click.echo(
        f"{_fetched(out, summary, time.monotonic() - began)},"
        f" {api.calls} calls, {api.received} answers received"
    )


def _fetched(out: Path, summary: "FetchSummary", seconds: float) -> str:
    return (
        f"{out}: {summary.sets} sets, {summary.changed} new or changed, {summary.printings} cards,"
        f" {summary.pictures} new pictures, {summary.skipped} skipped, {seconds:.1f} s"
    )


@catalogue.command("build")
@click.option(
    "--cards",
    type=FOLDER,
    default=Path("catalogue"),
    show_default=True,
    help="The catalogue: a folder of `fetch`, of pokemon-tcg-data, or of TCGdex's database.",
)
@click.option(
    "--images", type=FOLDER, help="Folder of pictures, <card id>.jpg; by default the catalogue's."
)
@click.option(
    "--out", type=FILE, default=Path("pack.sqlite"), show_default=True, help="The pack to write."
)
@click.option(
    "--prices",
    type=FILE,
    help="Last known prices to show at the station: `cardmint-cloud prices export`.",
)
@click.option(
    "--language",
    "languages",
    default="",
    help="Names in these languages only, separated by commas; English stays. By default all.",
)
@click.option(
    "--replace",
    "replace_worse",
    is_flag=True,
    help="Take the new pack also when it lacks cards or pictures of the one there.",
)
def build_pack(
    *,
    cards: Path,
    images: Path | None,
    out: Path,
    prices: Path | None,
    languages: str,
    replace_worse: bool,
) -> None:
    """Build a pack, or bring it up to date: what has not changed is taken over."""
    from cardmint_edge.catalogue import build  # noqa: PLC0415 - loads OpenCV

    built = build(
        cards,
        images,
        out,
        _warn,
        prices,
        languages=languages.replace(",", " ").split(),
        replace_worse=replace_worse,
    )
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
