"""Which targets a webhook may have, and one request to a target that lies."""

import asyncio
import base64
import contextlib
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks import Webhook

from cardmint_cloud.adapters.webhook_http import KEPT, MAX_ANSWER_BYTES, WebhookHttp, resolve
from cardmint_cloud.domain.webhooks import (
    MAX_URL,
    PAUSES,
    Outcome,
    Target,
    outcome_of,
    refusal,
    secret_text,
    signatures,
    target_of,
)
from tests.cloud.kit.receiver import OK, Receiver, listening, receiving, status

HOME = ip_network("127.0.0.0/8")
SHOP = Target("https", "shop.example.com", 443, "/")


@pytest.mark.parametrize(
    ("url", "target"),
    [
        ("https://shop.example.com", SHOP),
        ("HTTPS://Shop.example.com:443/", SHOP),
        ("http://192.168.1.7:1880/a?b=c", Target("http", "192.168.1.7", 1880, "/a?b=c")),
        ("https://[2001:db8::1]/x", Target("https", "2001:db8::1", 443, "/x")),
    ],
)
def test_an_address_is_taken_apart(url: str, target: Target) -> None:
    assert target_of(url) == target


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop.example.com",
        "ftp://shop.example.com/",
        "file:///etc/passwd",
        "https://",
        "https:///x",
        "https://user:secret@shop.example.com/",
        "https://@shop.example.com/",
        "https://shop.example.com:99999/",
        "https://shop.example.com:0/",
        "https://shop.example.com:x/",
        "https://[::1/",
        "https://shop.example.com/\r\nhost: a",
        "https://shop.example.com/ x",
        "https://kärtchen.example.com/",
        "https://shop.example.com/" + "x" * MAX_URL,
        "https://a%2fb/",
    ],
)
def test_what_is_no_address_is_refused(url: str) -> None:
    with pytest.raises(ValueError, match=r"it must|its host"):
        target_of(url)


PRIVATE = (
    *("127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.1.1"),
    *("0.0.0.0", "224.0.0.1", "255.255.255.255", "192.0.2.1", "240.0.0.1", "::1", "::"),
    *("fe80::1%eth0", "fd00::1", "fdaa:0:1::3", "ff02::1", "::ffff:127.0.0.1"),
    *("::ffff:10.0.0.1", "2002:7f00:1::", "64:ff9b::7f00:1", "64:ff9b::a00:1"),
    *("2001:0:7f00:1::", "fec0::1", "192.88.99.1", "3fff::1", "2a00::5efe:7f00:1"),
    "2a00::200:5efe:7f00:1",
)


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_is_refused_among_public_ones(address: str) -> None:
    assert refusal(SHOP, ["93.184.216.34", address]) is not None
    assert refusal(SHOP, [address]) is not None


def test_public_addresses_are_taken_by_https_at_443_alone() -> None:
    public = ["93.184.216.34", "2606:2800:220:1::1", "64:ff9b::5db8:d822"]
    assert refusal(SHOP, public) is None
    for wrong in (SHOP._replace(scheme="http", port=80), SHOP._replace(port=8443)):
        assert refusal(wrong, public) == "it must be https:// at port 443"
    assert refusal(SHOP, []) == "the name has no address"


def test_a_network_that_was_allowed_is_taken_and_no_other() -> None:
    inside = Target("http", "nodered.lan", 1880, "/")
    lan = [ip_network("192.168.1.0/24"), ip_network("fd12::/16")]
    assert refusal(inside, ["192.168.1.7", "fd12::7"], lan) is None
    assert refusal(inside, ["192.168.1.7", "192.168.2.7"], lan) is not None
    assert refusal(inside, ["192.168.1.7", "93.184.216.34"], lan) is not None
    assert refusal(SHOP, ["127.0.0.1"], lan) is not None


@given(
    secrets=st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=3), body=st.text()
)
def test_each_secret_signs_as_the_specifications_library_does(
    secrets: list[bytes], body: str
) -> None:
    timestamp = 1_764_000_000
    made = signatures(secrets, "a/1", timestamp, body.encode()).split()
    for secret, signature in zip(secrets, made, strict=True):
        text = secret_text(secret)
        assert base64.b64decode(text.removeprefix("whsec_")) == secret
        when = datetime.fromtimestamp(timestamp, UTC)
        assert Webhook(text).sign("a/1", when, body) == signature


def outcome(code: int, failures: int = 1, retry: float = 0.0, chance: float = 0.0) -> Outcome:
    since = timedelta(hours=75)
    return outcome_of(code, failures, since=since, retry_after_s=retry, chance=chance)


def test_what_follows_from_an_answer() -> None:
    assert [outcome(code).pause for code in (200, 204, 299)] == [None] * 3
    for code in (0, 199, 301, 302, 400, 404, 429, 500, 503):
        assert outcome(code) == Outcome(timedelta(seconds=5))
    assert outcome(500, 2).pause == timedelta(minutes=5)
    assert outcome(500, len(PAUSES)).pause == timedelta(hours=24)
    assert outcome(500, 1, chance=1.0).pause == timedelta(seconds=5.5)
    assert outcome(429, 1, retry=3600).pause == timedelta(hours=1)
    assert outcome(429, 1, retry=10**8).pause == PAUSES[-1]
    assert outcome(410).off == "the target said that it is gone (410)"
    assert outcome(500, len(PAUSES) + 1).off == "10 attempts failed within 75 hours"


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with receiving() as running:
        yield running


