"""Commands and settings from the cloud: each command is done once and answered.

The settings in use are reported back.
"""

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
    NewestSets,
    ReportedConfig,
    decode_manifest,
)
from cardmint_contracts.errors import ContractError
from cardmint_contracts.wire import decode, encode
from cardmint_edge.domain.delivery.messages import ControlMessage
from cardmint_edge.errors import EdgeError

REMEMBERED_COMMANDS = 100
MAX_LINES = 64
MAX_LINE = 200
"""Characters of a line in the contract."""

log = structlog.get_logger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class CommandResult:
    """Whether a command was done, and what to answer."""

    done: bool
    message: str
    lines: tuple[str, ...] = ()


class ReplyLink(Protocol):
    """The broker, as remote control needs it. Each send returns whether the message was taken."""

    def reply(self, message: ControlMessage, payload: bytes) -> bool:
        """Answer a command."""
        ...

    def report(self, payload: bytes) -> bool:
        """Publish the settings in use."""
        ...


class RemoteControl:
    """Handles one message after another in `run`, until `stop`."""

    def __init__(
        self,
        *,
        link: ReplyLink,
        actions: Mapping[str, Callable[[Command], CommandResult]],
        apply: Callable[[DesiredConfig], None],
        reported: Callable[[int, str], ReportedConfig],
        on_manifest: Callable[[Manifest], None],
    ) -> None:
        """Take the parts.

        `actions` has the known commands by name. `apply` uses new settings. `reported` returns the
        settings in use for the applied version and a message. `on_manifest` takes each manifest of
        a pack or of models.
        """
        self._link = link
        self._actions = actions
        self._apply = apply
        self._reported = reported
        self._on_manifest = on_manifest
        self._inbox: queue.SimpleQueue[ControlMessage | None] = queue.SimpleQueue()
        self._replies: deque[tuple[UUID, CommandReply]] = deque(maxlen=REMEMBERED_COMMANDS)
        self.newest_sets = NewestSets()
        """The sets that came out last, as the cloud says; none before it does."""
        self._version = 0
        self._stopping = threading.Event()

    def post(self, message: ControlMessage) -> None:
        """Put a message into the inbox, from any thread."""
        self._inbox.put(message)

    def stop(self) -> None:
        """Make `run` return."""
        self._stopping.set()
        self._inbox.put(None)

    def run(self) -> None:
        """Handle messages until `stop`."""
        while not self._stopping.is_set():
            message = self._inbox.get()
            if message is not None:
                try:
                    self.handle(message)
                except EdgeError as error:
                    log.error("a message failed", kind=message.kind, reason=str(error))
                except Exception:
                    log.exception("a message failed; this is a bug", kind=message.kind)

    def handle(self, message: ControlMessage) -> None:
        """Handle one message.

        Raises:
            Retry, Park, Stop: a part of the station failed.
        """
        if not message.payload:
            return
        try:
            if message.kind == "connected":
                self.report()
            elif message.kind == "commands":
                self._run_command(message)
            elif message.kind == "config/desired":
                self._use(decode(message.payload, DesiredConfig))
            elif message.kind == "fleet/sets":
                self.newest_sets = decode(message.payload, NewestSets)
            elif message.kind.startswith("fleet/"):
                self._on_manifest(decode_manifest(message.payload))
        except ContractError as error:
            log.warning(
                "message ignored", kind=message.kind, reason=error.reason, detail=str(error)
            )
            if message.kind == "commands":
                reply = CommandReply(
                    command=message.command, done=False, says=str(error)[:MAX_LINE]
                )
                self._link.reply(message, encode(reply))

    def report(self, text: str = "") -> None:
        """Publish the settings in use."""
        self._link.report(encode(self._reported(self._version, text[:MAX_LINE])))

    def _run_command(self, message: ControlMessage) -> None:
        if message.retained:
            log.warning(
                "a retained command is ignored: it would be done again at each connection",
                command=str(message.command),
            )
            return
        reply = next(
            (reply for command, reply in self._replies if command == message.command), None
        )
        if reply is None:
            reply = self._reply_to(message.command, decode(message.payload, Command))
            self._replies.append((message.command, reply))
        self._link.reply(message, encode(reply))

    def _reply_to(self, identity: UUID, command: Command) -> CommandReply:
        action = self._actions.get(command.name)
        if action is None:
            result = CommandResult(
                done=False, message=f"this station knows no command {command.name!r}"
            )
        else:
            try:
                result = action(command)
            except EdgeError as error:
                result = CommandResult(done=False, message=str(error))
            except Exception as error:
                log.exception("a command failed; this is a bug", command=str(identity))
                result = CommandResult(done=False, message=f"it failed: {error!r}")
        log.info(
            "command",
            command=str(identity),
            name=command.name,
            done=result.done,
            message=result.message,
        )
        lines = tuple(line[:MAX_LINE] for line in result.lines[:MAX_LINES])
        return CommandReply(
            command=identity, done=result.done, says=result.message[:MAX_LINE], lines=lines
        )

    def _use(self, desired: DesiredConfig) -> None:
        if desired.version <= self._version:
            older = desired.version < self._version
            self.report(
                f"version {desired.version} is not newer than {self._version}" if older else ""
            )
            return
        self._apply(desired)
        self._version = desired.version
        log.info("settings from the cloud are in use", version=desired.version)
        self.report()
