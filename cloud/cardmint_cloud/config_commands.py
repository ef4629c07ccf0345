"""`cardmint-cloud config`: the settings in effect, and everything that is wrong with them."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from cardmint_cloud import settings
from cardmint_cloud.adapters.postgres.address import DatabaseAddress
from cardmint_cloud.errors import StopService
from cardmint_contracts.settings import shown_settings


@click.group("config")
def config_group() -> None:
    """The settings in effect."""


@config_group.command("check")
@click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file; the environment's CARDMINT_CLOUD_* override it.",
)
def check_config(config: Path | None) -> None:
    """Print the settings in effect, without secrets; or one line for each fault, exit code 1.

    Files of certificates and keys must be readable. No server is asked.
    """
    faults = settings.faults(config)
    loaded = None
    if not faults:
        loaded = settings.load(config)
        faults = list(_file_faults(loaded))
    for fault in faults:
        click.echo(f"cardmint-cloud: {fault}", err=True)
    if loaded is None or faults:
        sys.exit(1)
    for name, value in shown_settings(loaded):
        click.echo(f"{name} = {value}")


def _file_faults(loaded: settings.CloudSettings) -> Iterator[str]:
    """Yield what is wrong with addresses, keys and files that the settings name."""
    for setting in ("database", "database_direct", "database_owner"):
        address = getattr(loaded, setting)
        try:
            if address:
                DatabaseAddress.read(address, setting)
        except StopService as error:
            yield str(error)
    try:
        settings.load_keys()
    except StopService as error:
        yield str(error)
    named = {
        "broker.ca_file": loaded.broker.ca_file,
        "broker.cert_file": loaded.broker.cert_file,
        "broker.key_file": loaded.broker.key_file,
        "master_keys": loaded.master_keys,
        "web.tls_cert": loaded.web.tls_cert,
        "web.tls_key": loaded.web.tls_key,
    }
    for setting, file in named.items():
        if file and not os.access(file, os.R_OK):
            yield f"{setting}: {file} cannot be read"
