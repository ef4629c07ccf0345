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
    from cardmint_edge.adapters.catalogue_answers import Size
    from cardmint_edge.catalogue_update import FetchSummary

TCGDEX = "https://api.tcgdex.net/v2"
LANGUAGE = r"[a-z]{2,3}(-[a-z]{2,4})?"
ONLY_BY_NETWORK = ("url", "texts", "refresh", "connections")
"""Options of `fetch` that mean nothing when a folder is read."""

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
    help="Languages, separated by commas, the main one first; Asian ones bring the Asian sets;"
    " English always comes with them."
    "  [default: en; with --from all]",
)
@click.option(
    "--set",
    "sets",
    multiple=True,
    help="Only this set, by its identifier, such as sv4pt5; may be given several times.",
)
@click.option(
    "--images",
    type=click.Choice(["low", "high", "none"]),
    default="low",
    show_default=True,
    help="Pictures of the cards: low 245 x 337, high 600 x 825. Those that are there in high stay.",
)
@click.option(
    "--texts",
    is_flag=True,
    help="Ask for the attacks in each language, too: a call for each card and language.",
)
@click.option("--refresh", is_flag=True, help="Ask again about each card and picture.")
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
@click.option(
    "--replace",
    is_flag=True,
    help="Take out cards, names and sets that the source lacks, and take the place of sets that"
    " were read from another kind of source.",
)
@click.pass_context
def fetch(
    context: click.Context,
    *,
    out: Path,
    url: str,
    languages: str | None,
    sets: tuple[str, ...],
    images: str,
    texts: bool,
    refresh: bool,
    connections: int,
    source: Path | None,
    replace: bool,
) -> None:
    """Fetch sets, cards and pictures, or what is new or changed since the last time.

    It can be ended at any moment; the same command goes on where it was. What cannot be had is
    skipped with a line. The exit code is 1 when something could not be had, or when the source
    itself is not complete; not for what the source no longer has, which stays.
    """
    if source is not None:
        _refuse_with_folder(context, images)
        _import(out, source, _chosen(languages or ""), frozenset(sets), replace=replace)
        return
    from cardmint_edge import catalogue_fetch  # noqa: PLC0415 - loads the HTTP client
    from cardmint_edge.adapters.tcgdex_http import TcgdexHttp  # noqa: PLC0415 - as above

    began = time.monotonic()
    chosen = _with_english(_chosen("en" if languages is None else languages))
    api = TcgdexHttp(url, connections=connections, say=_warn)
    try:
        fetching = catalogue_fetch.CatalogueFetch(
            api,
            out,
            catalogue_fetch.FetchRequest(
                languages=chosen,
                sets=frozenset(sets),
                size=None if images == "none" else cast("Size", images),
                every_text=texts,
                refresh=refresh,
                replace=replace,
                connections=connections,
            ),
            source=api.url,
            progress=progress_for_stderr(),
            warn=_warn,
        )
        summary = fetching.run()
    except KeyboardInterrupt:
        raise Stop(f"ended: {catalogue_fetch.GO_ON}") from None
    finally:
        api.close()
    click.echo(
        f"{_fetched(out, summary, time.monotonic() - began)},"
        f" {api.calls} calls, {api.received} answers received"
    )
    if summary.missing:
        raise Stop(f"{summary.missing} things could not be had: {catalogue_fetch.GO_ON}")


def _with_english(chosen: tuple[str, ...]) -> tuple[str, ...]:
    """Return languages with English among them: print is read by English names and facts.

    Raises:
        Stop: no language is named.
    """
    if not chosen:
        raise Stop("--language is empty: name at least one language, such as en")
    if "en" in chosen:
        return chosen
    _warn("English is fetched, too, and first: stations read print by the English names")
    return ("en", *chosen)


def _chosen(languages: str) -> tuple[str, ...]:
    """Return the languages that a text names.

    Raises:
        Stop: one is no language.
    """
    chosen = tuple(dict.fromkeys(languages.lower().replace(",", " ").split()))
    for language in chosen:
        if not re.fullmatch(LANGUAGE, language):
            raise Stop(f"--language {language}: not a language such as en, fr or zh-tw")
    return chosen


def _refuse_with_folder(context: click.Context, images: str) -> None:
    """Raise Stop for an option that only a network fulfils."""
    given = [
        name
        for name in (*ONLY_BY_NETWORK, *(["images"] if images != "none" else []))
        if context.get_parameter_source(name) is click.core.ParameterSource.COMMANDLINE
    ]
    if given:
        raise Stop(
            f"--{given[0]} does not go with --from: a folder is read without a network; fetch"
            " without --from for it"
        )


def _import(
    out: Path, source: Path, languages: tuple[str, ...], sets: frozenset[str], *, replace: bool
) -> None:
    from cardmint_edge.catalogue_import import (  # noqa: PLC0415 - only needed here
        ImportRequest,
        import_folder,
    )

    began = time.monotonic()
    request = ImportRequest(languages=languages, sets=sets, replace=replace)
    summary = import_folder(source, out, request, warn=_warn)
    dated = f", of {summary.made_at:%Y-%m-%d}" if summary.made_at else ""
    click.echo(f"{_fetched(out, summary, time.monotonic() - began)}{dated}")
    if summary.incomplete:
        raise Stop(f"{source}: {summary.incomplete}: what is there was taken; download it again")


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
    """Build a pack, or bring it up to date: what has not changed is taken over.

    The exit code is 1 when a set could not be read: the pack then has all other cards.
    """
    from cardmint_edge.catalogue import build  # noqa: PLC0415 - loads OpenCV

    built = build(
        cards,
        images,
        out,
        _warn,
        prices,
        languages=_chosen(languages),
        replace_worse=replace_worse,
    )
    click.echo(
        f"{out}: version {built.version}, {built.cards} cards ({built.twinned} with twins),"
        f" {built.images} images, {built.prices} prices, {built.skipped} skipped,"
        f" {built.seconds} s, {built.bytes / 1e6:.1f} MB"
    )
    if built.unread_sets:
        raise Stop(
            f"{built.unread_sets} sets could not be read: the pack lacks their cards; run"
            " `cardmint-edge catalogue fetch` again, then `build`"
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
