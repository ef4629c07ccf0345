"""Rollout: a signed, complete artifact that is no worse comes into use.

Everything else is refused, and the earlier one stays.
"""

import hashlib
import io
import json
import shutil
import sqlite3
import threading
import zipfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from structlog.testing import capture_logs
from tests.edge.kit.scans import STAMP, scan_of
from tests.edge.kit.waiting import until

from cardmint_contracts.cards import Decision
from cardmint_contracts.control import Artifact, Manifest
from cardmint_contracts.wire import decode
from cardmint_edge.adapters.artifacts import ArtifactStore, allowed_hosts, artifact_folder
from cardmint_edge.adapters.image_store import ImageStore
from cardmint_edge.adapters.models import FOLDER
from cardmint_edge.adapters.pack import Pack
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.catalogue import build
from cardmint_edge.cli import cli
from cardmint_edge.domain.catalogue.pack_contents import PackContents
from cardmint_edge.domain.recognition import Frame
from cardmint_edge.errors import Stop
from cardmint_edge.recogniser import recogniser_of
from cardmint_edge.rollout import (
    LONGEST_PAUSE_S,
    WATCHED_CARDS,
    ActiveRecognition,
    RecognitionBundle,
    Rollout,
    accepted_here,
    open_installed,
    pause_after,
)


class FileServer(BaseHTTPRequestHandler):
    """Serves one file with ranges. It may cut the first answer short, or send something else."""

    content = b""
    cut = 0
    asked: list[str | None] = []  # noqa: RUF012 - emptied by the fixture
    tokens: list[str | None] = []  # noqa: RUF012 - as above
    status = 0
    elsewhere = ""
    redirections = 1 << 30
    meanwhile: Callable[[], None] | None = None

    def do_GET(self) -> None:
        asked = self.headers.get("range")
        self.asked.append(asked)
        self.tokens.append(self.headers.get("authorization"))
        if FileServer.status:
            self.send_error(FileServer.status)
            return
        if FileServer.elsewhere and FileServer.redirections:
            FileServer.redirections -= 1
            self.send_response(302)
            self.send_header("location", FileServer.elsewhere)
            self.send_header("content-length", "0")
            self.end_headers()
            return
        meanwhile, FileServer.meanwhile = FileServer.meanwhile, None
        if meanwhile is not None:
            meanwhile()
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        body = FileServer.content[start:]
        self.send_response(206 if asked else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        cut, FileServer.cut = FileServer.cut, 0
        self.wfile.write(body[:cut] if cut else body)

    def log_message(self, *_: object) -> None: ...


@pytest.fixture
def url() -> Iterator[str]:
    FileServer.content, FileServer.cut, FileServer.status = b"", 0, 0
    FileServer.elsewhere, FileServer.redirections = "", 1 << 30
    FileServer.asked.clear()
    FileServer.tokens.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), FileServer)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/file"
    server.shutdown()
    server.server_close()
    thread.join(20)


