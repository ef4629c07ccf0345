"""The commands `run` and `outbox`."""

import logging
import os
import signal
import sys
from pathlib import Path

import click
import msgspec
import structlog

from cardmint_edge.errors import Stop
from cardmint_edge.settings import load

FILE = click.Path(dir_okay=False, path_type=Path)


def configure_log() -> None:
    """Write the log to standard output, one JSON object a line."""
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            structlog.processors.dict_tracebacks,
            structlog.processors.JSONRenderer(default=str),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=sys.stdout),
        cache_logger_on_first_use=True,
    )


@click.command()
@click.option("--config", type=FILE, required=True, help="The settings, a TOML file (docs/settings-edge.md).")
@click.option("--exit-when-done", is_flag=True, help="End when the camera is done and everything is sent.")
@click.option("--drain-timeout", default=60.0, show_default=True, help="Seconds to wait for that after the last card.")
def run(config: Path, *, exit_when_done: bool, drain_timeout: float) -> None:
    """Run the station until SIGTERM or SIGINT."""
    from cardmint_edge.app import build  # noqa: PLC0415 - OpenCV takes long to load

    configure_log()
    station = build(load(config, os.environ))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: station.stop())
    drained = station.run(exit_when_done=exit_when_done, drain_timeout_s=drain_timeout)
    if exit_when_done and not drained:
        raise Stop("not everything was sent; nothing is lost, it is sent after the next start")


@click.command()
@click.option("--config", type=FILE, required=True, help="The settings, a TOML file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def outbox(config: Path, *, as_json: bool) -> None:
    """Print where the outbox stands; the station may be running."""
    from cardmint_edge.adapters.database import Database  # noqa: PLC0415 - as above
    from cardmint_edge.adapters.image_table import ImageTable  # noqa: PLC0415 - as above
    from cardmint_edge.adapters.outbox import Outbox  # noqa: PLC0415 - as above
    from cardmint_edge.app import OUTBOX  # noqa: PLC0415 - as above
    from cardmint_edge.status import outbox_status  # noqa: PLC0415 - as above

    settings = load(config, os.environ)
    database = Database.look(settings.station.data / OUTBOX)
    try:
        status = outbox_status(Outbox(database), ImageTable(database))
    finally:
        database.close()
    fields = msgspec.to_builtins(status)
    if as_json:
        click.echo(msgspec.json.encode(fields).decode())
        return
    for name, value in fields.items():
        click.echo(f"{name.replace('_', ' '):16} {'none' if value is None else value}")
