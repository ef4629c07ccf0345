"""`cardmint-edge config`: the settings in effect, and everything that is wrong with them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cardmint_contracts.settings import shown_settings
from cardmint_edge.settings import EdgeSettings, faults, load


@click.group("config")
def config() -> None:
    """The settings in effect."""


@config.command("check")
@click.option(
    "--config",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    required=True,
    help="The station's settings; the environment's CARDMINT_EDGE_* override them.",
)
@click.option("--files/--no-files", default=True, help="Whether the files it names must be there.")
def check_config(file: Path, *, files: bool) -> None:
    """Print the settings in effect, without secrets; or one line for each fault, exit code 1.

    Camera and broker are not asked: `doctor` does that.
    """
    found = faults(file, os.environ)
    loaded = None if found else load(file, os.environ)
    if loaded is not None and files:
        found = list(_file_faults(loaded))
    for fault in found:
        click.echo(f"cardmint-edge: {fault}", err=True)
    if loaded is None or found:
        sys.exit(1)
    for name, value in shown_settings(loaded):
        click.echo(f"{name} = {value}")


def _file_faults(loaded: EdgeSettings) -> Iterator[str]:
    named = {
        "recognition.pack": loaded.recognition.pack,
        "broker.ca_file": loaded.broker.ca_file,
        "broker.cert_file": loaded.broker.cert_file,
        "broker.key_file": loaded.broker.key_file,
    }
    for setting, file in named.items():
        if file is not None and not os.access(file, os.R_OK):
            yield f"{setting}: {file} cannot be read"
