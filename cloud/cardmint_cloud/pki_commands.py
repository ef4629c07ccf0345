"""`cardmint-cloud pki`: certificates by which stations and the broker know each other."""

from datetime import UTC, datetime
from pathlib import Path

import click

from cardmint_cloud.errors import StopService
from cardmint_cloud.pki import BROKER_DAYS, STATION_DAYS, Issued, PrivateAuthority
from cardmint_contracts.access import user_name
from cardmint_contracts.errors import BadTopic

LONGEST_NAME = 64
"""Characters of a certificate's common name, by X.509."""

_folder = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder of the authority. Its keys belong on no station.",
)
_anew = click.option("--anew", is_flag=True, help="Make it anew, however long it is good.")


@click.group("pki")
def pki_group() -> None:
    """A private authority for stations' certificates and the broker's (docs/broker.md)."""


@pki_group.command("make")
@_folder
def make_authority(folder: Path) -> None:
    """Make the authority in FOLDER: its own two certificates, good for ten years."""
    PrivateAuthority.make(folder, datetime.now(UTC))
    click.echo(f"{folder}: stations-ca.pem and broker-ca.pem; keep a copy of the keys elsewhere")


@pki_group.command("station")
@_folder
@_anew
@click.option(
    "--days",
    type=click.IntRange(1, 3650),
    default=STATION_DAYS,
    show_default=True,
    help="Its life.",
)
@click.argument("stations", nargs=-1, required=True, metavar="TENANT/STATION...")
def station_certificates(folder: Path, stations: tuple[str, ...], days: int, *, anew: bool) -> None:
    """Make each station's certificate where it has none, or two thirds of its life are over."""
    for station in stations:
        tenant, _, name = station.partition("/")
        try:
            user = user_name(tenant, name)
        except BadTopic as error:
            raise StopService(f"{station}: {error}; write it as TENANT/STATION") from None
        if len(user) > LONGEST_NAME:
            raise StopService(f"{user}: a certificate's name has {LONGEST_NAME} characters at most")
        authority = PrivateAuthority(folder)
        _say(authority.station(user, datetime.now(UTC), days=days, anew=anew))


@pki_group.command("broker")
@_folder
@_anew
@click.option(
    "--days", type=click.IntRange(1, 3650), default=BROKER_DAYS, show_default=True, help="Its life."
)
@click.argument("hosts", nargs=-1, required=True, metavar="HOST...")
def broker_certificate(folder: Path, hosts: tuple[str, ...], days: int, *, anew: bool) -> None:
    """Make the broker's certificate for all names and addresses by which it is reached."""
    for host in hosts:
        if not host.isascii() or not host.isprintable() or set(host) & set(" /@"):
            raise StopService(f"{host}: no name or address of a host")
    _say(PrivateAuthority(folder).broker(hosts, datetime.now(UTC), days=days, anew=anew))


@pki_group.command("list")
@_folder
def list_certificates(folder: Path) -> None:
    """List every certificate and how many days it is still good."""
    for name, days in PrivateAuthority(folder).issued(datetime.now(UTC)):
        click.echo(f"{days:6.1f} days  {name}")


def _say(issued: Issued) -> None:
    done = "made" if issued.changed else "stays"
    click.echo(f"{done}: {issued.certificate}, good until {issued.ends:%Y-%m-%d %H:%M} UTC")
