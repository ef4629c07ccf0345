"""The commands `run`, `doctor` and `completion`."""

import logging
import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, TextIO, cast

import click
import msgspec
import structlog
from click.shell_completion import get_completion_class

from cardmint_edge.adapters.log_output import LogOutput, render
from cardmint_edge.errors import Stop
from cardmint_edge.settings import EdgeSettings, load

if TYPE_CHECKING:
    from cardmint_edge.adapters.cameras.selection import OpenCamera

FILE = click.Path(dir_okay=False, path_type=Path)


STDOUT = 1


def configure_log() -> LogOutput:
    """Write the log to standard output, one JSON object a line. No call to it ever raises."""
    output = LogOutput(STDOUT)
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.WriteLoggerFactory(file=cast("TextIO", output)),
        cache_logger_on_first_use=True,
    )
    return output


def until_done(command: Callable[..., None]) -> Callable[..., None]:
    """Add the options `--exit-when-done` and `--drain-timeout`."""
    ends = click.option(
        "--exit-when-done", is_flag=True, help="End when the camera is done and everything is sent."
    )
    waits = click.option(
        "--drain-timeout",
        default=60.0,
        show_default=True,
        help="Seconds to wait for that, after the last card.",
    )
    return ends(waits(command))


@click.command()
@click.option(
    "--config", type=FILE, required=True, help="The settings, a TOML file (docs/settings-edge.md)."
)
@until_done
def run(config: Path, *, exit_when_done: bool, drain_timeout: float) -> None:
    """Run the station until SIGTERM or SIGINT."""
    from cardmint_edge.adapters.cameras.selection import camera_of  # noqa: PLC0415 - loads OpenCV

    run_station(
        load(config, os.environ),
        camera_of,
        exit_when_done=exit_when_done,
        drain_timeout_s=drain_timeout,
    )


def run_station(
    settings: EdgeSettings,
    open_camera: "OpenCamera",
    *,
    exit_when_done: bool,
    drain_timeout_s: float,
) -> None:
    """Run a station until SIGTERM or SIGINT.

    Raises:
        Stop: the station cannot start, or it ended before everything was sent.
    """
    from cardmint_edge.app import build  # noqa: PLC0415 - as above

    output = configure_log()
    supervisor = build(settings, open_camera, lambda: output.problem)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: supervisor.stop())
    drained = supervisor.run(exit_when_done=exit_when_done, drain_timeout_s=drain_timeout_s)
    if exit_when_done and not drained:
        raise Stop(
            "not everything was sent; nothing is lost, the rest is sent after the next start"
        )


@click.command()
@click.option("--config", type=FILE, required=True, help="The settings, a TOML file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a part.")
def doctor(config: Path, *, as_json: bool) -> None:
    """Check camera, disk, clock, broker, certificates, pack and models.

    The exit code is 1 when one of them is ill.
    """
    sys.exit(0 if print_checks(load(config, os.environ), as_json=as_json) else 1)


def print_checks(settings: EdgeSettings, *, as_json: bool) -> bool:
    """Check each part of a station and print what was found. Return whether none is ill."""
    from cardmint_edge.adapters.cameras.selection import camera_of  # noqa: PLC0415 - loads OpenCV
    from cardmint_edge.doctor import examine  # noqa: PLC0415 - as above

    works = True
    with _quiet_log():
        for result in examine(settings, lambda: camera_of(settings.camera, 0, b"")):
            works = works and result.health != "ill"
            if as_json:
                click.echo(msgspec.json.encode(result).decode())
                continue
            click.echo(f"{result.health:5} {result.part:20} {result.message}")
            if result.remedy:
                click.echo(f"{'':26} -> {result.remedy}")
    return works


@contextmanager
def _quiet_log() -> Iterator[None]:
    """Log nothing meanwhile: what is printed says what is wrong."""
    before = structlog.get_config()
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    try:
        yield
    finally:
        structlog.configure(**before)


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def completion(shell: str) -> None:
    """Print the completion script of SHELL: `eval "$(cardmint-edge completion bash)"`."""
    kind = get_completion_class(shell)
    root = click.get_current_context().find_root().command
    if kind is not None:
        click.echo(kind(root, {}, "cardmint-edge", "_CARDMINT_EDGE_COMPLETE").source())
