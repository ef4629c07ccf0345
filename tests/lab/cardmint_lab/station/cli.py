"""The commands `cardmint-lab station`: run one on simulated cards, and figures of this machine."""

import logging
import os
from pathlib import Path

import click
import msgspec
import structlog

from cardmint_edge.run_commands import until_done

FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, exists=True, path_type=Path)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object.")
_pack = click.option(
    "--pack", type=FILE, required=True, help="The pack to recognise by; the fictional one will do."
)
_host = click.option("--host", default="127.0.0.1", show_default=True, help="An MQTT 5 broker.")
_port = click.option("--port", default=1883, show_default=True, help="Its port.")
_disk = click.option(
    "--folder",
    type=FOLDER,
    default=Path(),
    help="A folder on the disk to measure; here by default.",
)


@click.group()
def station() -> None:
    """Run a station on simulated cards, or print figures of one on this machine."""


@station.command("run")
@click.option(
    "--config", type=FILE, required=True, help="The station's settings; its camera is not opened."
)
@click.option(
    "--images", type=FOLDER, help="Folder of scans, <card id>.jpg; the fictional cards if none."
)
@click.option(
    "--count", type=click.IntRange(1), help="How many cards come in all; they never end without it."
)
@click.option(
    "--per-minute",
    type=click.FloatRange(0, min_open=True),
    help="How many a minute; as fast as taken if none.",
)
@click.option("--preset", default="copy_stand", show_default=True, help="How good the photos are.")
@click.option("--seed", default=0, show_default=True, help="Another seed, other photos.")
@until_done
def run(
    config: Path,
    images: Path | None,
    count: int | None,
    per_minute: float | None,
    preset: str,
    seed: int,
    *,
    exit_when_done: bool,
    drain_timeout: float,
) -> None:
    """Run the real station with a simulated camera until SIGTERM or SIGINT."""
    from cardmint_edge.run_commands import run_station
    from cardmint_edge.settings import load
    from cardmint_lab.simulator import SimulatedCards

    cards = SimulatedCards(
        images=images, count=count, per_minute=per_minute, preset=preset, seed=seed
    )
    run_station(
        load(config, os.environ),
        cards.open,
        exit_when_done=exit_when_done,
        drain_timeout_s=drain_timeout,
    )


@station.command("outbox")
@_disk
@click.option("--cards", default=1000, show_default=True)
@_json
def outbox(folder: Path, cards: int, *, as_json: bool) -> None:
    """Durable cards a second beside the disk's own syncs, and bytes written a card."""
    from cardmint_lab.station.outbox import measure_outbox

    _quiet()
    _show(measure_outbox(folder, cards), as_json=as_json)


@station.command("beep")
@_pack
@_disk
@click.option("--cards", default=100, show_default=True)
@_json
def beep(pack: Path, folder: Path, cards: int, *, as_json: bool) -> None:
    """Time from a shot of 1920 x 1280 to its beep."""
    from cardmint_lab.station.work import measure_beep

    _quiet()
    _show(measure_beep(folder, pack, cards), as_json=as_json)


@station.command("start")
@_pack
@_json
def start(pack: Path, *, as_json: bool) -> None:
    """Time from the start to the first card, and memory."""
    from cardmint_lab.station.work import measure_start

    _quiet()
    _show(measure_start(pack), as_json=as_json)


@station.command("drain")
@_pack
@_host
@_port
@click.option("--backlog", default=10_000, show_default=True)
@_json
def drain(pack: Path, host: str, port: int, backlog: int, *, as_json: bool) -> None:
    """How fast a backlog leaves through a broker while cards come in."""
    from cardmint_lab.station.work import measure_drain

    _quiet()
    _show(measure_drain(pack, host, port, backlog), as_json=as_json)


@station.command("soak")
@_pack
@_host
@_port
@click.option("--cards", default=20_000, show_default=True)
@_json
def soak(pack: Path, host: str, port: int, cards: int, *, as_json: bool) -> None:
    """Memory and file descriptors over a long run."""
    from cardmint_lab.station.work import measure_soak

    _quiet()
    _show(measure_soak(pack, host, port, cards), as_json=as_json)


@station.command("photos")
@_pack
@_json
def photos(pack: Path, *, as_json: bool) -> None:
    """The most memory of a station that takes large photos of each kind."""
    from cardmint_lab.station.photos import PHOTOS, measure_photo

    _quiet()
    for case in PHOTOS:
        _show(measure_photo(pack, case), as_json=as_json)


@station.command("overwrites")
@_disk
@click.option("--seconds", default=60.0, show_default=True, help="How long files are written.")
@click.option("--slow", default=32, show_default=True, help="Files that come slowly beside it.")
@click.option("--burners", default=0, show_default=True, help="Processes that use the processor.")
@click.option("--niceness", default=0, show_default=True, help="Their niceness.")
@click.option(
    "--gap",
    type=(float, float),
    default=(0.6, 1.1),
    show_default=True,
    help="Shortest and longest time for which a picture lies complete, in seconds.",
)
@_json
def overwrites(
    folder: Path,
    seconds: float,
    slow: int,
    burners: int,
    niceness: int,
    gap: tuple[float, float],
    *,
    as_json: bool,
) -> None:
    """Pictures that are lost because their name is overwritten in a watched folder."""
    from cardmint_lab.station.overwrites import measure_overwrites

    _quiet()
    figures = measure_overwrites(
        folder, seconds=seconds, slow=slow, burners=burners, niceness=niceness, gap=gap
    )
    _show(figures, as_json=as_json)


def _quiet() -> None:
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.ERROR))


def _show(figures: msgspec.Struct, *, as_json: bool) -> None:
    if as_json:
        click.echo(msgspec.json.encode(figures).decode())
        return
    for name, value in msgspec.to_builtins(figures).items():
        click.echo(f"{name.replace('_', ' '):24} {value}")