class RolloutBench:
    def __init__(self, folder: Path, fictional: Path, url: str, stack: ExitStack) -> None:
        self.folder, self.fictional, self.url = folder, fictional, url
        self.cloud_url = url
        self._stack = stack
        self.serial = 100
        made = CliRunner().invoke(cli, ["fleet", "key", "--out", str(folder / "key")])
        self.key = made.stdout.strip()
        self.artifacts = self.store()
        self.active = ActiveRecognition(self.open(None, None))
        self.said: list[str] = []
        self.samples: list[tuple[Frame, str]] = []
        self.rollout = self.make()

    def store(self, key: str | None = None, reserve_bytes: int = 0) -> ArtifactStore:
        return ArtifactStore(
            self.folder / "artifacts",
            key=self.key if key is None else key,
            hosts=allowed_hosts(self.url, []),
            token="cm_left",
            cloud_url=self.cloud_url,
            reserve_bytes=reserve_bytes,
        )

    def make(self) -> Rollout:
        return Rollout(
            active=self.active,
            artifacts=self.artifacts,
            open_=self.open,
            samples=lambda: self.samples,
            on_change=self.said.append,
            pause_s=lambda _: 0.0,
        )

    def roll_out(self, manifest: Manifest) -> bool:
        """Roll out until nothing is left to do, and return whether the artifact is in use."""
        self.rollout.post(manifest)
        while self.rollout.step() is not None:
            pass
        active = self.artifacts.index.active.get(manifest.artifact)
        return active is not None and active.sha256 == manifest.sha256

    def open(self, pack: Path | None, models: Path | None) -> RecognitionBundle:
        opened = Pack(pack or self.fictional / "pack.sqlite")
        self._stack.callback(opened.close)
        return RecognitionBundle(pack=opened, recogniser=recogniser_of(opened, models or FOLDER))

    def serve(self, content: bytes) -> Path:
        FileServer.content = content
        file = self.folder / f"served-{hashlib.sha256(content).hexdigest()[:8]}"
        file.write_bytes(content)
        return file

    def manifest(
        self,
        content: bytes,
        artifact: Artifact = "catalogue",
        version: str = "2",
        serial: int | None = None,
        *,
        replaces: bool = False,
    ) -> Manifest:
        self.serial = serial or self.serial + 1
        words = [
            "--key",
            self.folder / "key",
            "--artifact",
            artifact,
            "--file",
            self.serve(content),
            "--version",
            version,
            "--serial",
            self.serial,
            *(["--replace"] if replaces else []),
        ]
        done = CliRunner().invoke(cli, ["fleet", "manifest", *map(str, words), "--url", self.url])
        assert done.exit_code == 0, done.exception
        assert json.loads(done.stdout)["ware"] == artifact  # For stations of version 0.1.
        return decode(done.stdout.encode(), Manifest)

    def smaller(self, without: str = "") -> bytes:
        """Return another pack, without one or two of the pictures."""
        images, smaller = self.folder / "images", self.folder / "smaller.sqlite"
        shutil.copytree(self.fictional / "images", images)
        for name in {"emb-4", without}:
            (images / f"{name}.jpg").unlink(missing_ok=True)
        shutil.copy(self.fictional / "pack.sqlite", smaller)
        build(self.fictional / "cards", images, smaller, lambda _: None, replace_worse=True)
        shutil.rmtree(images)
        return smaller.read_bytes()

    def altered(self, *statements: str) -> bytes:
        """Return the pack in use, changed by SQL."""
        path = self.folder / "altered.sqlite"
        shutil.copy(self.fictional / "pack.sqlite", path)
        with closing(sqlite3.connect(path)) as pack, pack:
            for statement in statements:
                pack.execute(statement)
            counts = "SELECT (SELECT count(*) FROM cards), (SELECT count(*) FROM looks)"
            cards, images = pack.execute(counts).fetchone()
            pack.execute("UPDATE meta SET value = ? WHERE key = 'cards'", (cards,))
            pack.execute("UPDATE meta SET value = ? WHERE key = 'images'", (images,))
            pack.execute("UPDATE meta SET value = 'altered' WHERE key = 'version'")
        return path.read_bytes()

    def card(self, name: str) -> tuple[Frame, str]:
        return np.asarray(
            cv2.imread(str(self.fictional / "images" / f"{name}.jpg")), dtype=np.uint8
        ), name


@pytest.fixture
def bench(tmp_path: Path, fictional: Path, url: str) -> Iterator[RolloutBench]:
    with ExitStack() as stack, capture_logs():
        yield RolloutBench(tmp_path, fictional, url, stack)


def test_a_pack_comes_into_use_and_stays_over_a_restart(bench: RolloutBench) -> None:
    before = bench.active.version
    manifest = bench.manifest(bench.smaller())
    bench.samples = [bench.card("emb-1"), bench.card("drk-9")]
    assert bench.roll_out(manifest)
    assert bench.active.version != before
    assert bench.said == ["catalogue 2 is in use"]
    assert bench.roll_out(manifest), "the retained manifest comes at each connection"
    assert len(FileServer.asked) == 1
    again = ArtifactStore(bench.folder / "artifacts", key="")
    assert open_installed(again, bench.open).pack.version == bench.active.version
    assert bench.active.card("emb-1") is not None
    assert bench.active.search("emb") is not None
    path = again.path("catalogue")
    assert path is not None
    path.write_bytes(b"damaged since")
    assert open_installed(again, bench.open).pack.version == before


