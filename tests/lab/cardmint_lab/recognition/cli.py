"""The commands `cardmint-lab recognition`: measured on labelled and on rendered photos."""

import json
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cardmint_edge.adapters.pack import Pack

FOLDER = click.Path(file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)


@click.group()
def recognition() -> None:
    """Measure recognition: evaluate on labelled photos, fit the posterior, bench."""


@recognition.command("evaluate")
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option(
    "--photos", type=FOLDER, required=True, help="Folder of labelled photos with an index.csv."
)
@click.option(
    "--baselines",
    is_flag=True,
    help="Have RapidOCR with rules, and pHash with dHash, name the photos too.",
)
@click.option("--report", type=FILE, help="A page to write, with a thumbnail of each mistake.")
@click.option("--json", "as_object", is_flag=True, help="One JSON object.")
def evaluate_photos(
    pack: Path, photos: Path, report: Path | None, *, baselines: bool, as_object: bool
) -> None:
    """Measure recognition on labelled photos, by kind."""
    from cardmint_edge.adapters.decode import read_image
    from cardmint_edge.cli import single_core_recogniser
    from cardmint_lab.recognition.baselines import ByHash, ByText
    from cardmint_lab.recognition.evaluate import evaluate, read_index, table
    from cardmint_lab.recognition.rapid_ocr import rapid_ocr
    from cardmint_lab.recognition.report import write

    opened = open_pack(pack)
    others = {}
    if baselines:
        by_text, by_hash = ByText(rapid_ocr(), opened.prints()), ByHash(opened)
        others = {
            "RapidOCR and rules": lambda one: by_text.name(read_image(one.photo.path)),
            "pHash16 and dHash16": lambda one: by_hash.name(one.scanned.recognition.rectified),
        }
    measured = evaluate(read_index(photos), single_core_recogniser(opened), others)
    if report is not None:
        write(report, measured)
    click.echo(json.dumps(measured.as_json()) if as_object else table(measured))


@recognition.command("reader")
@click.option("--pack", type=FILE, required=True, help="The pack whose printings are told apart.")
@click.option(
    "--photos",
    type=FOLDER,
    required=True,
    multiple=True,
    help="Folder of labelled photos with an index.csv; may be given again.",
)
@click.option("--models", type=FOLDER, help="Folder of another reader's model.")
@click.option("--second-look", is_flag=True, help="Read by the larger reader.")
@click.option("--each", is_flag=True, help="One line for each photo, too.")
def read_photos(
    pack: Path, photos: tuple[Path, ...], models: Path | None, *, second_look: bool, each: bool
) -> None:
    """Measure what the reader alone reads on labelled photos, and on close-ups of numbers."""
    import cv2

    from cardmint_edge.adapters.models import FOLDER as MODELS
    from cardmint_lab.recognition.evaluate import read_index
    from cardmint_lab.recognition.reader import measure, table

    cv2.setNumThreads(1)
    labelled = [photo for folder in photos for photo in read_index(folder)]
    measured = measure(labelled, open_pack(pack), models or MODELS, second_look=second_look)
    click.echo(table(measured, each=each))


@recognition.command("behind")
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option(
    "--photos", type=FOLDER, required=True, help="Folder of labelled photos with an index.csv."
)
def behind(pack: Path, photos: Path) -> None:
    """Count what becomes of cards whose set the pack lacks: each photo's set is taken out."""
    import cv2

    from cardmint_lab.recognition.behind import count_outcomes
    from cardmint_lab.recognition.evaluate import read_index

    cv2.setNumThreads(1)
    outcomes = count_outcomes(open_pack(pack), read_index(photos))
    for outcome, count in outcomes.most_common():
        click.echo(f"{count:4}  {outcome}")


@recognition.command()
@click.option("--count", type=click.IntRange(1, 100_000), default=1000, show_default=True)
def pairs(count: int) -> None:
    """Have pictures of two fictional cards recognised, over gaps and overlaps; none is accepted."""
    from cardmint_edge.catalogue import build
    from cardmint_edge.cli import single_core_recogniser
    from cardmint_lab.fictional.catalogue_files import issue
    from cardmint_lab.recognition.pairs import measure_pairs, text

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        issue(folder)
        build(folder / "cards", folder / "images", folder / "pack.sqlite", lambda _: None)
        recogniser = single_core_recogniser(open_pack(folder / "pack.sqlite"))
        click.echo(text(measure_pairs(recogniser, folder / "images", count)))


