"""The command line: `cardmint-edge`."""

import json
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cardmint_edge import __version__
from cardmint_edge.errors import EdgeError
from cardmint_edge.fleet import fleet
from cardmint_edge.measure.cli import measure
from cardmint_edge.outbox_commands import outbox
from cardmint_edge.run import completion, doctor, run

if TYPE_CHECKING:
    from cardmint_edge.adapters.pack import Pack
    from cardmint_edge.domain.recognition import Recogniser


@click.group()
@click.version_option(__version__)
def cli() -> None:
    """CardMint's station: scan cards, count them durably, forward the counts."""


FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@cli.group()
def catalogue() -> None:
    """Build packs: the cards that a station knows."""


@catalogue.command("build")
@click.option("--cards", type=FOLDER, required=True, help="Folder with sets/en.json and cards/en/<set>.json.")
@click.option("--images", type=FOLDER, required=True, help="Folder of scans, <card id>.jpg.")
@click.option("--out", type=FILE, required=True, help="The pack to write.")
@click.option("--prices", type=FILE, help="Last known prices to show at the station: `cardmint-cloud prices export`.")
def catalogue_build(cards: Path, images: Path, out: Path, prices: Path | None) -> None:
    """Build a pack from a catalogue and its scans."""
    from cardmint_edge.catalogue import build

    built = build(cards, images, out, lambda line: click.echo(line, err=True), prices)
    click.echo(
        f"{out}: version {built.version}, {built.cards} cards ({built.twinned} with twins),"
        f" {built.images} images, {built.prices} prices, {built.skipped} skipped,"
        f" {built.seconds} s, {built.bytes / 1e6:.1f} MB"
    )


@catalogue.command("fictional")
@click.option("--out", type=FOLDER, required=True, help="Folder for cards/, images/ and pack.sqlite.")
def catalogue_fictional(out: Path) -> None:
    """Print the fictional game and build a pack of it: cards for a demo that belong to nobody."""
    from cardmint_edge.catalogue import build
    from cardmint_edge.fictional.issue import issue

    count = issue(out)
    built = build(out / "cards", out / "images", out / "pack.sqlite", lambda line: click.echo(line, err=True))
    click.echo(f"{out / 'pack.sqlite'}: version {built.version}, {count} cards")


@cli.command("scan")
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option("--json", "as_objects", is_flag=True, help="One JSON object a line.")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
def scan_images(pack: Path, images: tuple[Path, ...], *, as_objects: bool) -> None:
    """Recognise the card in each of IMAGES; exit code 1 when one could not be read."""
    from cardmint_edge.scan import as_json, as_line, scan

    recogniser = _recogniser(_open(pack))
    failed = False
    for scanned in scan(images, recogniser):
        click.echo(json.dumps(as_json(scanned), ensure_ascii=False) if as_objects else as_line(scanned))
        if scanned.error:
            failed = True
            click.echo(f"cardmint-edge: {scanned.error}", err=True)
    sys.exit(1 if failed else 0)


