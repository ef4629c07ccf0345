"""MQTT 5 packets from a stream, for simulated stations and brokers."""

import asyncio

import mqtt5

_CHUNK = 1 << 16


class PacketReader:
    """Packets from `reader`. A cancelled wait loses no bytes."""

    def __init__(self, reader: asyncio.StreamReader) -> None:
        self._reader = reader
        self._held = bytearray()

    async def next(self) -> mqtt5.Packet | None:
        """Return the next packet; None when the other side has hung up.

        Raises:
            OSError: the connection broke.
            ValueError: the bytes are not MQTT.
        """
        while True:
            try:
                with memoryview(self._held) as view:
                    packet, size = mqtt5.read(view)
            except IndexError:
                came = await self._reader.read(_CHUNK)
                if not came:
                    return None
                self._held += came
            else:
                del self._held[:size]
                return packet