def test_a_download_goes_on_where_it_ended(bench: RolloutBench) -> None:
    content = bench.smaller()
    manifest = bench.manifest(content)
    FileServer.cut = len(content) // 2
    assert bench.roll_out(manifest)
    assert FileServer.asked[0] is None
    assert FileServer.asked[1] is not None
    assert int(FileServer.asked[1].removeprefix("bytes=").removesuffix("-")) > 0


def test_bytes_that_are_no_pack_are_refused_for_good(bench: RolloutBench) -> None:
    before = bench.active.version
    manifest = bench.manifest(b"no pack at all")
    assert not bench.roll_out(manifest)
    assert "pack" in bench.said[-1]
    asked = len(FileServer.asked)
    for again in (manifest, bench.manifest(b"no pack at all", version="3")):
        assert not bench.roll_out(again)
        assert "was refused before" in bench.said[-1]
    assert (bench.active.version, len(FileServer.asked)) == (before, asked)


def test_another_version_of_the_agent_tries_them_once_more(bench: RolloutBench) -> None:
    assert not bench.roll_out(bench.manifest(b"no pack at all"))
    assert bench.store().index.refused
    bench.artifacts.index.agent = "0.0.9"
    bench.artifacts.save()
    assert not bench.store().index.refused


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"version": "4"}, "did not sign it"),
        ({"signature": "A" * 86 + "=="}, "did not sign it"),
        ({"serial_signature": "A" * 86 + "=="}, "did not sign it"),
        ({"serial": 999}, "did not sign it"),
        ({"serial": 101, "serial_signature": ""}, "did not sign it"),
        ({"url": "http://10.0.0.1/private"}, "no host that this station fetches from"),
        ({"url": "http://127.0.0.1:5432/"}, "no host that this station fetches from"),
        ({"url": "http://["}, "no host that this station fetches from"),
        ({"url": "http://a:1@127.0.0.1:99999/"}, "no host that this station fetches from"),
    ],
)
def test_a_wrong_manifest_is_refused_unfetched_and_the_right_one_is_taken(
    bench: RolloutBench, change: dict[str, object], says: str
) -> None:
    manifest = bench.manifest(bench.smaller())
    wrong = Manifest(**(_fields(manifest) | change))  # type: ignore[arg-type]
    assert not bench.roll_out(wrong)
    assert says in bench.said[-1]
    assert FileServer.asked == []
    assert bench.roll_out(manifest)


def test_a_key_that_is_set_later_takes_the_same_manifest(bench: RolloutBench) -> None:
    manifest = bench.manifest(bench.smaller())
    bench.artifacts = bench.store(key="")
    bench.rollout = bench.make()
    assert not bench.roll_out(manifest)
    assert "names no key" in bench.said[-1]
    bench.artifacts = bench.store()
    bench.rollout = bench.make()
    assert bench.roll_out(manifest)


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        (404, "answered 404"),
        (429, "answered 429"),
        (416, "answered 416"),
        (503, "answered 503"),
        ("content", "does not match its manifest"),
        ("longer", "more than"),
        ("away", "ConnectError"),
        ("full", "no room"),
        ("redirection", "no host that this station fetches from"),
        ("loop", "redirects more than"),
    ],
)
def test_what_may_pass_is_tried_again_and_never_a_veto(
    bench: RolloutBench, fault: int | str, says: str
) -> None:
    content = bench.smaller()
    manifest = bench.manifest(content)
    if isinstance(fault, int):
        FileServer.status = fault
    elif fault == "content":
        FileServer.content = b"x" * len(content)
    elif fault == "longer":
        FileServer.content = content + b"x"
    elif fault == "redirection":
        FileServer.elsewhere = "http://10.0.0.1/"
    elif fault == "loop":
        FileServer.elsewhere = bench.url
    elif fault == "full":
        bench.artifacts = bench.store(reserve_bytes=1 << 62)
        bench.rollout = bench.make()
    elif fault == "away":
        manifest = Manifest(**(_fields(manifest) | {"url": "http://127.0.0.1:1/"}))  # type: ignore[arg-type]
        bench.artifacts._hosts = allowed_hosts("http://127.0.0.1:1", [])  # noqa: SLF001 - another setting
    bench.rollout.post(manifest)
    for _ in range(3):
        assert bench.rollout.step() == 0.0
    assert bench.said == [said for said in bench.said if says in said]
    assert len(bench.said) == 1, "it is said once"
    FileServer.content, FileServer.status, FileServer.elsewhere = content, 0, ""
    bench.artifacts = bench.store()
    bench.rollout = bench.make()
    assert bench.roll_out(Manifest(**(_fields(manifest) | {"url": bench.url})))  # type: ignore[arg-type]


