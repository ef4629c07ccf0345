"""The commands `cardmint-edge outbox`: figures, export, import, and a second try for images."""

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import click
import msgspec

from cardmint_contracts.events import StreamReason
from cardmint_edge.adapters.clock import StationClock
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_edge.adapters.sqlite.images import ImageTable
from cardmint_edge.adapters.sqlite.outbox import OUTBOX_FILE, Outbox
from cardmint_edge.errors import Stop
from cardmint_edge.settings import EdgeSettings, load
from cardmint_edge.status import outbox_status

_config = click.option(
    "--config",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The settings, a TOML file.",
)


@click.group()
def outbox() -> None:
    """Show what waits to be sent, and transfer it by file."""


@outbox.command("look")
@_config
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def look(config: Path, *, as_json: bool) -> None:
    """Print the outbox's figures. The station may be running."""
    with _read_only(load(config, os.environ)) as database:
        fields = msgspec.to_builtins(outbox_status(Outbox(database), ImageTable(database)))
    if as_json:
        click.echo(msgspec.json.encode(fields).decode())
        return
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' '):16} {'none' if value is None else value}")


@outbox.command("export")
@_config
@click.option(
    "--out",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The file to write.",
)
@click.option(
    "--after",
    type=click.IntRange(0),
    default=0,
    help="Begin after this sequence, where an earlier file ended.",
)
def export(config: Path, out: Path, after: int) -> None:
    """Write the unsent events into a file, to send it from another machine.

    The outbox stays as it is, and the station may be running. A file has 100,000 events at most;
    the command then says how to write the next one.
    """
    from cardmint_edge.outbox_transfer import (  # noqa: PLC0415 - loads the broker's client
        export as write,
    )

    settings = load(config, os.environ)
    with _read_only(settings) as database:
        written = write(settings, Outbox(database), out, after=after)
    click.echo(f"{out}: {written.count} events")
    if written.last < written.last_in_outbox:
        click.echo(
            f"{written.last_in_outbox - written.last} more are unsent: export them to another file"
            f" with --after {written.last}, and import the files in this order"
        )


@outbox.command("import")
@_config
@click.option(
    "--timeout", default=60.0, show_default=True, help="Seconds to wait for the cloud's receipt."
)
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def import_(config: Path, file: Path, *, timeout: float) -> None:
    """Send an exported FILE in its station's name, until the cloud has all of it.

    It goes to the broker of the settings. The station may be connected, and may send the same
    events again later: each counts once.
    """
    from cardmint_edge.outbox_transfer import read, send  # noqa: PLC0415 - as above

    settings, exported = load(config, os.environ), read(file)
    if not send(settings, exported, timeout):
        raise Stop(
            f"{file}: the cloud did not take all of it within {timeout:.0f} s;"
            " nothing is lost, try again"
        )
    click.echo(f"{file}: {len(exported.events)} events of {exported.station} are with the cloud")


@outbox.command("new-stream")
@_config
def new_stream(config: Path) -> None:
    """Let the station go on in a new stream with all unsent events. The station must be stopped.

    For a disk that was copied, or a station that is to belong to another cloud: the database that
    answers next is its own. What was sent before counts once all the same.
    """
    path = load(config, os.environ).station.data / OUTBOX_FILE
    if not path.exists():
        raise Stop(f"there is no outbox at {path}")
    with closing(Database.open(path)) as database:
        state = Outbox(database).open_stream(StreamReason.BY_HAND, StationClock()(), database=None)
    click.echo(f"{state.last} events are sent in stream {state.stream} after the next start")


@outbox.command("replay")
@_config
def replay(config: Path) -> None:
    """Let the images that the cloud refused be sent again. The station must be stopped."""
    path = load(config, os.environ).station.data / OUTBOX_FILE
    if not path.exists():
        raise Stop(f"there is no outbox at {path}")
    with closing(Database.open(path)) as database:
        click.echo(f"{ImageTable(database).unpark()} images are sent again after the next start")


@contextmanager
def _read_only(settings: EdgeSettings) -> Iterator[Database]:
    with closing(Database.open_read_only(settings.station.data / OUTBOX_FILE)) as database:
        yield database