async def test_a_request_goes_to_the_address_that_was_checked(receiver: Receiver) -> None:
    """A name whose address changes after the check: what it is then is not asked."""
    asked = []

    async def rebound(host: str, _port: int) -> list[str]:
        asked.append(host)
        return ["127.0.0.1" if len(asked) == 1 else "169.254.169.254"]

    http = WebhookHttp([HOME], resolve=rebound)
    async with http.to(Target("http", "shop.test", receiver.port, "/hook?a=b")) as target:
        sent = await target.post({"webhook-id": "1"}, b"{}")
        assert (sent.status, sent.answer) == (200, "ok")
        again = await target.post({"webhook-id": "2"}, b"{}")
    assert again.status == 0
    assert "169.254.169.254 is in no public network" in again.answer
    ((headers, body),) = receiver.requests
    assert (headers["host"], body) == (f"shop.test:{receiver.port}", b"{}")
    assert headers["path"] == "POST /hook?a=b HTTP/1.1"
    assert asked == ["shop.test"] * 2


async def test_a_private_target_is_refused_before_anything_is_sent(receiver: Receiver) -> None:
    async with WebhookHttp().to(target_of(receiver.url)) as target:
        sent = await target.post({}, b"{}")
    assert sent.status == 0
    assert "127.0.0.1 is in no public network" in sent.answer
    assert receiver.connections == 0


async def test_a_redirect_is_not_followed(receiver: Receiver) -> None:
    receiver.answers = [status(302, f"location: {receiver.url}\r\n")]
    async with WebhookHttp([HOME]).to(target_of(receiver.url)) as target:
        assert (await target.post({}, b"{}")).status == 302
    assert len(receiver.requests) == 1


async def test_retry_after_is_heard(receiver: Receiver) -> None:
    receiver.answers = [
        status(429, "retry-after: 120\r\n"),
        status(429, "retry-after: Sat, 28 Nov 2026 12:00:00 GMT\r\n"),
    ]
    async with WebhookHttp([HOME]).to(target_of(receiver.url)) as target:
        assert (await target.post({}, b"{}")).retry_after_s == 120
        assert (await target.post({}, b"{}")).retry_after_s == 0


@contextlib.asynccontextmanager
async def answering(*parts: bytes, pause_s: float = 0.0) -> AsyncIterator[str]:
    """Serve a target that answers with parts, and a pause after each."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        for part in parts:
            writer.write(part)
            await writer.drain()
            await asyncio.sleep(pause_s)

    async with listening(serve) as port:
        yield f"http://127.0.0.1:{port}/"


async def test_an_answer_without_end_is_cut() -> None:
    head = b"HTTP/1.1 500 X\r\ntransfer-encoding: chunked\r\n\r\n"
    many = [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 64
    async with (
        answering(head, *many) as url,
        WebhookHttp([HOME]).to(target_of(url)) as target,
    ):
        sent = await target.post({}, b"{}")
    assert (sent.status, sent.answer) == (500, "x" * KEPT)
    assert MAX_ANSWER_BYTES < 64 * 65536


async def test_a_target_that_drips_or_hangs_is_left() -> None:
    drip = [b"HTTP/1.1 200 OK\r\ncontent-length: 90\r\n\r\n", *[b"x"] * 20]
    for parts in ([b""] * 20, drip):
        async with (
            answering(*parts, pause_s=0.1) as url,
            WebhookHttp([HOME], timeout_s=0.3).to(target_of(url)) as target,
        ):
            sent = await target.post({}, b"{}")
        assert sent.status == 0, parts


@pytest.mark.parametrize(
    "said", [b"", b"hello\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", OK[:20]]
)
async def test_what_is_no_answer_is_a_failure(said: bytes) -> None:
    async with (
        answering(said) as url,
        WebhookHttp([HOME]).to(target_of(url)) as target,
    ):
        sent = await target.post({}, b"{}")
    assert sent.status == 0
    assert sent.answer


async def test_a_name_without_address_and_a_closed_port_are_failures() -> None:
    async def nowhere(_host: str, _port: int) -> list[str]:
        raise OSError(-2, "Name or service not known")

    async with WebhookHttp(resolve=nowhere).to(SHOP) as target:
        assert "Name or service not known" in (await target.post({}, b"{}")).answer
    async with WebhookHttp([HOME]).to(Target("http", "127.0.0.1", 1, "/")) as target:
        assert (await target.post({}, b"{}")).status == 0


async def test_a_hosts_addresses_are_all_asked_for() -> None:
    assert await resolve("127.0.0.1", 80) == ["127.0.0.1"]
    assert set(await resolve("localhost", 80)) <= {"127.0.0.1", "::1"}