def test_pauses_grow() -> None:
    assert [2.0**n / 2 <= pause_after(n) <= 2.0**n for n in range(1, 12)] == [True] * 11
    assert pause_after(100) <= LONGEST_PAUSE_S


def test_a_redirection_to_an_allowed_host_is_followed(bench: RolloutBench) -> None:
    FileServer.elsewhere, FileServer.redirections = bench.url, 2
    assert bench.roll_out(bench.manifest(bench.smaller()))


def test_the_token_goes_to_the_cloud_and_to_no_other_host(bench: RolloutBench) -> None:
    assert bench.roll_out(bench.manifest(bench.smaller()))
    assert set(FileServer.tokens) == {"Bearer cm_left"}
    FileServer.tokens.clear()
    bench.cloud_url = "https://cards.example.com/"
    bench.artifacts = bench.store()
    bench.rollout = bench.make()
    assert bench.roll_out(bench.manifest(bench.smaller(without="emb-2"), version="2"))
    assert set(FileServer.tokens) == {None}


def test_versions_only_rise_unless_a_rollback_is_signed(bench: RolloutBench) -> None:
    first_content, second_content = bench.smaller(), bench.smaller(without="emb-2")
    first = bench.manifest(first_content, version="1")
    second = bench.manifest(second_content, version="2")
    bench.serve(first_content)
    assert bench.roll_out(first)
    bench.serve(second_content)
    assert bench.roll_out(second)
    bench.serve(first_content)
    assert not bench.roll_out(first)
    assert "signed before the last one" in bench.said[-1]
    bare = Manifest(**(_fields(first) | {"serial": None, "serial_signature": ""}))  # type: ignore[arg-type]
    assert not bench.roll_out(bare)
    assert "serial none" in bench.said[-1]
    bench.artifacts = bench.store()
    bench.rollout = bench.make()
    assert not bench.roll_out(first), "also after a restart"
    assert bench.roll_out(bench.manifest(first_content, version="1"))


def test_manifests_of_the_first_version_are_taken_but_not_replayed(bench: RolloutBench) -> None:
    def bare(content: bytes) -> Manifest:
        fields = _fields(bench.manifest(content)) | {"serial": None, "serial_signature": ""}
        return Manifest(**fields)  # type: ignore[arg-type]

    first_content, second_content = bench.smaller(), bench.smaller(without="emb-2")
    first = bare(first_content)
    assert bench.roll_out(first)
    assert bench.roll_out(bare(second_content))
    assert not bench.roll_out(first)
    assert "was replaced" in bench.said[-1]


def test_a_newer_manifest_interrupts_a_wait_and_a_download(bench: RolloutBench) -> None:
    FileServer.status = 404
    old = bench.manifest(bench.smaller(without="emb-2"), version="1")
    models = bench.manifest(zipped(FOLDER), artifact="models")
    content = bench.smaller()
    new = bench.manifest(content, version="2")
    bench.rollout = Rollout(
        active=bench.active,
        artifacts=bench.artifacts,
        open_=bench.open,
        samples=list,
        on_change=bench.said.append,
        pause_s=lambda _: 1e6,
        clock=lambda: 0.0,
    )
    bench.rollout.post(old)
    bench.rollout.post(models)
    while bench.rollout.step() == 0.0:
        pass
    assert bench.rollout.step() == 1e6
    FileServer.status = 0
    bench.rollout.post(new)
    assert bench.rollout.step() == 0.0
    assert bench.said[-1] == "catalogue 2 is in use"
    newest = bench.manifest(bench.smaller(without="emb-2"), version="3")
    while_fetching = bench.manifest(content, version="2b")
    FileServer.meanwhile = lambda: bench.rollout.post(while_fetching)
    bench.rollout.post(newest)
    bench.rollout.step()
    assert bench.said[-1] == "catalogue 2 is in use"
    assert bench.active.version == bench.open(bench.artifacts.path("catalogue"), None).pack.version


