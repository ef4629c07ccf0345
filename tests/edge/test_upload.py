"""Upload: images follow their events; a refusal parks, an error is tried again."""

import threading
from collections.abc import Callable, Iterator
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs
from tenacity import wait_none
from tests.edge.kit.folders import quick_folder
from tests.edge.kit.scans import STAMP, image_of, scan_of

from cardmint_edge.adapters.cloud_http import CloudHttp
from cardmint_edge.adapters.sqlite.images import ImageCounts, ImageTable
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.scan_record import WaitingImage
from cardmint_edge.errors import Park, Retry
from cardmint_edge.upload import Uploader


@pytest.fixture
def outbox() -> Iterator[Outbox]:
    with quick_folder() as folder:
        opened = Outbox.open(folder / "outbox.db")
        yield opened
        opened.close()


def waiting(number: int) -> WaitingImage:
    return WaitingImage(image_of(number).sha256, str(UUID(int=number)))


def test_an_image_is_due_when_its_facts_have_a_receipt(outbox: Outbox) -> None:
    images = ImageTable(outbox.database)
    for number in (1, 2):
        outbox.record(scan_of(number, image=image_of(number)), STAMP)
    assert images.next_to_upload() is None
    assert images.counts() == ImageCounts(waiting=2, parked=0, lost=0)
    outbox.remove_covered(1, None)
    assert images.next_to_upload() == waiting(1)
    images.record_upload(image_of(1).sha256)
    assert images.next_to_upload() is None
    outbox.remove_covered(2, None)
    images.park(image_of(2).sha256, "refused")
    assert images.next_to_upload() is None
    assert (images.unpark(), images.unpark(), images.next_to_upload()) == (1, 0, waiting(2))
    images.park(image_of(2).sha256, "refused again")
    assert images.counts() == ImageCounts(waiting=0, parked=1, lost=0)


IMAGE = WaitingImage("ab" * 32, "7")


def http(answer: Callable[[httpx.Request], httpx.Response]) -> CloudHttp:
    return CloudHttp(url="http://cloud/", tenant="shop", transport=httpx.MockTransport(answer))


@pytest.mark.parametrize("status", [200, 201])
def test_an_image_is_put_under_its_content(status: int) -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return httpx.Response(405 if request.method == "HEAD" else status)

    cloud = http(answer)
    cloud.put(IMAGE, b"jpeg")
    cloud.close()
    asked, request = seen
    assert (asked.method, asked.url) == ("HEAD", request.url)
    assert (request.method, str(request.url)) == (
        "PUT",
        f"http://cloud/api/v1/shop/images/{'ab' * 32}?item=7",
    )
    assert (request.content, request.headers["content-type"]) == (b"jpeg", "image/jpeg")


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Park),
        (413, Park),
        (404, Park),
        (401, Retry),
        (403, Retry),
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
        http(lambda _: httpx.Response(status)).put(IMAGE, b"jpeg")


def test_the_stations_token_goes_with_each_request() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("authorization", ""))
        return httpx.Response(401 if len(seen) > 2 else 201)

    transport = httpx.MockTransport(answer)
    cloud = CloudHttp(url="http://cloud/", tenant="shop", token="cm_abc", transport=transport)
    cloud.put(IMAGE, b"jpeg")
    assert seen == ["Bearer cm_abc"] * 2
    with pytest.raises(Retry, match=r"set cloud.token to the token that .*add-station"):
        cloud.put(IMAGE, b"jpeg")
    cloud.close()


def test_no_cloud_is_tried_again() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        raise httpx.ConnectError("refused", request=request)

    with pytest.raises(Retry, match="refused"):
        http(answer).put(IMAGE, b"jpeg")


class UploadEndpoint:
    """The images to upload and their endpoint, with prepared answers."""

    def __init__(self, answers: list[Exception | None], due: tuple[str, ...] = ("a",)) -> None:
        self.answers = answers
        self.due = list(due)
        self.done: list[str] = []
        self.parked: list[tuple[str, str]] = []
        self.idle = threading.Event()
        self.missing = ""

    def next_to_upload(self) -> WaitingImage | None:
        if not self.due:
            self.idle.set()
        return WaitingImage(self.due[0], "") if self.due else None

    def record_upload(self, sha256: str) -> None:
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

    def put(self, image: WaitingImage, jpeg: bytes) -> None:
        answer = self.answers.pop(0)
        if answer is not None:
            raise answer