@cli.command("evaluate")
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option("--photos", type=FOLDER, required=True, help="Folder of labelled photos with an index.csv.")
@click.option("--opponents", is_flag=True, help="Have RapidOCR with rules, and pHash with dHash, name the photos too.")
@click.option("--report", type=FILE, help="A page to write, with a thumbnail of each mistake.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
def evaluate_photos(pack: Path, photos: Path, report: Path | None, *, opponents: bool, as_object: bool) -> None:
    """Measure recognition on labelled photos, by kind."""
    from cardmint_edge.adapters.decode import read_image
    from cardmint_edge.adapters.rapid_ocr import rapid_ocr
    from cardmint_edge.evaluate import evaluate, read_index, table
    from cardmint_edge.opponents import ByHash, ByText
    from cardmint_edge.report import write

    opened = _open(pack)
    others = {}
    if opponents:
        by_text, by_hash = ByText(rapid_ocr(), opened.prints()), ByHash(opened)
        others = {
            "RapidOCR and rules": lambda one: by_text.name(read_image(one.photo.path)),
            "pHash16 and dHash16": lambda one: by_hash.name(one.scanned.recognition.rectified),
        }
    measured = evaluate(read_index(photos), _recogniser(opened), others)
    if report is not None:
        write(report, measured)
    click.echo(json.dumps(measured.as_json()) if as_object else table(measured))


@cli.command()
@click.option("--pack", type=FILE, help="The pack to recognise by; the fictional set's, made for the purpose, if none.")
@click.option("--images", type=FOLDER, help="Folder of the pack's scans, <card id>.jpg; needed with --pack.")
@click.option("--frames", default=60, show_default=True, help="How many photos of each size.")
@click.option(
    "--json", "as_object", is_flag=True, help="One JSON object: of 1920x1280, and of 24 megapixels in `large`."
)
def bench(pack: Path | None, images: Path | None, frames: int, *, as_object: bool) -> None:
    """Measure the whole path from a camera's frame to the committed event."""
    import tempfile

    from cardmint_edge.bench import all_cores, measure, table
    from cardmint_edge.catalogue import build
    from cardmint_edge.fictional.issue import issue

    if (pack is None) != (images is None):
        raise click.UsageError("--pack and --images go together: the frames are rendered from the pack's own scans")
    with tempfile.TemporaryDirectory(prefix="cardmint-bench-") as folder:
        if pack is None or images is None:
            images, pack = Path(folder) / "images", Path(folder) / "pack.sqlite"
            issue(Path(folder))
            build(Path(folder) / "cards", images, pack, lambda line: click.echo(line, err=True))
        usual, large = measure(pack, images, frames=frames, cores=all_cores())
    click.echo(json.dumps(asdict(usual) | {"large": asdict(large)}) if as_object else table([usual, large]))


@cli.command()
@click.option("--pack", type=FILE, required=True, help="The pack whose scans are rendered.")
@click.option("--images", type=FOLDER, required=True, help="Folder of the pack's scans, <card id>.jpg.")
@click.option("--count", default=1500, show_default=True, help="How many photos to render.")
@click.option("--seed", default=1, show_default=True)
@click.option("--least-width", default=0, show_default=True, help="Leave out scans less wide than so many pixels.")
def calibrate(pack: Path, images: Path, count: int, seed: int, least_width: int) -> None:
    """Fit the confidence on rendered photos, half of them of strangers, and print what the policy makes of them."""
    from cardmint_edge.calibrate import fit, likeliest_strangers, mistakes, outcomes, sample, unsurest
    from cardmint_edge.domain.decide import Policy
    from cardmint_edge.evaluate import wilson

    samples = list(sample(_open(pack), images, count, seed, least_width=least_width))
    for outcome in outcomes(samples):
        click.echo(json.dumps(asdict(outcome)))
    wrong = mistakes(samples)
    low, high = wilson(len(wrong), len(samples))
    click.echo(json.dumps({"accepted wrongly": wrong, "of": len(samples), "bounds": [round(low, 5), round(high, 5)]}))
    click.echo(json.dumps({"likeliest strangers": likeliest_strangers(samples)}))
    used = Policy()
    click.echo(json.dumps({"surest of the wrongly read": unsurest(samples, used)}))
    fitted = fit(samples, used)
    for name in ("weights", "print_weights"):
        found = [round(weight, 2) for weight in getattr(fitted, name)]
        click.echo(json.dumps({name: found, "in use": getattr(used, name)}))


def _recogniser(pack: "Pack") -> "Recogniser":
    import cv2

    from cardmint_edge.recogniser import recogniser_of

    # A station shares its few cores, and the times that are printed are those of one.
    cv2.setNumThreads(1)
    return recogniser_of(pack)


def _open(path: Path) -> "Pack":
    """Open a pack until the command ends."""
    from cardmint_edge.adapters.pack import Pack

    pack = Pack(path)
    click.get_current_context().call_on_close(pack.close)
    return pack


cli.add_command(run)
for command in (outbox, doctor, completion, fleet):
    cli.add_command(command)
cli.add_command(measure)


def main() -> None:
    """Run the command line; an error that a person can mend is one line on standard error and exit code 1."""
    try:
        cli()
    except EdgeError as error:
        click.echo(f"cardmint-edge: {error}", err=True)
        sys.exit(1)
