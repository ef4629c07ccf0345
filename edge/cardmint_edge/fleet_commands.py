"""The commands `cardmint-edge fleet`: sign a pack or models for every station of a tenant."""

import hashlib
import time
from base64 import b64decode, b64encode
from contextlib import closing
from pathlib import Path

import click
from msgspec.structs import replace

from cardmint_contracts.control import Artifact, Manifest, encode_manifest
from cardmint_edge.errors import EdgeError, Stop

FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def fleet() -> None:
    """Sign packs and models for the stations of a tenant."""


@fleet.command("key")
@click.option(
    "--out",
    type=FILE,
    required=True,
    help="Where to write the private key; keep it off the stations.",
)
def key(out: Path) -> None:
    """Make a key, and print its public half for `recognition.signed_by`."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - 6 MB
        Ed25519PrivateKey,
    )

    private = Ed25519PrivateKey.generate()
    try:
        with out.open("xb") as file:
            out.chmod(0o600)
            file.write(b64encode(private.private_bytes_raw()) + b"\n")
    except OSError as error:
        raise Stop(f"cannot write {out}: {error.strerror}") from error
    click.echo(b64encode(private.public_key().public_bytes_raw()).decode())


@fleet.command("manifest")
@click.option("--key", "key_file", type=FILE, required=True, help="The private key.")
@click.option("--artifact", type=click.Choice(["catalogue", "models"]), required=True)
@click.option(
    "--file", type=FILE, required=True, help="The pack, or a zip of models with their manifests."
)
@click.option("--version", required=True, help="The version's name.")
@click.option("--url", required=True, help="The address from which stations fetch it.")
@click.option(
    "--serial",
    type=click.IntRange(1, 2**53),
    help="A number above that of every manifest signed before; by default the time in seconds.",
)
@click.option(
    "--replace",
    "replaces",
    is_flag=True,
    help="Stations take the pack also when it lacks cards, pictures or names that theirs has.",
)
def manifest(
    *,
    key_file: Path,
    artifact: Artifact,
    file: Path,
    version: str,
    url: str,
    serial: int | None,
    replaces: bool,
) -> None:
    """Print the signed manifest of FILE, to publish retained on the tenant's fleet topic.

    Stations take no manifest that was signed before the last one they saw. To go back to an earlier
    FILE, sign it again. What a pack holds is said on stderr.
    """
    from cryptography.hazmat.primitives.asymmetric.ed25519 import (  # noqa: PLC0415 - as above
        Ed25519PrivateKey,
    )

    try:
        private = Ed25519PrivateKey.from_private_bytes(b64decode(key_file.read_bytes()))
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
        size = file.stat().st_size
    except (OSError, ValueError) as error:
        raise Stop(f"cannot sign {file} with {key_file}: {error}") from error
    unsigned = Manifest(
        artifact=artifact,
        version=version,
        url=url,
        bytes=size,
        sha256=digest,
        signature="",
        serial=serial or int(time.time()),
    )

    def sign(text: str) -> str:
        return b64encode(private.sign(text.encode())).decode()

    signed = replace(
        unsigned,
        signature=sign(unsigned.signed()),
        serial_signature=sign(unsigned.signed_serial()),
        replace_signature=sign(unsigned.signed_replacing()) if replaces else "",
    )
    if artifact == "catalogue":
        click.echo(_held_by(file), err=True)
    click.echo(encode_manifest(signed).decode())


def _held_by(file: Path) -> str:
    """Return a line about what a pack holds, or about why stations will refuse it."""
    from cardmint_edge.adapters.pack import Pack  # noqa: PLC0415 - loads OpenCV

    try:
        with closing(Pack(file)) as pack:
            held = pack.contents()
    except EdgeError as error:
        return f"stations will refuse it: {error}"
    names = ", ".join(f"{number} {one}" for one, number in sorted(held.names.items()))
    return f"{file}: {len(held.cards)} cards, {held.pictures} pictures, names: {names}"
