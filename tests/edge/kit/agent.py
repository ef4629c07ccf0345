"""Outbox, forwarder and link, wired as in the station, without camera and page."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from tests.edge.kit.scans import NOW, STAMP

from cardmint_contracts.settings import BrokerSettings
from cardmint_contracts.stations import StationHealth, StationState
from cardmint_edge.adapters.mqtt import ANSWER_TIMEOUT_S, BrokerLink
from cardmint_edge.adapters.sqlite.outbox import Outbox
from cardmint_edge.domain.delivery.messages import ControlMessage, EventAppended, ForwarderMessage
from cardmint_edge.forward import Forwarder
from cardmint_edge.settings import StationSettings

STATION = StationSettings(tenant="shop", name="left", data=Path("data"))


class NoTasks:
    def receive_task(self, task: UUID, payload: bytes) -> None: ...

    def receive_outcome(self, payload: bytes) -> None:
        return

    def connected(self, now: float) -> None: ...

    def disconnected(self) -> None: ...

    def tick(self, now: float) -> None: ...


class ForwardingAgent:
    """Outbox, forwarder and link in their threads."""

    def __init__(self, folder: Path, broker: BrokerSettings) -> None:
        self.outbox = Outbox.open(folder / "outbox.db")
        epoch = self.outbox.count_start()
        self.link = link_to(
            broker,
            lambda message: self.forwarder.post(message),  # noqa: PLW0108 - made below
            self.outbox.stream_state.stream,
            epoch,
        )
        self.forwarder = Forwarder(
            outbox=self.outbox,
            link=self.link,
            tasks=NoTasks(),
            source="/stations/left",
            read_clock=lambda: STAMP,
            on_receipt=lambda: None,
        )
        self.outbox.call_on_append(lambda: self.forwarder.post(EventAppended()))
        self._threads = [
            threading.Thread(target=part, daemon=True)
            for part in (self.forwarder.run, self.link.run)
        ]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self.link.stop()
        self.forwarder.stop()
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        self.outbox.close()

    @property
    def queued(self) -> int:
        mark = self.outbox.stream_state
        return mark.last - mark.acknowledged


def link_to(
    broker: BrokerSettings,
    to_forwarder: Callable[[ForwarderMessage], None],
    stream: UUID = STAMP.bootid,
    epoch: int = 1,
    to_control: Callable[[ControlMessage], None] = lambda _: None,
    answer_timeout_s: float = ANSWER_TIMEOUT_S,
    failures: list[Exception] | None = None,
) -> BrokerLink:
    """Return a link. Reading the station's state raises the `failures` first."""

    def state(online: bool) -> StationState:
        if failures:
            raise failures.pop(0)
        return StationState(
            online=online,
            epoch=epoch,
            bootid=STAMP.bootid,
            stream=stream,
            time=NOW.isoformat(),
            version="1",
        )

    return BrokerLink(
        broker=broker,
        station=STATION,
        bootid=STAMP.bootid,
        state=state,
        health=lambda: StationHealth(
            time=NOW.isoformat(), queued=0, oldest_unsent_s=0, disk_free_bytes=1, clock_synced=True
        ),
        to_forwarder=to_forwarder,
        to_control=to_control,
        answer_timeout_s=answer_timeout_s,
    )


@contextmanager
def linked(link: BrokerLink) -> Iterator[BrokerLink]:
    """Run the link, and stop it at the end. It must stop within 20 s."""
    thread = threading.Thread(target=link.run, daemon=True)
    thread.start()
    try:
        yield link
    finally:
        link.stop()
        thread.join(20)
        assert not thread.is_alive()
