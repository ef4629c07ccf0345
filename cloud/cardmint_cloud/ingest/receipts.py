"""Receipts, published with the name of the database that committed the events."""

from typing import Protocol

from msgspec.structs import replace

from cardmint_cloud.adapters.postgres.connection import PostgresConnection
from cardmint_cloud.adapters.postgres.ingest.identity import DatabaseIdentity, read_identity
from cardmint_cloud.errors import RetryLater
from cardmint_contracts import topics
from cardmint_contracts.receipts import Receipt
from cardmint_contracts.wire import encode


class ReceiptBroker(Protocol):
    """The part of a broker connection that receipts need."""

    def publish(self, topic: str, payload: bytes, *, retain: bool = True) -> object:
        """Publish with QoS 1."""
        ...


class ReceiptPublisher:
    """Publishes receipts, once `load` has read the name of the database."""

    def __init__(self) -> None:
        self._identity: DatabaseIdentity | None = None

    async def load(self, connection: PostgresConnection) -> None:
        """Read the database's name, once."""
        if self._identity is None:
            self._identity = await read_identity(connection)

    def publish(self, broker: ReceiptBroker, tenant: str, station: str, receipt: Receipt) -> None:
        """Publish a receipt; one with a reason is for the station that is connected now."""
        if self._identity is None:
            raise RetryLater("the database's name was not read yet")
        named = replace(receipt, database=self._identity.id, replaces=self._identity.replaces)
        topic = topics.station_topic(tenant, station, "receipt")
        broker.publish(topic, encode(named), retain=receipt.reason is None)
