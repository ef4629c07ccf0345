"""The command line: `cardmint-cloud`."""

import asyncio
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO
from uuid import UUID

import click

from cardmint_cloud import __version__, settings
from cardmint_cloud.config_commands import config_group
from cardmint_cloud.errors import CloudError, RetryLater, StopService
from cardmint_cloud.inventory_commands import inventory_group
from cardmint_cloud.pki_commands import pki_group
from cardmint_contracts import topics
from cardmint_contracts.access import user_name
from cardmint_contracts.errors import BadTopic
from cardmint_contracts.wire import encode

_MOMENTS = (
    "%Y-%m-%d",
    "%Y-%m-%dT%H:%M",
    "%Y-%m-%dT%H:%M:%S",
    "%Y-%m-%dT%H:%M:%S%z",
    "%Y-%m-%dT%H:%M:%S.%f%z",
)


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """CardMint's service: ingest, price, inventory, reviews, dashboard."""


_config = click.option(
    "--config",
    type=click.Path(path_type=Path),
    help="Settings file; the environment's CARDMINT_CLOUD_* override it.",
)


_folder = click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    required=True,
    help="The folder of the cloud: settings, data, images, logs.",
)


@cli.command()
@_folder
@click.option("--tenant", help="Whose cards they are, for a new folder; shop when left out.")
@click.option("--lan", is_flag=True, help="Let stations and browsers of the local network in.")
@click.option(
    "--broker-port",
    type=click.IntRange(1, 65_535),
    default=1883,
    show_default=True,
    help="The port at which stations reach the broker.",
)
@click.option(
    "--restore",
    type=click.Path(dir_okay=False, exists=True, path_type=Path),
    help="A backup that a new folder begins with.",
)
def up(folder: Path, tenant: str | None, lan: bool, broker_port: int, restore: Path | None) -> None:
    """Run the whole cloud of one shop on this machine, until SIGTERM or SIGINT.

    Postgres, broker, worker and dashboard; what ends is started again.
    """
    from cardmint_cloud import one_machine

    one_machine.up(
        folder, tenant=tenant, lan=lan, broker_port=broker_port, restore=restore, say=click.echo
    )


@cli.command("add-station")
@_folder
@click.argument("name")
def add_station(folder: Path, name: str) -> None:
    """Let a station log in at the cloud of `up`, which runs; print what to enter at the station."""
    from cardmint_cloud import commands, one_machine
    from cardmint_cloud.domain.permissions import Scope

    if not (folder / one_machine.SETTINGS).exists():
        raise StopService(f"there is no cloud in {folder}; `cardmint-cloud up` makes one")
    cloud = one_machine.CloudFolder(folder)
    try:
        user_name(cloud.settings.tenant, name)
        token = commands.add_token(cloud.settings, f"station {name}", Scope.STATION)
    except BadTopic as error:
        raise StopService(str(error)) from None
    except RetryLater as error:
        raise StopService(
            f"{error}; the cloud must run: `cardmint-cloud up --folder {folder}`"
        ) from None
    user, password = cloud.users.add_station(cloud.settings.tenant, name)
    click.echo(
        "at the station, with this machine's address:\n"
        f"  cardmint-edge setup --tenant {cloud.settings.tenant} --name {name} --broker ADDRESS"
        f" --broker-user {user} --broker-password {password}"
        f" --cloud http://ADDRESS:{cloud.settings.web.port} --cloud-token {token}"
    )
    if not one_machine.serves_others(cloud.settings.web.port):
        click.echo(
            "`up` runs without --lan: only a station on this machine reaches it, at 127.0.0.1",
            err=True,
        )


@cli.command()
@_config
@click.option(
    "--role",
    type=click.Choice(["viewer", "operator", "reviewer", "admin"]),
    default="admin",
    show_default=True,
)
def invite(config: Path | None, role: str) -> None:
    """Print a link that makes one account, once, within a day: the way in when nobody has one."""
    from cardmint_cloud import commands
    from cardmint_cloud.domain.permissions import Role

    loaded = settings.load(config)
    path = commands.invite(loaded, Role(role))
    click.echo(f"{loaded.web.public_address}{path}")