def test_hosts_with_and_without_a_port() -> None:
    hosts = allowed_hosts("https://Cards.example.com/base", ["cdn.example.com", "10.0.0.5:8443"])
    assert hosts == {
        ("cards.example.com", 443),
        ("cdn.example.com", 80),
        ("cdn.example.com", 443),
        ("10.0.0.5", 8443),
    }
    assert allowed_hosts("", []) == set()


def test_a_file_that_was_damaged_on_the_disk_is_fetched_again(bench: RolloutBench) -> None:
    content = bench.smaller()
    manifest = bench.manifest(content)
    name = f"catalogue-{manifest.sha256[:16]}.sqlite"
    (bench.folder / "artifacts" / name).write_bytes(b"damaged")
    (bench.folder / "artifacts" / "catalogue-0.sqlite.part").write_bytes(b"of another")
    assert bench.roll_out(manifest)
    assert not (bench.folder / "artifacts" / "catalogue-0.sqlite.part").exists()


def test_an_artifact_that_makes_the_agent_fail_is_refused(bench: RolloutBench) -> None:
    def fail() -> list[tuple[Frame, str]]:
        raise ZeroDivisionError

    bench.rollout = Rollout(
        active=bench.active,
        artifacts=bench.artifacts,
        open_=bench.open,
        samples=fail,
        on_change=bench.said.append,
        pause_s=lambda _: 0.0,
    )
    assert not bench.roll_out(bench.manifest(bench.smaller()))
    assert "makes the agent fail: ZeroDivisionError" in bench.said[-1]


def test_an_index_that_cannot_be_written(bench: RolloutBench) -> None:
    """The disk is full: nothing is switched, and it is tried again."""
    before = bench.active.version
    manifest = bench.manifest(bench.smaller())
    index = bench.folder / "artifacts" / "shelf.json"
    index.mkdir()
    bench.rollout.post(manifest)
    assert bench.rollout.step() == 0.0
    assert "cannot write" in bench.said[-1]
    assert bench.active.version == before
    index.rmdir()
    assert bench.roll_out(manifest)


def _fields(manifest: Manifest) -> dict[str, object]:
    return {field: getattr(manifest, field) for field in manifest.__struct_fields__}


def test_a_pack_that_does_not_know_what_was_accepted_here_is_refused(bench: RolloutBench) -> None:
    before = bench.active.version
    manifest = bench.manifest(bench.smaller(without="drk-9"))
    plain = np.full((880, 630, 3), 90, dtype=np.uint8)
    bench.samples = [(plain, "drk-9"), (plain, "emb-1")]
    assert not bench.roll_out(manifest)
    assert "0 of 2 cards" in bench.said[-1]
    bench.samples = [(bench.card("emb-2")[0], "emb-1")]
    other = bench.manifest(bench.smaller(), version="3")
    assert not bench.roll_out(other)
    assert "accepts emb-2" in bench.said[-1]
    assert bench.active.version == before


