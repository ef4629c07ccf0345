"""`cardmint-cloud inventory`: cards as files, ours and those of marketplaces and other programs."""

import sys
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import UUID

import click

from cardmint_cloud import settings
from cardmint_cloud.errors import StopService

if TYPE_CHECKING:
    from cardmint_cloud.item_import import ImportReport

_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file; the environment's CARDMINT_CLOUD_* override it.",
)


@click.group("inventory")
def inventory_group() -> None:
    """Cards as files: written, added and changed, taken back."""


@inventory_group.command("export")
@_config
@click.option("--query", default="", help="Which cards, as on the page `Cards`; else all.")
@click.option("--format", "form", default="", help="For whom: see `formats`; else our own columns.")
@click.option("--dry-run", is_flag=True, help="Only say what a file for TCGplayer would hold.")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_items(config: Path | None, file: Path, query: str, form: str, *, dry_run: bool) -> None:
    """Write cards to FILE (.csv, .json or .xlsx), which `import` takes with changes.

    A file for TCGplayer holds what changed since the last one, and is kept.
    """
    from cardmint_cloud import inventory_files
    from cardmint_cloud.domain.item_query import QueryFault, parse_query
    from cardmint_cloud.domain.written_formats import WRITTEN
    from cardmint_cloud.market_files import TCGPLAYER

    loaded = settings.load(config)
    if form == TCGPLAYER:
        if query:
            raise StopService(
                "--query: TCGplayer is told what is in stock, all of it; reserve the"
                " cards that it shall not offer"
            )
        _tell_tcgplayer(loaded, file, dry_run=dry_run)
        return
    try:
        wanted = parse_query(query, datetime.now(UTC).date())
    except QueryFault as fault:
        raise StopService(f"--query: {fault}, at character {fault.start + 1}") from None
    if form and form not in WRITTEN:
        raise StopService(f"--format: there are {', '.join((TCGPLAYER, *WRITTEN))}")
    done = inventory_files.export_items(loaded, file, wanted, WRITTEN.get(form))
    for reason, count in done.left_out.most_common():
        click.echo(f"left out: {count:,} cards, {reason}")
    click.echo(f"{file}: {done.size} bytes")


def _tell_tcgplayer(loaded: settings.CloudSettings, file: Path, *, dry_run: bool) -> None:
    from cardmint_cloud import inventory_files

    made = inventory_files.tell_market(loaded, file, preview=dry_run)
    for reason, count in made.left_out.most_common():
        click.echo(f"left out: {count:,}, {reason}")
    click.echo(f"{made.rows:,} products: {made.more:,} cards more, {made.fewer:,} fewer")
    if made.file is not None:
        click.echo(
            f"{file}: upload it once; if you do not, say so with `cardmint-cloud inventory"
            f" not-uploaded {made.file}`"
        )


@inventory_group.command("again")
@_config
@click.argument("name", type=click.UUID)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def write_again(config: Path | None, name: UUID, file: Path) -> None:
    """Write the file NAME for a marketplace to FILE once more, as it was."""
    from cardmint_cloud import inventory_files

    inventory_files.write_market_file(settings.load(config), name, file)
    click.echo(f"{file}: as it was made; a marketplace that has it already must not get it again")


@inventory_group.command("not-uploaded")
@_config
@click.argument("name", type=click.UUID)
def not_uploaded(config: Path | None, name: UUID) -> None:
    """Count the file NAME as never uploaded: the next one says the same again."""
    from cardmint_cloud import inventory_files

    inventory_files.take_market_file_back(settings.load(config), name)
    click.echo("taken back: the next file says it again")


@inventory_group.command("differences")
@_config
@click.option("--take", "chosen", multiple=True, metavar="PRODUCT", help="Take its number listed.")
@click.option("--take-all", is_flag=True, help="Take the number listed of every product.")
def list_differences(config: Path | None, chosen: tuple[str, ...], *, take_all: bool) -> None:
    """List where TCGplayer lists another number than there is in stock.

    Where fewer are listed and you take that number, the rest becomes sold, as one change.
    """
    from cardmint_cloud import inventory_files

    loaded = settings.load(config)
    if chosen or take_all:
        done = inventory_files.take_market_numbers(loaded, chosen)
        click.echo(
            f"{done.items:,} cards are sold; take it back with `cardmint-cloud inventory undo"
            f" {done.change}`"
        )
        return
    found = inventory_files.market_differences(loaded)
    for one in found:
        click.echo(
            f"{one.sku:>12}  listed {one.listed:4}  in stock {one.stock:4}  {one.name},"
            f" {one.condition}"
        )
    click.echo(f"{len(found):,} differences")