def uploader_of(endpoint: UploadEndpoint) -> Uploader:
    return Uploader(images=endpoint, store=endpoint, cloud=endpoint, wait=wait_none())


def test_it_is_tried_until_it_is_there_and_the_reason_is_said_once() -> None:
    endpoint = UploadEndpoint([Retry("away"), Retry("away"), Retry("busy"), None])
    with capture_logs() as logs:
        uploader_of(endpoint).upload(WaitingImage("a", ""))
    assert (endpoint.done, [entry["reason"] for entry in logs]) == (["a"], ["away", "busy"])


def test_what_is_refused_or_gone_is_set_aside() -> None:
    endpoint = UploadEndpoint([Park("too large")], due=("a", "b"))
    endpoint.missing = "b"
    uploader = uploader_of(endpoint)
    for sha256 in ("a", "b"):
        uploader.upload(WaitingImage(sha256, ""))
    assert endpoint.parked == [("a", "too large"), ("b", "the station no longer has this image")]


def test_it_runs_until_it_is_stopped() -> None:
    endpoint = UploadEndpoint([None, None, None], due=("a", "b"))
    uploader = uploader_of(endpoint)
    thread = threading.Thread(target=uploader.run, daemon=True)
    thread.start()
    assert endpoint.idle.wait(10)
    endpoint.idle.clear()
    endpoint.due.append("c")
    uploader.wake()
    assert endpoint.idle.wait(10)
    uploader.stop()
    thread.join(10)
    assert (endpoint.done, thread.is_alive()) == (["a", "b", "c"], False)


def test_what_was_set_aside_is_tried_again_at_the_next_start() -> None:
    endpoint = UploadEndpoint([Park("refused"), None])
    uploader_of(endpoint).upload(WaitingImage("a", ""))
    assert (endpoint.due, endpoint.parked) == ([], [("a", "refused")])
    again = uploader_of(endpoint)
    thread = threading.Thread(target=again.run, daemon=True)
    thread.start()
    assert endpoint.idle.wait(10)
    again.stop()
    thread.join(10)
    assert endpoint.done == ["a"]


def test_paused_it_waits_and_goes_on() -> None:
    endpoint = UploadEndpoint([None], due=("a",))
    uploader = uploader_of(endpoint)
    uploader.pause(True)
    thread = threading.Thread(target=uploader.run, daemon=True)
    thread.start()
    assert not endpoint.idle.wait(0.3)
    assert endpoint.done == []
    uploader.pause(False)
    assert endpoint.idle.wait(10)
    uploader.stop()
    thread.join(10)
    assert endpoint.done == ["a"]


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
    cloud.put(IMAGE, b"x" * 20_480)
    assert bodies == [b"", b"x" * 20_480]
    assert sum(slept) == pytest.approx(2.0)


def test_stopping_leaves_the_image_for_the_next_start() -> None:
    endpoint = UploadEndpoint([Retry("away")] * 3)
    uploader = uploader_of(endpoint)
    uploader.stop()
    uploader.upload(WaitingImage("a", ""))
    assert (endpoint.due, endpoint.parked) == (["a"], [])


def test_a_database_error_is_logged_and_tried_again() -> None:
    endpoint = UploadEndpoint([])
    uploader = uploader_of(endpoint)

    def fail() -> WaitingImage | None:
        uploader.stop()
        raise Retry("disk")

    endpoint.next_to_upload = fail  # type: ignore[method-assign]
    with capture_logs() as logs:
        uploader.run()
    assert [entry["reason"] for entry in logs] == ["disk"]


@pytest.mark.parametrize("proxy", ["socks://proxy:1080", "socks5://proxy:1080", "ftp://proxy"])
def test_a_proxy_that_cannot_be_used_is_one_line(
    monkeypatch: pytest.MonkeyPatch, proxy: str
) -> None:
    monkeypatch.setenv("ALL_PROXY", proxy)
    with capture_logs() as logs:
        CloudHttp(url="http://cloud/", tenant="shop").close()
    assert [entry["event"] for entry in logs] == [
        "the proxy in the environment cannot be used; trying without"
    ]
