"""The page for phones in a browser: photos arrive whatever the network does, and count once."""

import hashlib
import http.client
import os
import random
import re
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import closing, suppress
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import pillow_heif
import pytest
import simplejpeg
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright
from tests.edge.kit.station import AGENT, config_of
from tests.edge.kit.waiting import until

from cardmint_cloud.local.processes import free_port
from cardmint_edge.adapters.sqlite.database import Database
from cardmint_lab.faulty_proxy import FaultyProxy
from cardmint_lab.scenes import PRESETS, render

pytestmark = [pytest.mark.integration, pytest.mark.greenlets]

PHOTOS = int(os.environ.get("CARDMINT_PHOTOS", "12"))
LARGE = PHOTOS > 100
"""A run of hundreds uses photos of 12 megapixels; the short form small ones."""

PRESET = replace(PRESETS["copy_stand"], width=1200, height=900)
DROPS = 5
OUTAGE_S = 2.0 if LARGE else 0.5


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        arguments = ["--no-sandbox", "--host-resolver-rules=MAP station.lan 127.0.0.1"]
        opened = playwright.chromium.launch(executable_path=chromium, args=arguments)
        yield opened
        opened.close()


class Station:
    """A station as a process, without a camera and a broker."""

    def __init__(self, folder: Path, pack: Path) -> None:
        self.folder = folder
        self.port = free_port()
        self.log = folder / "log"
        self.config = config_of(
            folder, pack, free_port(), camera='type = "phone"', page_port=self.port
        )
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self.log.open("ab") as out:
            self._process = subprocess.Popen(
                [*AGENT, "run", "--config", str(self.config)], stdout=out, stderr=out
            )
        until(self._answers, 60)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/phone", timeout=5):
                return True
        except OSError:
            return False

    def counted(self) -> tuple[int, int]:
        """Return how many scans there are, and of how many different pictures."""
        with closing(Database.open_read_only(self.folder / "data" / "outbox.db")) as database:
            ((scans,),) = database.read("SELECT scanned FROM station")
            ((pictures,),) = database.read("SELECT count(*) FROM pictures")
        return scans, pictures

    def send(self, method: str, path: str, data: bytes = b"", **headers: str) -> tuple[int, str]:
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=data,
            headers={name.replace("_", "-"): value for name, value in headers.items()},
        )
        try:
            with urllib.request.urlopen(request, timeout=20) as response:
                return response.status, response.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()


@pytest.fixture
def station(tmp_path: Path, fictional: Path) -> Iterator[Station]:
    made = Station(tmp_path, fictional / "pack.sqlite")
    made.start()
    yield made
    made.kill()


def photos_in(folder: Path, fictional: Path, count: int, *, large: bool) -> list[Path]:
    """Take photos of fictional cards, each another one, as a phone would."""
    folder.mkdir()
    cards = [
        np.asarray(cv2.imread(str(path)), dtype=np.uint8)
        for path in sorted((fictional / "images").glob("*.jpg"))
    ]
    size = (4032, 3024) if large else (1200, 900)
    noise = np.random.default_rng(1).integers(0, 12, (size[1], size[0], 3), dtype=np.uint8)
    found = []
    for number in range(count):
        rng = np.random.default_rng(number)
        scene = render(cards[number % len(cards)], PRESET, rng).frame
        frame = cv2.resize(scene, size, interpolation=cv2.INTER_LINEAR)
        frame = cv2.add(frame, np.roll(noise, int(rng.integers(size[0])), axis=1))
        path = folder / f"IMG_{number:04}.jpg"
        path.write_bytes(simplejpeg.encode_jpeg(frame, quality=90, colorspace="BGR"))
        found.append(path)
    return found


def opened(browser: Browser, port: int, complaints: list[str]) -> Page:
    page = browser.new_context(
        viewport={"width": 390, "height": 844}, is_mobile=True, has_touch=True
    ).new_page()
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(f"http://127.0.0.1:{port}/phone")
    return page


def arrived(station: Station, photos: int) -> bool:
    """Return whether so many photos arrived: they wait or are counted."""
    folder = station.folder / "data" / "photos"
    waiting = [path for path in folder.glob("*.jpg") if path.is_file()]
    return len(waiting) + station.counted()[0] >= photos