@inventory_group.command("formats")
def list_formats() -> None:
    """List the files of others that `import` reads and `export` writes."""
    from cardmint_cloud.domain.market_formats import BY_NAME
    from cardmint_cloud.domain.written_formats import WRITTEN
    from cardmint_cloud.market_files import TCGPLAYER

    for one in BY_NAME.values():
        click.echo(f"import  {one.name:22} {one.kind:6} {one.title}")
    click.echo(f"export  {TCGPLAYER:22} {'stock':6} TCGplayer, what changed since the last file")
    for written in WRITTEN.values():
        click.echo(f"export  {written.name:22} {'cards':6} {written.title}")
        for loss in written.cannot:
            click.echo(f"{'':38} {loss}")


@inventory_group.command("import")
@_config
@click.option(
    "--map",
    "mapped",
    multiple=True,
    metavar="COLUMN:WORD=VALUE",
    help="What a word of the file stands for: `condition:VG=lp`. May be repeated.",
)
@click.option("--format", "form", default="", help="Whose file it is, where its columns fit two.")
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
@click.option("--skip-wrong", is_flag=True, help="Import the other rows when some are wrong.")
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("file", type=click.Path(dir_okay=False, exists=True, path_type=Path))
def import_items(
    config: Path | None,
    file: Path,
    mapped: tuple[str, ...],
    form: str,
    *,
    dry_run: bool,
    skip_wrong: bool,
    yes: bool,
) -> None:
    """Add and change the cards of FILE (.csv, .json or .xlsx), once, whatever how often it comes.

    A row with a `reference` of its own adds cards; a row with the `item` and `version` of an
    export changes that card. Files of others are known by their columns: see `formats`. What will
    be done is said first. Exit code 1 when rows are wrong.
    """
    from cardmint_cloud import inventory_files
    from cardmint_cloud.domain.item_rows import read_word

    try:
        words = dict(read_word(one) for one in mapped)
    except ValueError as error:
        raise click.UsageError(f"--map {error}") from None
    loaded = settings.load(config)
    report = inventory_files.check_file(loaded, file, words, named=form)
    if report.words and not yes and sys.stdin.isatty():
        words |= _asked_words(report)
        report = inventory_files.check_file(loaded, file, words, named=form)
    _say_report(report, "will be")
    if report.wrong and not skip_wrong:
        click.echo("nothing was imported; mend these rows, or leave them out with --skip-wrong")
        sys.exit(1)
    if dry_run or not report.effect:
        return
    if not yes and not sys.stdin.isatty():
        click.echo("nothing was imported; --yes does it without a question")
        sys.exit(1)
    if not yes:
        click.confirm("Import?", abort=True)
    done = inventory_files.import_file(loaded, file, words, named=form)
    _say_report(done, "are")
    if done.change is not None:
        click.echo(f"take it back with `cardmint-cloud inventory undo {done.change}`")
    if done.wrong:
        sys.exit(1)


def _asked_words(report: "ImportReport") -> dict[tuple[str, str], str]:
    """Ask what the words stand for that only this file has."""
    from cardmint_cloud.domain.item_rows import SET, WORDS, read_word

    words: dict[tuple[str, str], str] = {}
    for (name, word), count in sorted(report.words.items()):
        known = "a set, by its id" if name == SET else f"one of {', '.join(WORDS[name])}"
        said = click.prompt(f"{count} rows have the {name} {word!r}. It is {known}")
        try:
            words |= [read_word(f"{name}:{word}={said}")]
        except ValueError as error:
            raise StopService(str(error)) from None
    return words


def _say_report(report: "ImportReport", verb: str) -> None:
    if report.form is not None:
        click.echo(f"read as: {report.form.title}")
    for number, fault in report.faults:
        click.echo(f"row {number}: {fault}")
    if report.wrong > len(report.faults):
        click.echo(f"and {report.wrong - len(report.faults):,} rows more")
    for (name, word), count in sorted(report.words.items()):
        click.echo(f"{count:,} rows: say what it stands for with --map '{name}:{word}=...'")
    for said, rows in (("left out", report.left_out), ("not kept", report.unused)):
        for reason, count in _most(rows):
            click.echo(f"{said}: {count:,} rows, {reason}")
    cards = (
        f"cards: {report.added:,} {verb} added, {report.changed:,} {verb} changed,"
        f" {report.brought_back:,} {verb} brought back, {report.there:,} stay as they are,"
    )
    if report.form is not None and report.form.market:
        cards = (
            f"cards: {report.sold:,} {verb} sold, {report.there:,} were before; products:"
            f" {report.learned:,} {verb} known;"
        )
    click.echo(f"{cards} {report.wrong:,} rows wrong")


def _most(rows: Counter[str]) -> list[tuple[str, int]]:
    return rows.most_common(20)


@inventory_group.command("undo")
@_config
@click.argument("change", type=click.UUID)
def undo_items(config: Path | None, change: UUID) -> None:
    """Take a CHANGE or an import back; that can be taken back, too."""
    from cardmint_cloud import inventory_files

    done = inventory_files.undo_items(settings.load(config), change)
    click.echo(
        f"{done.items:,} cards are as before, {done.kept:,} keep what they got since;"
        f" take that back with `cardmint-cloud inventory undo {done.change}`"
    )