@recognition.command()
@click.option(
    "--pack",
    type=FILE,
    help="The pack to recognise by; the fictional set's, made for the purpose, if none.",
)
@click.option(
    "--images", type=FOLDER, help="Folder of the pack's scans, <card id>.jpg; needed with --pack."
)
@click.option("--frames", default=60, show_default=True, help="How many photos of each size.")
@click.option(
    "--json",
    "as_object",
    is_flag=True,
    help="One JSON object: of 1920x1280, and of 24 megapixels in `large`.",
)
def bench(pack: Path | None, images: Path | None, frames: int, *, as_object: bool) -> None:
    """Measure the whole path from a camera's frame to the committed event."""
    from cardmint_edge.catalogue import build
    from cardmint_lab.fictional.catalogue_files import issue
    from cardmint_lab.recognition.bench import all_cores, measure, table

    if (pack is None) != (images is None):
        raise click.UsageError(
            "--pack and --images go together: the frames are rendered from the pack's own scans"
        )
    with tempfile.TemporaryDirectory(prefix="cardmint-bench-") as folder:
        if pack is None or images is None:
            images, pack = Path(folder) / "images", Path(folder) / "pack.sqlite"
            issue(Path(folder))
            build(Path(folder) / "cards", images, pack, lambda line: click.echo(line, err=True))
        usual, large = measure(pack, images, frames=frames, cores=all_cores())
    click.echo(
        json.dumps(asdict(usual) | {"large": asdict(large)}) if as_object else table([usual, large])
    )


@recognition.command()
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option("--photos", type=FOLDER, multiple=True, help="Folder of labelled photos.")
@click.option("--images", type=FOLDER, help="Folder of the pack's scans, <card id>.jpg, to render.")
@click.option("--count", default=1500, show_default=True, help="How many photos to render.")
@click.option("--seed", default=1, show_default=True)
@click.option(
    "--least-width",
    default=0,
    show_default=True,
    help="Leave out scans less wide than so many pixels.",
)
@click.option("--out", type=FILE, required=True, help="File to append to, for `fit`.")
def collect(
    pack: Path,
    photos: tuple[Path, ...],
    images: Path | None,
    count: int,
    seed: int,
    least_width: int,
    out: Path,
) -> None:
    """Gather evidence of labelled and of rendered photos, by packs that know less and less."""
    import cv2

    from cardmint_lab.recognition.evaluate import read_index
    from cardmint_lab.recognition.samples import photo_samples, rendered_samples, write

    cv2.setNumThreads(1)
    opened = open_pack(pack)
    gathered = sum(write(out, photo_samples(opened, read_index(folder))) for folder in photos)
    if images is not None:
        made = rendered_samples(opened, images, count, seed, least_width=least_width)
        gathered += write(out, made)
    click.echo(f"{out}: {gathered} samples")


@recognition.command()
@click.option("--samples", type=FILE, multiple=True, required=True, help="Files of `collect`.")
def fit(samples: tuple[Path, ...]) -> None:
    """Fit the posterior's weights and print them; `targets` says what they do.

    Paste the weights into `EvidenceWeights` in `edge/cardmint_edge/domain/config.py`.
    """
    from cardmint_edge.domain.config import PolicyConfig
    from cardmint_lab.recognition import fit as fitting
    from cardmint_lab.recognition.samples import read

    gathered = [one for path in samples for one in read(path)]
    for kind, weight in asdict(fitting.fit(gathered, PolicyConfig()).weights).items():
        click.echo(f"    {kind}: float = {weight:.3f}")


