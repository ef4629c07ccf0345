"""The command line of the laboratory: `cardmint-lab`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardmint_cloud.errors import CloudError
from cardmint_edge.errors import EdgeError
from cardmint_lab.cloud.cli import cloud
from cardmint_lab.recognition.cli import recognition
from cardmint_lab.stand_ins.cli import catalogue_stand_in, stand_ins
from cardmint_lab.station.cli import station

if TYPE_CHECKING:
    from cardmint_cloud.local.broker import BrokerKind


@click.group()
def cli() -> None:
    """CardMint's laboratory: measure, evaluate, and run the whole system against stand-ins."""


@cli.command()
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder to write.",
)
def fictional(out: Path) -> None:
    """Print the fictional game into OUT/cards and OUT/images, and build OUT/pack.sqlite of it."""
    from cardmint_edge.catalogue import build
    from cardmint_lab.fictional.catalogue_files import issue

    count = issue(out)
    built = build(
        out / "cards", out / "images", out / "pack.sqlite", lambda line: click.echo(line, err=True)
    )
    click.echo(f"{out / 'pack.sqlite'}: version {built.version}, {count} cards")


@cli.command()
@click.option(
    "--cards",
    type=click.IntRange(1, 100_000),
    default=200,
    show_default=True,
    help="How many to scan.",
)
@click.option("--folder", type=click.Path(path_type=Path), default=Path(".demo"), show_default=True)
@click.option(
    "--exit",
    "leave",
    is_flag=True,
    help="End when the cards are done; the exit code says whether all is well.",
)
def demo(cards: int, folder: Path, leave: bool) -> None:
    """Run the whole system here: two stations, an outage in the middle, every card counted once."""
    from cardmint_lab import demo as demonstration

    if not demonstration.run(folder, cards, leave=leave, say=click.echo):
        sys.exit(1)


@cli.group()
def conformance() -> None:
    """Check any deployment against what the documentation promises."""


@conformance.command()
@click.option("--host", required=True)
@click.option("--port", type=click.IntRange(1, 65_535), default=8883, show_default=True)
@click.option("--tls/--no-tls", default=True, show_default=True)
@click.option("--tenant", required=True)
@click.option("--reader", required=True, help="The reader's name, without the tenant.")
@click.option(
    "--password", envvar="CARDMINT_READER_PASSWORD", default="", help="The reader's password."
)
@click.option("--wait-s", type=click.FloatRange(0.1, 60), default=5.0, show_default=True)
def subscriber(
    *, host: str, port: int, tls: bool, tenant: str, reader: str, password: str, wait_s: float
) -> None:
    """Follow a feed as a program does, and try what it must not do. Nothing is changed.

    Exit code 1 when a promise is not met.
    """
    from cardmint_contracts.access import user_name
    from cardmint_contracts.errors import BadTopic
    from cardmint_lab.conformance import Subscriber, run

    try:
        user_name(tenant, reader)
    except BadTopic as error:
        raise click.UsageError(str(error)) from None
    who = Subscriber(
        host=host,
        port=port,
        tls=tls,
        tenant=tenant,
        reader=reader,
        password=password,
        wait_s=wait_s,
    )
    if not run(who, click.echo):
        sys.exit(1)


@cli.command()
@click.option("--events", type=click.IntRange(10, 1_000_000), default=50_000, show_default=True)
@click.option("--stations", type=click.IntRange(1, 100), default=10, show_default=True)
@click.option("--batch", type=click.IntRange(1, 1000), default=20, show_default=True)
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=120.0,
    show_default=True,
    help="How long parts fail.",
)
@click.option("--seed", type=int, help="Draw the same faults again; at random otherwise.")
@click.option(
    "--broker",
    "kind",
    type=click.Choice(["mosquitto", "iotcore"]),
    default="mosquitto",
    show_default=True,
)
def chaos(
    *, events: int, stations: int, batch: int, seconds: float, seed: int | None, kind: "BrokerKind"
) -> None:
    """Send events while everything fails at random.

    Exit code 1 when anything is lost, doubled or out of order.
    """
    import random

    from cardmint_lab.chaos import run

    chosen = random.SystemRandom().getrandbits(32) if seed is None else seed
    outcome = run(
        events=events,
        stations=stations,
        batch=batch,
        faults_s=seconds,
        seed=chosen,
        kind=kind,
        say=click.echo,
    )
    click.echo(
        f"{outcome.events} events from {stations} stations in {outcome.seconds:.0f} s through"
        f" {outcome.faults.total()} faults ({outcome.sent} sent, {outcome.connects} connections,"
        f" {kind}), seed {chosen}"
    )
    click.echo(
        "\n".join(outcome.wrong)
        or "the log is what was sent, in order, and the inventory is what the log says"
    )
    sys.exit(bool(outcome.wrong))


@cli.command()
@click.option(
    "--seconds",
    type=click.FloatRange(1, 3600),
    default=120.0,
    show_default=True,
    help="How long everything goes wrong.",
)
@click.option("--pace", type=click.FloatRange(0.1, 100), default=5.0, show_default=True)
@click.option("--seed", type=int, help="Draw the same faults again; at random otherwise.")
def copies(*, seconds: float, pace: float, seed: int | None) -> None:
    """Clone and restore disks and the database, move clocks and forge messages while boxes count.

    Exit code 1 when a card is lost without a line of the ledger, or counted twice.
    """
    import random

    from cardmint_lab.copies.run import run

    chosen = random.SystemRandom().getrandbits(32) if seed is None else seed
    outcome = run(faults_s=seconds, pace=pace, seed=chosen, say=click.echo)
    for name, times in sorted(outcome.faults.items()):
        click.echo(f"{times:5}  {name}")
    found = outcome.verdict
    click.echo(f"{outcome.boxes} boxes in {outcome.seconds:.0f} s, seed {chosen}:")
    click.echo(f"{found.beeped:5}  cards beeped, {found.counted} of them counted once")
    click.echo(f"{found.lost_with_disk:5}  gone with the only disk that knew them")
    click.echo(
        f"{found.in_ledger:5}  missing after a restored database; the ledger says that"
        f" {found.ledger} events are"
    )
    click.echo(f"{found.opened:5}  new streams, {found.twice} events twice in the log")
    click.echo(f"{outcome.forged:5}  forged messages, {found.forged} cards under stolen logins")
    click.echo("\n".join(found.wrong) or "no card is lost without a reason, none is counted twice")
    sys.exit(bool(found.wrong))


@cli.command()
@click.option("--pack", type=click.Path(dir_okay=False, path_type=Path), required=True)
def bounds(*, pack: Path) -> None:
    """Send hostile input to worker, dashboard and station, and print the most memory of each.

    Exit code 1 when one takes more than 250 MB or stops working.
    """
    from cardmint_lab.bounds import run
    from cardmint_lab.folders import temporary_folder

    with temporary_folder() as folder:
        found = run(pack, folder, click.echo)
    sys.exit(not all(bound.kept for bound in found))


for command in (station, cloud, recognition, stand_ins, catalogue_stand_in):
    cli.add_command(command)


def main() -> None:
    """Run the command line. An error for people is printed as one line; the exit code is then 1."""
    try:
        cli()
    except (CloudError, EdgeError) as error:
        click.echo(f"cardmint-lab: {error}", err=True)
        sys.exit(1)