FEWER = [
    (
        ("DELETE FROM looks WHERE card_id NOT LIKE 'emb-%'",
         "DELETE FROM cards WHERE id NOT LIKE 'emb-%'"),
        "CARDS of 112 cards, CARDS of 112 pictures, CARDS of 112 names in en",
    ),
    (
        ("DELETE FROM looks WHERE card_id LIKE 'emb-%'",),
        "EMB of 112 pictures",
    ),
    (
        ("UPDATE cards SET names = json_object('fr', name)",),
        "112 of 112 names in en",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("statements", "lacks"), FEWER, ids=["cards", "pictures", "languages"])
def test_a_pack_with_far_less_is_used_only_when_its_publisher_says_so(
    bench: RolloutBench, statements: tuple[str, ...], lacks: str
) -> None:
    before = bench.active.contents()
    emb = sum(card_id.startswith("emb-") for card_id in before.cards)
    lacks = lacks.replace("CARDS", str(112 - emb)).replace("EMB", str(emb))
    content = bench.altered(*statements)
    assert not bench.roll_out(bench.manifest(content))
    assert bench.said[-1].startswith(
        f"catalogue 2 is refused: it lacks {lacks} of the pack in use: sign it with"
    )
    assert bench.active.contents() == before
    replacing = bench.manifest(content, replaces=True)
    forged = Manifest(**(_fields(replacing) | {"replace_signature": replacing.signature}))  # type: ignore[arg-type]
    assert not bench.roll_out(forged)
    assert "did not sign it" in bench.said[-1]
    assert bench.roll_out(replacing)
    assert bench.active.version == "altered"


def test_a_pack_that_lacks_a_card_that_was_accepted_here_is_refused(bench: RolloutBench) -> None:
    bench.samples = [bench.card("emb-1"), bench.card("drk-9")]
    content = bench.altered(
        "DELETE FROM looks WHERE card_id = 'drk-9'", "DELETE FROM cards WHERE id = 'drk-9'"
    )
    assert not bench.roll_out(bench.manifest(content))
    assert "it lacks drk-9, which was accepted here" in bench.said[-1]
    assert bench.roll_out(bench.manifest(content, replaces=True))
    lacking = bench.altered(
        "DELETE FROM looks WHERE card_id IN ('drk-9', 'drk-8')",
        "DELETE FROM cards WHERE id IN ('drk-9', 'drk-8')",
    )
    assert bench.roll_out(bench.manifest(lacking)), "the pack in use lacks it, too"


def test_a_pack_that_fails_when_it_may_replace_is_refused_once(bench: RolloutBench) -> None:
    manifest = bench.manifest(b"no pack at all", replaces=True)
    assert not bench.roll_out(manifest)
    asked = len(FileServer.asked)
    assert not bench.roll_out(manifest)
    assert "was refused before" in bench.said[-1]
    assert len(FileServer.asked) == asked


def test_a_pack_in_use_that_was_damaged_refuses_no_other(
    bench: RolloutBench, tmp_path: Path
) -> None:
    damaged = tmp_path / "damaged.sqlite"
    shutil.copy(bench.fictional / "pack.sqlite", damaged)
    bench.active.use(bench.open(damaged, None))
    with closing(sqlite3.connect(damaged)) as pack, pack:
        pack.execute("DROP TABLE cards")
    assert bench.active.contents() == PackContents()


def test_signing_says_what_a_pack_holds(bench: RolloutBench) -> None:
    words = ["fleet", "manifest", "--key", bench.folder / "key", "--artifact", "catalogue"]
    words += ["--version", "2", "--url", bench.url, "--file"]
    pack, none = bench.fictional / "pack.sqlite", bench.serve(b"no pack at all")
    said = [CliRunner().invoke(cli, list(map(str, [*words, one]))).stderr for one in (pack, none)]
    assert said[0] == f"{pack}: 112 cards, 112 pictures, names: 112 en\n"
    assert said[1].startswith(f"stations will refuse it: {none}: not a pack")


def test_more_questions_than_before_give_it_back(bench: RolloutBench) -> None:
    before = bench.active.version
    for _ in range(50):
        bench.rollout.card_counted(Decision.ACCEPT)
    manifest = bench.manifest(bench.smaller())
    assert bench.roll_out(manifest)
    for number in range(WATCHED_CARDS):
        bench.rollout.card_counted(Decision.REVIEW if number % 2 else Decision.ACCEPT)
    assert bench.active.version == before
    assert "rolled back: 50% of the cards are asked about, 0% were before" in bench.said[-1]
    assert not bench.roll_out(manifest)
    assert bench.artifacts.path("catalogue") is None


def test_as_many_questions_as_before_keep_it(bench: RolloutBench) -> None:
    for number in range(50):
        bench.rollout.card_counted(Decision.REVIEW if number % 2 else Decision.ACCEPT)
    assert bench.roll_out(bench.manifest(bench.smaller()))
    after = bench.active.version
    for number in range(2 * WATCHED_CARDS):
        bench.rollout.card_counted(Decision.REVIEW if number % 2 else Decision.ACCEPT)
    assert bench.active.version == after


def zipped(folder: Path, *, damage: bool = False, inside: str = "") -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as file:
        for path in sorted(folder.glob("*.*")):
            if path.suffix in {".json", ".tflite"}:
                content = path.read_bytes()
                file.writestr(
                    path.name,
                    content[:-9] + b"damaged!!" if damage and path.suffix == ".tflite" else content,
                )
        if inside:
            file.writestr(inside, b"x")
    return packed.getvalue()


def test_models_come_into_use(bench: RolloutBench) -> None:
    bench.samples = [bench.card("emb-1")]
    assert bench.roll_out(bench.manifest(zipped(FOLDER), artifact="models"))
    path = bench.artifacts.path("models")
    assert path is not None
    assert (path / "reader.json").exists()
    assert bench.artifacts.version("models") == "2"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (lambda: zipped(FOLDER, damage=True), "cannot be used"),
        (lambda: zipped(FOLDER, inside="../evil.json"), "only models"),
        (lambda: zipped(FOLDER, inside="run.sh"), "only models"),
        (lambda: b"no zip", "not a zip of models"),
    ],
)
def test_models_that_are_none(bench: RolloutBench, content: object, says: str) -> None:
    assert callable(content)
    bench.samples = [bench.card("emb-1")]
    assert not bench.roll_out(bench.manifest(content(), artifact="models"))
    assert says in bench.said[-1]
    assert not (bench.folder / "evil.json").exists()


