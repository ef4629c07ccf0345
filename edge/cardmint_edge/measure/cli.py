"""The commands `cardmint-edge measure`: figures of this machine, for people or as one JSON object."""

import logging
from pathlib import Path

import click
import msgspec
import structlog

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
_pack = click.option("--pack", type=FILE, required=True, help="The pack to recognise by; the fictional one will do.")
_host = click.option("--host", default="127.0.0.1", show_default=True, help="An MQTT 5 broker.")
_port = click.option("--port", default=1883, show_default=True, help="Its port.")
_disk = click.option("--folder", type=FOLDER, default=Path(), help="A folder on the disk to measure; here by default.")


@click.group()
def measure() -> None:
    """Print figures of the station on this machine."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


@measure.command("outbox")
@_disk
@click.option("--cards", default=1000, show_default=True)
@_json
def outbox(folder: Path, cards: int, *, as_json: bool) -> None:
    """Durable cards a second beside the disk's own syncs, and bytes written a card."""
    from cardmint_edge.measure.outbox import measure_outbox

    _show(measure_outbox(folder, cards), as_json=as_json)


@measure.command("beep")
@_pack
@_disk
@click.option("--cards", default=100, show_default=True)
@_json
def beep(pack: Path, folder: Path, cards: int, *, as_json: bool) -> None:
    """Time from a shot of 1920 x 1280 to its beep."""
    from cardmint_edge.measure.work import measure_beep

    _show(measure_beep(folder, pack, cards), as_json=as_json)


@measure.command("start")
@_pack
@_json
def start(pack: Path, *, as_json: bool) -> None:
    """Time from the start to the first card, and memory."""
    from cardmint_edge.measure.work import measure_start

    _show(measure_start(pack), as_json=as_json)


@measure.command("drain")
@_pack
@_host
@_port
@click.option("--backlog", default=10_000, show_default=True)
@_json
def drain(pack: Path, host: str, port: int, backlog: int, *, as_json: bool) -> None:
    """How fast a backlog leaves through a broker while cards come in."""
    from cardmint_edge.measure.work import measure_drain

    _show(measure_drain(pack, host, port, backlog), as_json=as_json)


@measure.command("soak")
@_pack
@_host
@_port
@click.option("--cards", default=20_000, show_default=True)
@_json
def soak(pack: Path, host: str, port: int, cards: int, *, as_json: bool) -> None:
    """Memory and file descriptors over a long run."""
    from cardmint_edge.measure.work import measure_soak

    _show(measure_soak(pack, host, port, cards), as_json=as_json)


def _show(figures: msgspec.Struct, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(figures).decode())
        return
    for name, value in msgspec.to_builtins(figures).items():
        click.echo(f"{name.replace('_', ' '):24} {value}")
