"""A proxy between a station and its broker that misbehaves on demand."""

import random
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Literal

SUBACK = 0x90
Mood = Literal["pass", "drop", "slow", "garbage", "silent", "unsubscribed"]


class ScriptedBroker:
    """A port that answers the first packet of each connection with given bytes.

    `taken` has the bytes that each connection sent until it ended.
    """

    def __init__(self, answer: bytes) -> None:
        self.taken: list[bytes] = []
        self._answer = answer
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @classmethod
    @contextmanager
    def answering(cls, answer: bytes) -> Iterator["ScriptedBroker"]:
        scripted = cls(answer)
        try:
            yield scripted
        finally:
            scripted._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._server.accept()
                near.settimeout(5)
                with near, suppress(OSError):
                    taken = near.recv(65536)
                    near.sendall(self._answer)
                    while more := near.recv(65536):
                        taken += more
                    self.taken.append(taken)


class FaultyBroker:
    """A port in front of the broker's.

    `mood` applies to new connections, `silent` at once to all.

    drop: hang up after the first bytes. slow: 20 ms a kilobyte, both ways. garbage: answer with
    noise. silent: take everything, pass nothing on. unsubscribed: hold the answers to subscriptions
    back until the mood changes.
    """

    def __init__(self, broker_port: int) -> None:
        self.mood: Mood = "pass"
        self.taken = 0
        self.kept: list[tuple[socket.socket, bytes]] = []
        self._broker = broker_port
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    @classmethod
    @contextmanager
    def before(cls, broker_port: int) -> Iterator["FaultyBroker"]:
        faulty = cls(broker_port)
        try:
            yield faulty
        finally:
            faulty._server.close()
            faulty.hang_up()

    def hang_up(self) -> None:
        """End every connection, as a pulled cable does."""
        for end in self._open:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()
        self._open.clear()

    def let_go(self) -> None:
        """Pass on the answers to subscriptions that were held back."""
        for target, chunk in self.kept:
            target.sendall(chunk)

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._server.accept()
            except OSError:
                return
            self.taken += 1
            self._open.append(near)
            with suppress(OSError):
                self._serve(near)

    def _serve(self, near: socket.socket) -> None:
        if self.mood in {"drop", "garbage"}:
            near.settimeout(5)
            near.recv(1024)
            if self.mood == "garbage":
                near.sendall(random.Random(self.taken).randbytes(300))
            near.close()
            return
        far = socket.create_connection(("127.0.0.1", self._broker), timeout=5)
        far.settimeout(None)
        self._open.append(far)
        for source, target in ((near, far), (far, near)):
            threading.Thread(target=self._pump, args=(source, target), daemon=True).start()

    def _pump(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while chunk := source.recv(1024):
                if self.mood == "slow":
                    time.sleep(0.02)
                kept = self.mood == "unsubscribed" and chunk[0] == SUBACK
                if kept:
                    self.kept.append((target, chunk))
                elif self.mood != "silent":
                    target.sendall(chunk)
            target.shutdown(socket.SHUT_RDWR)
