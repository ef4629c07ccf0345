"""`cloud storm`: all stations connect in the same moment, publish their birth and send."""

import asyncio
import random
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID

import mqtt5

from cardmint_cloud import rebuild
from cardmint_cloud.errors import StopService
from cardmint_contracts import topics
from cardmint_contracts.claims import Claim
from cardmint_contracts.envelope import BATCH
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.stations import StationState
from cardmint_contracts.wire import decode, encode
from cardmint_lab.census import quantile, take_census
from cardmint_lab.cloud import scans
from cardmint_lab.cloud.packets import PacketReader
from cardmint_lab.cloud.scans import EventMessage
from cardmint_lab.cloud.test_bed import (
    GivenServers,
    raise_connection_limit,
    running_servers,
    watch_memory,
)

PATIENCE_S = 120.0
_QUIET_S = 5.0


@dataclass(frozen=True, kw_only=True, slots=True)
class StormReport:
    """Results in seconds from the moment when all began to connect. Quantiles are over stations."""

    stations: int
    events: int
    connected_s: float
    receipted_s: float
    receipted_p50_s: float
    receipted_p99_s: float
    online: int
    rss_mb: float
    lost: int
    duplicated: int
    parked: int
    equals_log: bool


def run(
    *, stations: int, events: int, batch: int, given: GivenServers, say: Callable[[str], None]
) -> StormReport:
    """Connect `stations` stations with `events` events each, all at once.

    Raises:
        StopService, RetryLater: a server did not start or cannot be reached, or a station was not
            receipted in time.
    """
    raise_connection_limit()
    seed = random.SystemRandom().getrandbits(32)
    tenant = f"bench-{seed:08x}"
    work = scans.divide_work(seed, stations, stations * events, datetime.now(UTC), size=batch)
    with running_servers(given) as where:
        worker = where.work()
        say(f"{stations} stations with {events} events each connect at once …")
        with watch_memory(worker) as rss:
            connected, receipted = asyncio.run(_storm(where.host, where.port, tenant, work))
        where.check()
        counted = asyncio.run(take_census(where.database, tenant))
        return StormReport(
            stations=stations,
            events=stations * events,
            connected_s=round(max(connected), 2),
            receipted_s=round(max(receipted), 2),
            receipted_p50_s=round(quantile(receipted, 0.5), 2),
            receipted_p99_s=round(quantile(receipted, 0.99), 2),
            online=counted.online,
            rss_mb=round(max(rss) / 2**20, 1),
            lost=stations * events - counted.cards,
            duplicated=counted.doubled,
            parked=counted.parked,
            equals_log=asyncio.run(rebuild.compare_with_log(where.database)).equal,
        )


async def _storm(
    host: str, port: int, tenant: str, work: dict[str, tuple[UUID, list[EventMessage]]]
) -> tuple[list[float], list[float]]:
    start = time.monotonic()
    both = [
        _station((host, port), tenant, name, stream=stream, parcels=parcels)
        for name, (stream, parcels) in work.items()
    ]
    try:
        async with asyncio.timeout(PATIENCE_S):
            times = await asyncio.gather(*both)
    except TimeoutError:
        raise StopService(f"not every station was receipted within {PATIENCE_S:.0f} s") from None
    return [connected - start for connected, _ in times], [
        receipted - start for _, receipted in times
    ]


async def _station(
    where: tuple[str, int], tenant: str, name: str, *, stream: UUID, parcels: Sequence[EventMessage]
) -> tuple[float, float]:
    """Simulate one station until everything is receipted; return when it connected and finished."""
    pause = 0.05
    connected = 0.0
    while True:
        try:
            reader, writer = await asyncio.open_connection(*where)
            try:
                writer.write(_hello(tenant, name, stream))
                packets = PacketReader(reader)
                answer = await packets.next()
                if (
                    not isinstance(answer, mqtt5.ConnAckPacket)
                    or answer.reason_code != mqtt5.ConnAckReasonCode.SUCCESS
                ):
                    raise ConnectionRefusedError
                connected = connected or time.monotonic()
                if await _deliver(
                    packets, writer, topics.station_topic(tenant, name, "events"), stream, parcels
                ):
                    return connected, time.monotonic()
            finally:
                writer.close()
        except OSError:
            await asyncio.sleep(pause * random.uniform(0.5, 1.0))
            pause = min(pause * 2, 2.0)


def _hello(tenant: str, name: str, stream: UUID) -> bytes:
    state = StationState(
        online=True,
        epoch=1,
        bootid=stream,
        stream=stream,
        time=datetime.now(UTC).isoformat(),
        version="bench",
    )
    receipts = mqtt5.TopicFilter(
        topics.station_topic(tenant, name, "receipt"), max_qos=mqtt5.QoS.AT_MOST_ONCE
    )
    birth = mqtt5.PublishPacket(
        topics.station_topic(tenant, name, "state"),
        encode(state),
        qos=mqtt5.QoS.AT_LEAST_ONCE,
        retain=True,
        packet_id=2,
    )
    connect = mqtt5.ConnectPacket(f"{tenant}-{name}", clean_start=True, keep_alive=60)
    return connect.write() + mqtt5.SubscribePacket(1, [receipts]).write() + birth.write()


async def _deliver(
    packets: PacketReader,
    writer: asyncio.StreamWriter,
    topic: str,
    stream: UUID,
    parcels: Sequence[EventMessage],
) -> bool:
    """Send, and send again after a pause or a refusal, until receipts cover everything.

    Return False when the broker hangs up.
    """
    covered = 0
    _send(writer, topic, stream, parcels)
    while covered < parcels[-1].last:
        try:
            async with asyncio.timeout(_QUIET_S):
                packet = await packets.next()
        except TimeoutError:
            _send(writer, topic, stream, [parcel for parcel in parcels if parcel.last > covered])
            continue
        if packet is None:
            return False
        if isinstance(packet, mqtt5.PublishPacket):
            receipt = decode(packet.payload, Receipt)
            covered = max(covered, receipt.sequence) if receipt.stream == stream else covered
            if receipt.stream == stream and receipt.refused is not None:
                _send(
                    writer, topic, stream, [parcel for parcel in parcels if parcel.last > covered]
                )
    return True


def _send(
    writer: asyncio.StreamWriter, topic: str, stream: UUID, parcels: Sequence[EventMessage]
) -> None:
    for mid, parcel in enumerate(parcels, 10):
        claim = Claim(stream, parcel.first, parcel.last, parcel.before)
        packet = mqtt5.PublishPacket(
            topic,
            parcel.payload,
            qos=mqtt5.QoS.AT_LEAST_ONCE,
            packet_id=mid,
            content_type=BATCH,
            user_properties=claim.properties(),
        )
        writer.write(packet.write())


def report_lines(report: StormReport) -> list[str]:
    """Return a report as lines for a person."""
    r = report
    return [
        f"{r.stations} stations connected after {r.connected_s} s",
        (
            f"receipted after {r.receipted_p50_s} s (p50), {r.receipted_p99_s} s (p99), the last"
            f" after {r.receipted_s} s"
        ),
        f"{r.online} stations are shown online; worker at most {r.rss_mb:.0f} MB",
        f"lost {r.lost}, duplicated {r.duplicated}, parked {r.parked}",
        "the inventory is what the log says"
        if r.equals_log
        else "THE INVENTORY IS NOT WHAT THE LOG SAYS",
    ]