def test_it_runs_until_it_is_stopped(bench: RolloutBench) -> None:
    thread = threading.Thread(target=bench.rollout.run, daemon=True)
    thread.start()
    bench.rollout.post(bench.manifest(bench.smaller()))
    until(lambda: bench.said)
    FileServer.status = 503
    bench.rollout.post(bench.manifest(bench.smaller(without="emb-2"), version="3"))
    until(lambda: len(FileServer.asked) > 3)
    bench.rollout.stop()
    thread.join(20)
    assert not thread.is_alive()
    assert len(bench.said) == 2
    assert "is not here yet, and tried again" in bench.said[1]


def test_samples_are_what_was_accepted_here(tmp_path: Path, fictional: Path) -> None:
    outbox, store = Outbox.open(tmp_path / "outbox.db"), ImageStore(tmp_path / "images")
    picture = np.asarray(cv2.imread(str(fictional / "images" / "emb-1.jpg")), dtype=np.uint8)
    image = store.put(picture)
    for number in (1, 2, 3):
        outbox.record(scan_of(number, image=image if number != 2 else None), STAMP)
    outbox.withdraw(scan_of(3).scan, "station", STAMP)
    (sample,) = accepted_here(outbox.recent_scans(9), store.get)
    assert sample[1] == "set1-2"
    assert list(accepted_here(outbox.recent_scans(9), lambda _: None)) == []
    outbox.close()


def test_keys_and_files_that_are_none(tmp_path: Path) -> None:
    key = tmp_path / "key"
    CliRunner().invoke(cli, ["fleet", "key", "--out", str(key)])
    assert key.stat().st_mode & 0o077 == 0
    again = CliRunner().invoke(cli, ["fleet", "key", "--out", str(key)])
    assert isinstance(again.exception, Stop), "a key is never overwritten"
    words = ["--key", str(key), "--artifact", "catalogue", "--version", "1", "--url", "http://x"]
    assert "cannot sign" in str(
        CliRunner()
        .invoke(cli, ["fleet", "manifest", *words, "--file", str(tmp_path / "none")])
        .exception
    )
    (tmp_path / "artifacts").touch()
    with pytest.raises(Stop, match="data folder"):
        ArtifactStore(tmp_path / "artifacts", key="")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "shelf.json").write_text("{")
    assert ArtifactStore(tmp_path / "other", key="").path("models") is None


def test_the_artifacts_of_the_first_version_are_kept(tmp_path: Path) -> None:
    assert artifact_folder(tmp_path) == tmp_path / "artifacts"
    (tmp_path / "wares").mkdir()
    (tmp_path / "wares" / "shelf.json").write_bytes(b"{}")
    assert (artifact_folder(tmp_path) / "shelf.json").exists()
    (tmp_path / "wares").mkdir()
    assert (artifact_folder(tmp_path) / "shelf.json").exists(), "a folder that is there stays"
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "wares").mkdir()
    (tmp_path / "other" / "artifacts").symlink_to(tmp_path / "nowhere")
    with pytest.raises(Stop, match="cannot rename"):
        artifact_folder(tmp_path / "other")
