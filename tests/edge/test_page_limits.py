"""The page among strangers: bounded connections, bounded tries, and the right status."""

import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from litestar.testing import TestClient
from tests.edge.kit.page import PageBench, open_page_bench
from tests.edge.kit.tasks import task_of

from cardmint_edge.page import connections
from cardmint_edge.page.connections import MAX_OF_ADDRESS, LimitedConnection, max_connections
from cardmint_edge.page.guard import AccessControl
from cardmint_edge.page.pin_tries import (
    ADDRESSES,
    FIRST_PAUSE_S,
    FREE_TRIES,
    LONGEST_PAUSE_S,
    PinTries,
)
from cardmint_edge.page.server import PageServer

BASE = "http://127.0.0.1:8080"


@contextmanager
def serving(*, request_s: float) -> Iterator[PageServer]:
    with open_page_bench() as bench:
        server = PageServer("127.0.0.1", 0, request_s=request_s)
        server.show(bench.page())
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.stop()
            thread.join(20)
            assert not thread.is_alive()


def test_an_answer_does_not_wait_for_an_acknowledgement(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[socket.socket] = []
    made = LimitedConnection.connection_made

    def seen(connection: LimitedConnection, transport: Any) -> None:
        made(connection, transport)
        taken.append(transport.get_extra_info("socket"))

    monkeypatch.setattr(LimitedConnection, "connection_made", seen)
    with serving(request_s=20) as server, httpx.Client() as client:
        client.get(server.url)
        (accepted,) = taken
        assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


def port_of(server: PageServer) -> int:
    return int(server.url.rstrip("/").rsplit(":", 1)[1])


def connected(server: PageServer, sent: bytes, source: str = "127.0.0.1") -> socket.socket:
    client = socket.create_connection(("127.0.0.1", port_of(server)), 20, (source, 0))
    client.sendall(sent)
    return client


def is_closed(client: socket.socket) -> bool:
    """Return whether the other side ended the connection, without waiting for it."""
    client.settimeout(0.2)
    try:
        return client.recv(1) == b""
    except TimeoutError:
        return False
    except OSError:
        return True


HALF_SENT = [
    b"",
    b"GET / HTTP/1.1\r\nhost: 127.0.0.1\r\n",
    b"POST /capture HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: 99\r\n\r\nhalf",
]


@pytest.mark.parametrize("sent", HALF_SENT, ids=["nothing", "headers", "body"])
def test_half_sent_requests_are_closed(sent: bytes) -> None:
    with serving(request_s=0.5) as server:
        clients = [connected(server, sent) for _ in range(MAX_OF_ADDRESS)]
        for client in clients:
            client.settimeout(20)
            with suppress(ConnectionResetError):
                assert client.recv(1) == b""
            client.close()
        assert httpx.get(server.url + "state").status_code == 200


def test_many_idle_connections_are_bounded_and_the_own_browser_is_let_in() -> None:
    with serving(request_s=60) as server:
        clients: list[socket.socket] = []
        for number in range(300):
            try:
                clients.append(connected(server, b"", f"127.0.0.{2 + number % 100}"))
            except OSError:
                continue
        alike = [connected(server, b"", "127.0.0.200") for _ in range(3 * MAX_OF_ADDRESS)]
        open_ = [client for client in alike if not is_closed(client)]
        assert len(open_) == MAX_OF_ADDRESS
        assert httpx.get(server.url + "state").status_code == 200
        for client in [*clients, *alike]:
            client.close()


def test_large_headers_are_refused() -> None:
    with serving(request_s=60) as server:
        client = connected(server, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 100_000)
        client.settimeout(20)
        with suppress(ConnectionResetError):
            assert client.recv(12) == b"HTTP/1.1 400"
        client.close()


def test_the_page_takes_a_quarter_of_the_descriptors_at_most() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (200, hard))
        assert max_connections() == 50
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert max_connections() <= connections.MAX_CONNECTIONS


def test_a_guesser_waits_and_the_operator_does_not() -> None:
    tries = PinTries()
    for _ in range(FREE_TRIES):
        assert tries.may_try("guesser", 0)
        tries.wrong("guesser", 0)
    assert not tries.may_try("guesser", FIRST_PAUSE_S - 1)
    assert tries.may_try("guesser", FIRST_PAUSE_S)
    tries.wrong("guesser", FIRST_PAUSE_S)
    assert not tries.may_try("guesser", 2 * FIRST_PAUSE_S), "each further pause is twice as long"
    assert tries.may_try("operator", 1)
    tries.wrong("operator", 1)
    tries.right("operator")
    tries.right("operator")
    assert tries.may_try("guesser", FIRST_PAUSE_S + LONGEST_PAUSE_S)


@given(st.lists(st.tuples(st.integers(0, 5000), st.floats(0, 60)), max_size=500))
def test_memory_and_guesses_are_bounded(guesses: list[tuple[int, float]]) -> None:
    tries, now = PinTries(), 0.0
    for address, seconds in guesses:
        now += seconds
        if tries.may_try(str(address), now):
            tries.wrong(str(address), now)
    assert len(tries) <= ADDRESSES + 1


def test_addresses_beyond_the_table_share_one_count() -> None:
    tries = PinTries()
    for number in range(ADDRESSES):
        tries.wrong(str(number), 0)
    for _ in range(FREE_TRIES):
        tries.wrong("one more", 1)
    assert not tries.may_try("yet another", 2)
    assert tries.may_try("0", 2)


@pytest.fixture
def bench() -> Iterator[PageBench]:
    with open_page_bench() as bench:
        yield bench


def test_wrong_pins_of_one_machine_lock_out_no_other(bench: PageBench) -> None:
    bench.pin = "123456"
    page = bench.page()

    async def from_address(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            address = dict(scope["headers"]).get(b"x-test-address", b"192.168.7.2").decode()
            scope["client"] = (address, 5)
        await page(scope, receive, send)

    application: Any = from_address
    with TestClient(application, base_url="http://192.168.7.9:8080") as other:
        other.follow_redirects = False

        def enter(pin: str, address: str) -> int:
            headers = {"x-test-address": address}
            return other.post("/enter", data={"pin": pin}, headers=headers).status_code

        assert [enter("0", "192.168.7.2") for _ in range(7)] == [401] * 5 + [429] * 2
        assert enter("123456", "192.168.7.2") == 429
        assert enter("123456", "192.168.7.3") == 303


@pytest.mark.parametrize("origin", ["http://[", "http://[::", "null", "http://evil.example", "//"])
def test_an_origin_that_is_none_is_refused(bench: PageBench, origin: str) -> None:
    with TestClient(bench.page(), base_url=BASE) as client:
        assert client.post("/capture", headers={"origin": origin}).status_code == 403
    assert AccessControl("") is not None


@pytest.mark.parametrize("version", ["", "x", "-1", "1" * 11, "9" * 5000, "\u0661", "1e3"])
def test_versions_that_are_none(bench: PageBench, version: str) -> None:
    task = task_of(1)
    bench.table.put(task)
    with TestClient(bench.page(), base_url=BASE) as client:
        form = {"version": version, "card": ""}
        assert client.post(f"/tasks/{task.task}", data=form).status_code == 400
        search = f"/tasks/{task.task}/search"
        assert client.get(search, params={"version": version, "q": "a"}).status_code == 400
        assert client.get("/tasks/99999999999999999999/search").status_code == 404
        assert client.post(f"/tasks/{task.task}", data={"version": "1"}).status_code == 400