@cli.command()
@_config
@click.option("--factors", is_flag=True, help="Remove the second factors, too.")
@click.argument("name")
def recover(config: Path | None, name: str, *, factors: bool) -> None:
    """Print a link by which NAME sets the password anew, once, within a day."""
    from cardmint_cloud import commands

    loaded = settings.load(config)
    path = commands.recovery_link(loaded, name, drops_factors=factors)
    click.echo(f"{loaded.web.public_address}{path}")


@cli.group("master-key")
def master_key() -> None:
    """The keys by which personal data is encrypted."""


@master_key.command("make")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def make_master_key(file: Path) -> None:
    """Write a new master key to a new FILE, which only its owner reads. Keep a copy elsewhere."""
    from cardmint_cloud.adapters.sealing import MasterKeys, write_master_keys

    if file.exists():
        raise StopService(f"{file} is there already; `master-key rotate` puts a new key before it")
    write_master_keys(file, MasterKeys.new())
    click.echo(f"{file}: one key; name it in `master_keys`, and keep a copy apart from backups")


@master_key.command("rotate")
@_config
def rotate_master_key(config: Path | None) -> None:
    """Put a new key before those of `master_keys`, and wrap the keys of persons by it.

    Earlier keys stay in the file for backups. What runs takes the new key from the file at once.
    """
    from cardmint_cloud import commands

    loaded = settings.load(config)
    wrapped = commands.rotate_master_key(loaded)
    click.echo(f"{loaded.master_keys}: a new key; {wrapped} persons' keys are wrapped by it")


@cli.group()
def audit() -> None:
    """The audit log: who did what to accounts, links, tokens and personal data."""


@audit.command("verify")
@_config
@click.option(
    "--anchors",
    type=click.Path(dir_okay=False, path_type=Path),
    help="The file of anchors, in place of `audit_anchors`.",
)
def verify_audit(config: Path | None, anchors: Path | None) -> None:
    """Check the tenant's whole log, and that the anchored heads are in it. Exit code 1 if not."""
    from cardmint_cloud import commands

    report = commands.verify_audit(settings.load(config), anchors)
    for problem in report.problems:
        click.echo(problem)
    click.echo(f"{report.entries} entries, {report.anchors} anchors, head {report.head}")
    if report.problems:
        sys.exit(1)
    click.echo(report.holds)


@audit.command("anchor")
@_config
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def anchor_audit(config: Path | None, file: Path) -> None:
    """Append the head of the tenant's log to FILE, which is best on another machine."""
    from cardmint_cloud import commands

    made = commands.anchor_audit(settings.load(config), file)
    click.echo(f"{file}: entry {made.number}, {made.hash}")


@cli.group()
def person() -> None:
    """What is kept of a person: hand it out, or erase it."""


@person.command("export")
@_config
@click.argument("name")
def export_person(config: Path | None, name: str) -> None:
    """Print what is kept of NAME as JSON."""
    from cardmint_cloud import commands

    click.echo(encode(commands.export_person(settings.load(config), name)).decode())


@person.command("erase")
@_config
@click.option("--yes", is_flag=True, help="Do not ask.")
@click.argument("name")
def erase_person(config: Path | None, name: str, *, yes: bool) -> None:
    """Erase NAME for good; print what stays."""
    from cardmint_cloud import commands

    if not yes:
        click.confirm(f"Erase {name} for good?", abort=True)
    done = commands.erase_person(settings.load(config), name)
    click.echo(f"{name} is erased; the account is called {done.name} now. What stays:")
    for line in done.stays:
        click.echo(f"- {line}")


@cli.command()
@_config
@click.option(
    "--scope",
    type=click.Choice(["read", "write", "station", "metrics"]),
    default="read",
    show_default=True,
)
@click.option("--days", type=click.IntRange(1, 3660), help="How long it is good; else for ever.")
@click.option("--per-minute", type=click.IntRange(1), help="Requests a minute; else the usual.")
@click.option(
    "--origin",
    "origins",
    multiple=True,
    help="Whose pages may use it in a browser. May be repeated.",
)
@click.option("--station", "stations", multiple=True, help="Only its cards. May be repeated.")
@click.option("--lot", "lots", multiple=True, help="Only its cards. May be repeated.")
@click.argument("name")
def token(
    config: Path | None,
    name: str,
    *,
    scope: str,
    days: int | None,
    per_minute: int | None,
    origins: tuple[str, ...],
    stations: tuple[str, ...],
    lots: tuple[str, ...],
) -> None:
    """Print a new token for the program NAME: its Authorization header is `Bearer` and this."""
    from cardmint_cloud import commands
    from cardmint_cloud.domain.permissions import Scope
    from cardmint_cloud.domain.reach import parse_reach

    click.echo(
        commands.add_token(
            settings.load(config),
            name,
            Scope(scope),
            days=days,
            per_minute=per_minute,
            origins=frozenset(origins),
            reach=parse_reach(" ".join(stations), "\n".join(lots)),
        )
    )


