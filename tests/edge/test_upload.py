"""Images go up after their facts: there already is done, refused is parked, away is tried again."""

import threading
from collections.abc import Callable, Iterator

import httpx
import pytest
from structlog.testing import capture_logs
from tenacity import wait_none
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import STAMP, image_of, scan_of

from cardmint_edge.adapters.cloud_http import CloudHttp
from cardmint_edge.adapters.sqlite.images import ImageCounts, ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.errors import Park, Retry
from cardmint_edge.upload import Uploader


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with quick_folder() as folder:
        opened = Outbox.open(folder / "outbox.db")
        yield opened
        opened.close()


def test_an_image_is_due_when_its_facts_have_a_receipt(outbox: Outbox) -> None:
    images = ImageTable(outbox.database)
    for number in (1, 2):
        outbox.record(scan_of(number, image=image_of(number)), STAMP)
    assert images.next() is None
    assert images.counts() == ImageCounts(waiting=2, parked=0, lost=0)
    outbox.forget(outbox.mark.stream, 1)
    assert images.next() == image_of(1).sha256
    images.uploaded(image_of(1).sha256)
    assert images.next() is None
    outbox.forget(outbox.mark.stream, 2)
    images.park(image_of(2).sha256, "refused")
    assert images.next() is None
    assert (images.unpark(), images.unpark(), images.next()) == (1, 0, image_of(2).sha256)
    images.park(image_of(2).sha256, "refused again")
    assert images.counts() == ImageCounts(waiting=0, parked=1, lost=0)


def http(answer: Callable[[httpx.Request], httpx.Response]) -> CloudHttp:
    return CloudHttp(url="http://cloud/", tenant="shop", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("status", [200, 201])
def test_an_image_is_put_under_its_content(status: int) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(405 if request.method == "HEAD" else status)

    cloud = http(answer)
    cloud.put("ab" * 32, b"jpeg")
    cloud.close()
    asked, request = seen
    assert (asked.method, asked.url) == ("HEAD", request.url)
    assert (request.method, str(request.url)) == (
        "PUT",
        f"http://cloud/api/v1/shop/images/{'ab' * 32}",
    )
    assert (request.content, request.headers["content-type"]) == (b"jpeg", "image/jpeg")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Park),
        (413, Park),
        (404, Park),
        (408, Retry),
        (409, Retry),
        (429, Retry),
        (500, Retry),
        (503, Retry),
        (302, Retry),
    ],
)
def test_a_refusal_parks_and_a_fault_is_tried_again(status: int, error: type[Exception]) -> None:
    with pytest.raises(error, match=f"answered {status}"):
        http(lambda _: httpx.Response(status)).put("ab" * 32, b"jpeg")


def test_no_cloud_is_tried_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Retry, match="refused"):
        http(answer).put("ab" * 32, b"jpeg")


class UploadEndpoint:
    """A ledger, a store and a cloud whose answers are given in advance."""

    def __init__(self, answers: list[Exception | None], due: tuple[str, ...] = ("a",)) -> None:
        self.answers = answers
        self.due = list(due)
        self.done: list[str] = []
        self.parked: list[tuple[str, str]] = []
        self.idle = threading.Event()
        self.missing = ""

    def next(self) -> str | None:
        if not self.due:
            self.idle.set()
        return self.due[0] if self.due else None

    def uploaded(self, sha256: str) -> None:
        self.due.remove(sha256)
        self.done.append(sha256)

    def park(self, sha256: str, reason: str) -> None:
        self.due.remove(sha256)
        self.parked.append((sha256, reason))

    def unpark(self) -> int:
        self.due += [sha256 for sha256, _ in self.parked]
        self.parked = []
        return 0

    def get(self, digest: str) -> bytes | None:
        return None if digest == self.missing else b"jpeg"

    def put(self, sha256: str, jpeg: bytes) -> None:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def uploader_of(shelf: UploadEndpoint) -> Uploader:
    return Uploader(ledger=shelf, store=shelf, cloud=shelf, wait=wait_none())


def test_it_is_tried_until_it_is_there_and_the_reason_is_said_once() -> None:
    shelf = UploadEndpoint([Retry("away"), Retry("away"), Retry("busy"), None])
    with capture_logs() as logs:
        uploader_of(shelf).upload("a")
    assert (shelf.done, [entry["reason"] for entry in logs]) == (["a"], ["away", "busy"])


def test_what_is_refused_or_gone_is_set_aside() -> None:
    shelf = UploadEndpoint([Park("too large")], due=("a", "b"))
    shelf.missing = "b"
    uploader = uploader_of(shelf)
    for sha256 in ("a", "b"):
        uploader.upload(sha256)
    assert shelf.parked == [("a", "too large"), ("b", "the station no longer has its bytes")]


def test_it_runs_until_it_is_stopped() -> None:
    shelf = UploadEndpoint([None, None, None], due=("a", "b"))
    uploader = uploader_of(shelf)
    thread = threading.Thread(target=uploader.run, daemon=True)
    thread.start()
    assert shelf.idle.wait(10)
    shelf.idle.clear()
    shelf.due.append("c")
    uploader.wake()
    assert shelf.idle.wait(10)
    uploader.stop()
    thread.join(10)
    assert (shelf.done, thread.is_alive()) == (["a", "b", "c"], False)


def test_what_was_set_aside_is_tried_again_at_the_next_start() -> None:
    shelf = UploadEndpoint([Park("refused"), None])
    uploader_of(shelf).upload("a")
    assert (shelf.due, shelf.parked) == ([], [("a", "refused")])
    again = uploader_of(shelf)
    thread = threading.Thread(target=again.run, daemon=True)
    thread.start()
    assert shelf.idle.wait(10)
    again.stop()
    thread.join(10)
    assert shelf.done == ["a"]


def test_paused_it_waits_and_goes_on() -> None:
    shelf = UploadEndpoint([None], due=("a",))
    uploader = uploader_of(shelf)
    uploader.pause(True)
    thread = threading.Thread(target=uploader.run, daemon=True)
    thread.start()
    assert not shelf.idle.wait(0.3)
    assert shelf.done == []
    uploader.pause(False)
    assert shelf.idle.wait(10)
    uploader.stop()
    thread.join(10)
    assert shelf.done == ["a"]


def test_the_line_is_shared() -> None:
    slept: list[float] = []
    bodies: list[bytes] = []

    def answer(request: httpx.Request) -> httpx.Response:
        bodies.append(request.read())
        return httpx.Response(201)

    transport = httpx.MockTransport(answer)
    cloud = CloudHttp(
        url="http://cloud", tenant="shop", max_kb_per_s=10, transport=transport, sleep=slept.append
    )
    cloud.put("ab" * 32, b"x" * 20_480)
    assert bodies == [b"", b"x" * 20_480]
    assert sum(slept) == pytest.approx(2.0)


def test_stopping_leaves_the_image_for_the_next_start() -> None:
    shelf = UploadEndpoint([Retry("away")] * 3)
    uploader = uploader_of(shelf)
    uploader.stop()
    uploader.upload("a")
    assert (shelf.due, shelf.parked) == (["a"], [])


def test_a_ledger_that_fails_is_said_and_tried_again() -> None:
    shelf = UploadEndpoint([])
    uploader = uploader_of(shelf)

    def fail() -> str | None:
        uploader.stop()
        raise Retry("disk")

    shelf.next = fail  # type: ignore[method-assign]
    with capture_logs() as logs:
        uploader.run()
    assert [entry["reason"] for entry in logs] == ["disk"]