def test_photos_count_once_while_the_network_drops(
    station: Station, browser: Browser, fictional: Path, tmp_path: Path
) -> None:
    files = photos_in(tmp_path / "phone", fictional, PHOTOS, large=LARGE)
    proxy = FaultyProxy(station.port, random.Random(1))
    complaints: list[str] = []
    page = opened(browser, proxy.port, complaints)
    began = time.monotonic()
    # A photo chosen twice counts once.
    page.locator("#gallery").set_input_files([*files, files[0]])
    for drop in range(1, DROPS + 1):
        until(partial(arrived, station, PHOTOS * drop // (DROPS + 1)), 1200)
        proxy.drop(OUTAGE_S)
    page.locator("body[data-done=true]").wait_for(timeout=1_800_000)
    seconds = time.monotonic() - began
    megabytes = sum(path.stat().st_size for path in files) / 1e6
    print(
        f"\n{PHOTOS} photos, {megabytes:.0f} MB, {DROPS} drops of {OUTAGE_S} s:"
        f" {station.counted()[0]} counted of {station.counted()[1]} pictures in {seconds:.0f} s"
    )
    assert station.counted() == (PHOTOS, PHOTOS), page.locator("#summary").inner_text()
    assert "1 chosen twice" in page.locator("#summary").inner_text()
    assert complaints == []
    # The same photos from another visit are known already.
    again = opened(browser, proxy.port, complaints)
    again.locator("#gallery").set_input_files(files[:5])
    again.locator("body[data-done=true]").wait_for()
    assert station.counted() == (PHOTOS, PHOTOS)
    left = [path.name for path in (station.folder / "data" / "photos").rglob("*.jpg")]
    assert not [name for name in left if "parked" in name]
    for one in (page, again):
        one.context.close()
    proxy.close()


def test_a_station_that_is_killed_loses_and_doubles_no_photo(
    station: Station, browser: Browser, fictional: Path, tmp_path: Path
) -> None:
    files = photos_in(tmp_path / "phone", fictional, 8, large=False)
    page = opened(browser, station.port, [])
    page.locator("#gallery").set_input_files(files)
    for scans in (2, 4, 6):
        until(partial(arrived, station, scans), 60)
        station.kill()
        station.start()
    page.locator("body[data-done=true]").wait_for(timeout=120_000)
    assert station.counted() == (8, 8)


ADD_PROBE = """() => {
  document.getElementById("probe")?.remove();
  const input = document.createElement("input");
  input.type = "file";
  input.id = "probe";
  document.body.append(input);
}"""


def test_the_digest_of_the_page_is_sha_256(
    station: Station, browser: Browser, tmp_path: Path
) -> None:
    page = opened(browser, station.port, [])
    for size in (0, 1, 55, 56, 63, 64, 65, 119, 120, 1000, (1 << 20) + 3):
        data = random.Random(size).randbytes(size)
        file = tmp_path / "bytes"
        file.write_bytes(data)
        page.evaluate(ADD_PROBE)
        page.locator("#probe").set_input_files(file)
        digest = page.evaluate("() => digestOf(document.getElementById('probe').files[0])")
        assert digest == hashlib.sha256(data).hexdigest(), size


def test_what_is_no_photo_is_refused_on_the_phone(
    station: Station, browser: Browser, tmp_path: Path
) -> None:
    archive = tmp_path / "cards.zip"
    archive.write_bytes(b"PK\x03\x04" + bytes(3000))
    empty = tmp_path / "empty.jpg"
    empty.touch()
    with (tmp_path / "large.mov").open("wb") as large:
        large.truncate(65 << 20)
    page = opened(browser, station.port, [])
    page.locator("#gallery").set_input_files([archive, empty, tmp_path / "large.mov"])
    page.locator("#summary", has_text="3 refused").wait_for()
    rows = page.locator("#photos").inner_text()
    assert "this is no photo" in rows
    assert "the file is empty" in rows
    assert "larger than 64 MB" in rows
    assert station.counted() == (0, 0)


def test_a_photo_without_a_card_and_a_broken_one_are_said(
    station: Station, browser: Browser, fictional: Path, tmp_path: Path
) -> None:
    (card,) = photos_in(tmp_path / "phone", fictional, 1, large=False)
    broken = tmp_path / "broken.jpg"
    broken.write_bytes(card.read_bytes()[:5000])
    page = opened(browser, station.port, [])
    page.locator("#gallery").set_input_files([broken, card])
    page.locator("body[data-done=true]").wait_for(timeout=60_000)
    assert "1 set aside" in page.locator("#summary").inner_text()
    assert "cut short" in page.locator("#photos").inner_text()
    assert station.counted() == (1, 1)


def test_a_photo_of_an_iphone_counts(
    station: Station, browser: Browser, fictional: Path, tmp_path: Path
) -> None:
    (card,) = photos_in(tmp_path / "phone", fictional, 1, large=False)
    heic = tmp_path / "IMG_0001.HEIC"
    pillow_heif.from_pillow(Image.open(card)).save(heic, quality=80)
    page = opened(browser, station.port, [])
    page.locator("#gallery").set_input_files(heic)
    page.locator("#photos .counted").wait_for(timeout=60_000)
    assert station.counted() == (1, 1)


def test_the_pin_is_asked_for_and_again_after_a_restart(
    station: Station, browser: Browser, fictional: Path, tmp_path: Path
) -> None:
    first, second = photos_in(tmp_path / "phone", fictional, 2, large=False)
    station.kill()
    settings = station.config.read_text()
    station.config.write_text(settings.replace("[station]", '[station]\npage_pin = "246810"'))
    station.start()
    page = browser.new_page()
    page.goto(f"http://station.lan:{station.port}/phone")
    page.get_by_label("PIN").fill("111111")
    page.get_by_role("button", name="Open").click()
    page.get_by_text("That is not the PIN.").wait_for()
    page.get_by_label("PIN").fill("246810")
    page.get_by_role("button", name="Open").click()
    page.wait_for_url("**/phone")
    page.locator("#gallery").set_input_files(first)
    page.locator("body[data-done=true]").wait_for(timeout=60_000)
    station.kill()
    station.start()
    page.locator("#gallery").set_input_files(second)
    page.locator("#pin input").fill("246810")
    page.get_by_role("button", name="Go on").click()
    page.locator("#summary", has_text="2 of 2 done").wait_for()
    page.locator("body[data-done=true]").wait_for(timeout=60_000)
    page.context.close()
    assert station.counted() == (2, 2)


def test_from_nothing_to_the_first_card(browser: Browser, fictional: Path, tmp_path: Path) -> None:
    (card,) = photos_in(tmp_path / "phone", fictional, 1, large=False)
    new = Station(tmp_path, fictional / "pack.sqlite")
    port = new.config.read_text().split("page_port = ")[1].split("\n")[0]
    new.config.unlink()
    began = time.monotonic()
    said = subprocess.run(
        [
            *(*AGENT, "setup", "--yes", "--config", str(new.config), "--tenant", "shop"),
            *("--pack", str(fictional / "pack.sqlite"), "--camera", "phone", "--no-lan"),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert said.returncode == 0, said.stdout
    # It names a port by itself where its usual one is taken on this machine.
    settings = re.sub(r"page_port = .*\n", "", new.config.read_text())
    new.config.write_text(settings.replace("[station]", f"[station]\npage_port = {port}"))
    new.start()
    try:
        page = opened(browser, new.port, [])
        page.locator("#gallery").set_input_files(card)
        page.locator("#photos .counted").wait_for(timeout=60_000)
        print(f"\nfrom nothing to the first card: {time.monotonic() - began:.1f} s")
        assert new.counted() == (1, 1)
    finally:
        new.kill()


SHA256 = "0" * 64


@pytest.mark.parametrize(
    ("path", "data", "headers", "status"),
    [
        (f"/photos/{SHA256}", b"x" * 100, {}, 400),
        (f"/photos/{SHA256}", b"x", {"Upload_Offset": "-1", "Upload_Length": "1"}, 400),
        ("/photos/zz", b"x" * 99, {"Upload_Offset": "0", "Upload_Length": "99"}, 400),
        (f"/photos/{SHA256}", b"x" * 99, {"Upload_Offset": "0", "Upload_Length": "99"}, 415),
        (f"/photos/{SHA256}", b"x", {"Upload_Offset": "0", "Upload_Length": str(2 << 30)}, 413),
        (f"/photos/{SHA256}", b"x", {"Upload_Offset": "9", "Upload_Length": "99"}, 409),
        (f"/photos/{SHA256}", bytes(2 << 20), {"Upload_Offset": "0", "Upload_Length": "9"}, 413),
    ],
    ids=["no-headers", "negative", "no-digest", "no-image", "two-gigabytes", "offset", "piece"],
)
def test_bad_uploads_have_the_right_status(
    station: Station, path: str, data: bytes, headers: dict[str, str], status: int
) -> None:
    try:
        found, body = station.send("PATCH", path, data, **headers)
    except OSError:  # it hung up before the last byte of a piece that is too large
        assert status == 413
        return
    assert found == status
    assert "detail" in body


def test_a_body_of_two_gigabytes_is_cut_off(station: Station) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", station.port, timeout=20)
    with closing(connection):
        connection.putrequest("PATCH", f"/photos/{SHA256}")
        for name, value in (("Upload-Offset", "0"), ("Upload-Length", "99")):
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(2 << 30))
        connection.endheaders()
        sent = 0
        with suppress(OSError):
            while sent < 64 << 20:
                connection.send(bytes(1 << 16))
                sent += 1 << 16
    assert sent < 32 << 20


def test_asking_for_outcomes_is_bounded(station: Station) -> None:
    status, body = station.send("POST", "/photos", f"photos={SHA256}".encode())
    assert (status, '"state":"unknown"' in body) == (200, True)
    assert station.send("POST", "/photos", b"photos=../../etc/passwd")[0] == 400
    many = ",".join([SHA256] * 600)
    assert station.send("POST", "/photos", f"photos={many}".encode())[0] == 400