@cli.command()
@_config
def migrate(config: Path | None) -> None:
    """Bring the database to this version's tables."""
    from cardmint_cloud import commands

    revision = asyncio.run(commands.migrate_database(settings.load(config)))
    click.echo(f"the database has the tables of revision {revision}")


@cli.command()
@_config
def work(config: Path | None) -> None:
    """Take what stations publish, commit it, send receipts, price cards."""
    from cardmint_cloud import app

    asyncio.run(app.work(settings.load(config)))


@cli.command()
@_config
def serve(config: Path | None) -> None:
    """Serve the dashboard; on loopback only, unless it has accounts."""
    from cardmint_cloud import dashboard_app

    asyncio.run(dashboard_app.serve(settings.load(config)))


@cli.command()
@_config
@click.option(
    "--at",
    type=click.DateTime(_MOMENTS),
    help="Show the inventory as of this time (UTC unless it says).",
)
@click.option(
    "--take-margins",
    is_flag=True,
    help="First give items of version 0.1 the margins that the log gives them.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def rebuild(config: Path | None, at: datetime | None, take_margins: bool, as_json: bool) -> None:
    """Fold the log again and compare it with the inventory, bit for bit.

    Exit code 1 when they differ.
    """
    from cardmint_cloud import commands, rebuild

    set_ = settings.load(config)
    address, archive = set_.owner, Path(set_.archive)
    if at is not None:
        view = commands.run_checked(
            address,
            rebuild.snapshot_at(address, at if at.tzinfo else at.replace(tzinfo=UTC), archive),
        )
        click.echo(encode(view).decode() if as_json else "\n".join(rebuild.snapshot_lines(view)))
        return
    if take_margins:
        changed = commands.run_checked(address, rebuild.take_margins(address, archive))
        click.echo(f"{changed} items took the log's margin", err=True)
    comparison = commands.run_checked(address, rebuild.compare_with_log(address, archive))
    whole = {**asdict(comparison), "equal": comparison.equal}
    click.echo(
        encode(whole).decode() if as_json else "\n".join(rebuild.comparison_lines(comparison))
    )
    if not comparison.equal:
        sys.exit(1)


@cli.command()
@_config
@click.argument("file", type=click.Path(path_type=Path))
def backup(config: Path | None, file: Path) -> None:
    """Write the whole database to a new FILE (pg_dump's custom format) while the service runs."""
    from cardmint_cloud.adapters.postgres import backup

    backup.write_backup(settings.load(config).owner, file)
    click.echo(f"{file}: {file.stat().st_size} bytes")


@cli.command()
@_config
@click.argument("file", type=click.Path(path_type=Path))
def restore(config: Path | None, file: Path) -> None:
    """Restore a backup into an empty database, whole or not at all. `rebuild` then checks it."""
    from cardmint_cloud.adapters.postgres import backup

    backup.restore_backup(settings.load(config).owner, file)
    click.echo(
        "restored; `cardmint-cloud migrate` lets the service in, then `cardmint-cloud rebuild`"
        " compares the inventory with the log"
    )


@cli.group()
def partitions() -> None:
    """The event log's months: workers make them ahead, old ones are moved to Parquet files."""


@partitions.command("list")
@_config
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def list_partitions(config: Path | None, as_json: bool) -> None:
    """List the months of the log and where each is."""
    from cardmint_cloud import commands, log_months

    log = commands.list_months(settings.load(config))
    click.echo(encode(asdict(log)).decode() if as_json else "\n".join(log_months.month_lines(log)))


@partitions.command("make")
@_config
@click.option(
    "--ahead",
    type=click.IntRange(0, 120),
    default=2,
    show_default=True,
    help="How many months from now.",
)
def make_partitions(config: Path | None, ahead: int) -> None:
    """Make the months from this one on; workers do this every hour."""
    from cardmint_cloud import commands

    commands.make_months(settings.load(config), ahead)


@partitions.command("retire")
@_config
@click.option(
    "--keep-months",
    type=click.IntRange(1, 1200),
    required=True,
    help="How many whole months stay beside this one.",
)
@click.option(
    "--archive-stays",
    is_flag=True,
    help="The archive's disk outlives this machine; to be said where images are in a bucket.",
)
def retire_partitions(config: Path | None, keep_months: int, *, archive_stays: bool) -> None:
    """Move older months to files in the archive; each is checked before it leaves the database."""
    from cardmint_cloud import commands

    found = settings.load(config)
    done = commands.retire_months(found, keep_months, archive_stays=archive_stays)
    for one in done:
        click.echo(f"{one.month:%Y-%m}  {one.events} events are in {one.file} now")
    if not done:
        click.echo("no month is old enough")


@cli.group()
def feed() -> None:
    """The feed: what other programs are told of cards, prices, questions and stations."""


@feed.command("open")
@_config
def open_feed(config: Path | None) -> None:
    """Begin the tenant's feed with what happens from now on; print its name and newest event.

    A feed that is there goes on.
    """
    from cardmint_cloud import commands

    mark = commands.open_feed(settings.load(config))
    click.echo(f"{mark.stream}  newest {mark.numbered}")


@cli.group()
def prices() -> None:
    """Last known prices."""


@prices.command("export")
@_config
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
def export_prices(config: Path | None, file: Path) -> None:
    """Write the last known prices to FILE as JSON lines, for `cardmint-edge catalogue build`."""
    from cardmint_cloud import commands

    found = commands.last_prices(settings.load(config))
    try:
        file.write_bytes(b"".join(encode(price) + b"\n" for price in found))
    except OSError as error:
        raise StopService(f"{file}: cannot be written: {error.strerror}") from error
    click.echo(f"{file}: {len(found)} prices")


@cli.group("catalogue")
def catalogue_group() -> None:
    """The catalogue that the dashboard searches and shows, shared by all tenants."""


@catalogue_group.command("import")
@_config
@click.argument("folder", type=click.Path(file_okay=False, path_type=Path))
@click.option(
    "--replace",
    "replace_worse",
    is_flag=True,
    help="Take out the sets, printings and names that FOLDER lacks.",
)
def import_catalogue(config: Path | None, folder: Path, *, replace_worse: bool) -> None:
    """Import FOLDER, which `cardmint-edge catalogue fetch` wrote: what is new or changed."""
    from cardmint_cloud import commands

    done = commands.import_catalogue(
        settings.load(config),
        folder,
        warn=lambda line: click.echo(line, err=True),
        replace_worse=replace_worse,
    )
    click.echo(
        f"catalogue {done.now.version}: {done.now.sets} sets, {done.changed} new or changed,"
        f" {done.now.printings} printings, {done.skipped} skipped"
    )


@cli.group()
def fleet() -> None:
    """Packs, models and settings that stations should use."""


@fleet.command("publish")
@_config
@click.argument("manifest", type=click.File("rb"))
@click.option(
    "--file", type=click.Path(path_type=Path), required=True, help="The pack, or the zip of models."
)
@click.option(
    "--url",
    required=True,
    help="Where stations reach this service, such as https://cards.example.com.",
)
def publish(config: Path | None, manifest: BinaryIO, file: Path, url: str) -> None:
    """Make every station of the tenant use FILE, which MANIFEST (- for standard input) signs."""
    from cardmint_cloud import commands

    done = commands.publish_artifact(settings.load(config), manifest.read(), file, url)
    click.echo(f"{done.artifact} {done.version} is published; stations fetch {done.url}")


@fleet.command("configure")
@_config
@click.argument("station")
@click.option(
    "--max-kb-per-s",
    type=click.IntRange(0, 1_000_000),
    help="The most that images take of the line.",
)
@click.option(
    "--reserve-mb", type=click.IntRange(1, 1_000_000), help="How much of the disk stays free."
)
@click.option(
    "--pause-uploads/--resume-uploads", "uploads_paused", default=None, help="Whether images wait."
)
def configure(config: Path | None, station: str, **wanted: int | bool | None) -> None:
    """Change the desired settings of STATION; the others stay as they are."""
    from cardmint_cloud import commands

    try:
        topics.name(station)
    except BadTopic as error:
        raise StopService(str(error)) from None
    changes = {name: value for name, value in wanted.items() if value is not None}
    desired = commands.configure_station(settings.load(config), station, changes)
    click.echo(
        f"version {desired.version} is wanted of {station}; the dashboard shows when it is in use"
    )


@cli.command()
@_config
@click.option(
    "--replaces",
    "replaced",
    type=click.UUID,
    multiple=True,
    help="A database that is gone: its stations go on with this one.",
)
@click.option("--new", "renew", is_flag=True, help="For a copy that runs beside its original.")
def identity(config: Path | None, replaced: tuple[UUID, ...], *, renew: bool) -> None:
    """Print the name of this database, which receipts carry, and which databases it replaces.

    After a change, start the workers again.
    """
    from cardmint_cloud import commands

    found = commands.change_identity(settings.load(config), renew=renew, replaced=replaced)
    click.echo(found.id)
    for one in found.replaces:
        click.echo(f"replaces {one}")


@cli.command("broker-rules")
@click.argument("stations", nargs=-1, metavar="TENANT/STATION...", required=True)
@click.option(
    "--reader",
    "readers",
    multiple=True,
    metavar="TENANT/NAME",
    help="A program that only reads the tenant's feed. May be repeated.",
)
@click.option("--cloud", default="cloud", show_default=True, help="The user name of the workers.")
def broker_rules(stations: tuple[str, ...], readers: tuple[str, ...], cloud: str) -> None:
    """Print the access rules of the broker, for mosquitto's `acl_file` (docs/broker.md)."""
    from cardmint_cloud.domain.broker_rules import mosquitto_rules

    try:
        click.echo(mosquitto_rules(stations=stations, readers=readers, cloud=cloud))
    except BadTopic as error:
        raise StopService(str(error)) from None


@cli.group("dead-letters")
def dead_letters() -> None:
    """Messages and events that could not be used: list, replay, discard."""


@dead_letters.command("list")
@_config
@click.option(
    "--limit",
    type=click.IntRange(1, 100_000),
    default=100,
    show_default=True,
    help="The oldest so many.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object a line.")
def list_dead_letters(config: Path | None, limit: int, as_json: bool) -> None:
    """List the tenant's dead letters, the oldest first."""
    from cardmint_cloud import commands

    found = commands.list_dead_letters(settings.load(config), limit)
    for one in found:
        text = (
            "{id}  {last_at:%Y-%m-%d %H:%M:%S}  {station}  {reason}  {bytes} B  {times}x  {detail}"
        ).format(**one)
        click.echo(encode(one).decode() if as_json else " ".join(text.splitlines()))
    if not found and not as_json:
        click.echo("there are no dead letters")


@dead_letters.command("replay")
@_config
@click.argument("letter", type=click.IntRange(1), required=False)
@click.option("--all", "every", is_flag=True, help="Every dead letter of the tenant.")
@click.option("--reason", help="With --all: only those with this reason, as `list` shows it.")
def replay_dead_letters(
    config: Path | None, letter: int | None, reason: str | None, *, every: bool
) -> None:
    """Put a dead letter, or all, through ingest again; what still cannot be used stays."""
    from cardmint_cloud import commands

    if (letter is None) != every or (reason and not every):
        raise click.UsageError("name one LETTER, or --all, with --reason if you like")
    loaded = settings.load(config)
    if letter is not None:
        click.echo(f"applied {commands.replay_letter(loaded, letter)} events")
        return
    used, stay = commands.replay_letters(loaded, reason)
    click.echo(f"{used} dead letters are used, {stay} stay")


@dead_letters.command("discard")
@_config
@click.argument("letter", type=click.IntRange(1))
def discard_dead_letter(config: Path | None, letter: int) -> None:
    """Delete a dead letter for good."""
    from cardmint_cloud import commands

    commands.discard_letter(settings.load(config), letter)
    click.echo(f"dead letter {letter} is gone")


cli.add_command(config_group)
cli.add_command(inventory_group)
cli.add_command(pki_group)


def main() -> None:
    """Run the command line. A CloudError is printed as one line; the exit code is then 1."""
    try:
        cli()
    except CloudError as error:
        click.echo(f"cardmint-cloud: {error}", err=True)
        sys.exit(1)