@recognition.command("targets")
@click.option("--samples", type=FILE, multiple=True, required=True, help="Files of `collect`.")
def show_targets(samples: tuple[Path, ...]) -> None:
    """Print what cross-validation measures: targets, risk, reliability and mistakes.

    Weights are fitted to all files together. Of several files the targets of each are printed, too.
    """
    from cardmint_edge.domain.config import PolicyConfig
    from cardmint_lab.recognition import fit as fitting
    from cardmint_lab.recognition import risk, targets
    from cardmint_lab.recognition.samples import read

    by_file = {path: read(path) for path in samples}
    gathered = [one for found in by_file.values() for one in found]
    judged = fitting.cross_validated(gathered, PolicyConfig())
    by_part = fitting.parts(judged)
    shown = [one for part in by_part.values() for one in part]
    click.echo("\n".join(targets.text(targets.targets(shown))))
    for path, found in by_file.items() if len(by_file) > 1 else ():
        own = {id(one) for one in found}
        of_file = [one for one in shown if id(one.sample) in own]
        click.echo(f"{path}:")
        click.echo("\n".join(targets.text(targets.targets(of_file))))
    for title, part in by_part.items():
        click.echo("\n".join(risk.text(title, part)))
    for line in fitting.mistakes(shown):
        click.echo(line)


@recognition.command()
@click.option("--samples", type=FILE, multiple=True, required=True, help="Files of `collect`.")
def ablate(samples: tuple[Path, ...]) -> None:
    """Print what each kind of evidence is worth: exact and accepted without it."""
    from cardmint_edge.domain.config import PolicyConfig
    from cardmint_lab.recognition import fit as fitting
    from cardmint_lab.recognition.samples import read

    gathered = [one for path in samples for one in read(path)]
    for line in fitting.ablation(gathered, PolicyConfig()):
        click.echo(line)


@recognition.command("finder")
@click.option("--images", type=FOLDER, required=True, help="Folder of scans, <card id>.jpg.")
@click.option(
    "--models", type=FOLDER, help="Folder of the finder's model. By default the station's."
)
@click.option("--count", type=int, default=100, show_default=True, help="Cards on each ground.")
def measure_the_finder(images: Path, models: Path | None, count: int) -> None:
    """Measure on composed photos where the finder sees cards: hard grounds, hands, sleeves."""
    from cardmint_edge.adapters.models import FOLDER as OWN
    from cardmint_edge.adapters.models import CardFinder
    from cardmint_lab.recognition.finder import measure_finder
    from cardmint_lab.recognition.finder import text as table

    click.echo("\n".join(table([*measure_finder(CardFinder(models or OWN), images, count)])))


@recognition.command("speed")
@click.option("--pack", type=FILE, required=True, help="The pack to recognise by.")
@click.option("--images", type=FOLDER, required=True, help="Folder of the pack's scans.")
@click.option("--count", default=60, show_default=True, help="How many photos of each preset.")
@click.option("--seed", default=1, show_default=True)
def measure_speed(pack: Path, images: Path, count: int, seed: int) -> None:
    """Measure processor time for rendered photos whose picture is known, and unknown."""
    import cv2

    from cardmint_lab.recognition.speed import text, time_photos

    cv2.setNumThreads(1)
    click.echo("\n".join(text([*time_photos(open_pack(pack), images, count, seed)])))


@recognition.command()
@click.option("--photos", type=FOLDER, required=True, multiple=True, help="Labelled photos.")
@click.option("--write", is_flag=True, help="Write the vector into the embedding's manifest.")
def backs(photos: tuple[Path, ...], *, write: bool) -> None:
    """Learn from labelled photos what a card's back looks like, and say what is taken for one."""
    from cardmint_lab.recognition.backs import embed_photos, mean_back, measure_backs, write_back
    from cardmint_lab.recognition.evaluate import read_index

    embedded = embed_photos([photo for folder in photos for photo in read_index(folder)])
    for kind, (taken, total) in sorted(measure_backs(embedded).items()):
        click.echo(f"{kind}: {taken} of {total} taken for a back")
    if write:
        write_back(mean_back(embedded))


def open_pack(path: Path) -> "Pack":
    """Open a pack until the command ends."""
    from cardmint_edge.adapters.pack import Pack

    pack = Pack(path)
    click.get_current_context().call_on_close(pack.close)
    return pack
