"""Commands and settings from afar: done once, answered, and the settings in use reported back."""

import queue
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

import structlog

from cardmint_contracts.control import (
    Command,
    CommandReply,
    DesiredConfig,
    Manifest,
    ReportedConfig,
    decode_manifest,
)
from cardmint_contracts.errors import ContractError
from cardmint_contracts.wire import decode, encode
from cardmint_edge.errors import EdgeError

REMEMBERED = 100
NO_COMMAND = UUID(int=0)
LINE = 200
"""The contract's length of a line."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class ControlMessage:
    """A message that is no receipt and no task. The last four are of commands."""

    kind: str
    payload: bytes
    command: UUID = NO_COMMAND
    reply_to: str = ""
    correlation: bytes = b""
    retained: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandResult:
    """What became of a command."""

    done: bool
    says: str
    lines: tuple[str, ...] = ()


class ReplyLink(Protocol):
    """Takes answers; says whether there is a connection to take them."""

    def reply(self, told: ControlMessage, payload: bytes) -> bool:
        """Answer a command."""
        ...

    def report(self, payload: bytes) -> bool:
        """Publish which settings are in use."""
        ...


class RemoteControl:
    """Does what it is told, one thing after another, in `run`, until `stop`."""

    def __init__(
        self,
        *,
        link: ReplyLink,
        actions: Mapping[str, Callable[[Command], CommandResult]],
        apply: Callable[[DesiredConfig], None],
        reported: Callable[[int, str], ReportedConfig],
        manifest: Callable[[Manifest], None],
    ) -> None:
        """Take the parts.

        `actions` by their names; `apply` uses settings; `reported` takes the version that is
        applied and what to say; `manifest` is handed each manifest of a pack or of models.
        """
        self._link = link
        self._actions = actions
        self._apply = apply
        self._reported = reported
        self._manifest = manifest
        self._inbox: queue.SimpleQueue[ControlMessage | None] = queue.SimpleQueue()
        self._answered: deque[tuple[UUID, CommandReply]] = deque(maxlen=REMEMBERED)
        self._version = 0
        self._stopping = threading.Event()

    def hear(self, told: ControlMessage) -> None:
        """Hand in a message, from any thread."""
        self._inbox.put(told)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._inbox.put(None)

    def run(self) -> None:
        """Do what comes."""
        while not self._stopping.is_set():
            told = self._inbox.get()
            if told is not None:
                try:
                    self.do(told)
                except EdgeError as error:
                    log.error("could not be done", kind=told.kind, reason=str(error))

    def do(self, told: ControlMessage) -> None:
        """Do one thing.

        Raises:
            Retry, Park, Stop: a part of the station failed.
        """
        if not told.payload:
            return
        try:
            if told.kind == "connected":
                self.report()
            elif told.kind == "commands":
                self._command(told)
            elif told.kind == "config/desired":
                self._config(decode(told.payload, DesiredConfig))
            elif told.kind.startswith("fleet/"):
                self._manifest(decode_manifest(told.payload))
        except ContractError as error:
            log.warning("message ignored", kind=told.kind, reason=error.reason, detail=str(error))
            if told.kind == "commands":
                self._link.reply(
                    told,
                    encode(CommandReply(command=told.command, done=False, says=str(error)[:LINE])),
                )

    def report(self, says: str = "") -> None:
        """Publish which settings are in use."""
        self._link.report(encode(self._reported(self._version, says[:LINE])))

    def _command(self, told: ControlMessage) -> None:
        if told.retained:
            log.warning(
                "a retained command is ignored: it would be done at each connection",
                command=str(told.command),
            )
            return
        reply = next((reply for command, reply in self._answered if command == told.command), None)
        if reply is None:
            reply = self._act(told.command, decode(told.payload, Command))
            self._answered.append((told.command, reply))
        self._link.reply(told, encode(reply))

    def _act(self, identity: UUID, command: Command) -> CommandReply:
        action = self._actions.get(command.name)
        if action is None:
            done = CommandResult(done=False, says=f"this station knows no command {command.name!r}")
        else:
            try:
                done = action(command)
            except EdgeError as error:
                done = CommandResult(done=False, says=str(error))
        log.info(
            "command", command=str(identity), name=command.name, done=done.done, says=done.says
        )
        lines = tuple(line[:LINE] for line in done.lines[:64])
        return CommandReply(command=identity, done=done.done, says=done.says[:LINE], lines=lines)

    def _config(self, desired: DesiredConfig) -> None:
        if desired.version <= self._version:
            older = desired.version < self._version
            self.report(
                f"version {desired.version} is not newer than {self._version}" if older else ""
            )
            return
        self._apply(desired)
        self._version = desired.version
        log.info("settings from afar", version=desired.version)
        self.report()
