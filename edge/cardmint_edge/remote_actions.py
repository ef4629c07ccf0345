"""What a station does when it is told to from afar."""

from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec

from cardmint_contracts.control import Command, DesiredConfig, ReportedConfig
from cardmint_edge.capture import Camera
from cardmint_edge.remote_commands import CommandResult

AFAR = "cloud"
"""Who took a scan back, when it was no person here."""


class RemoteSettings:
    """Settings that may be changed while the station runs. They begin as its file says."""

    def __init__(self, *, max_kb_per_s: int, reserve_mb: int) -> None:
        self.max_kb_per_s = max_kb_per_s
        self.reserve_mb = reserve_mb
        self.uploads_paused = False

    def apply(self, desired: DesiredConfig) -> None:
        """Use what is wanted; what is not said stays."""
        if desired.max_kb_per_s is not None:
            self.max_kb_per_s = desired.max_kb_per_s
        if desired.reserve_mb is not None:
            self.reserve_mb = desired.reserve_mb
        if desired.uploads_paused is not None:
            self.uploads_paused = desired.uploads_paused

    def reported(self, version: int, says: str, *, catalogue: str, models: str) -> ReportedConfig:
        """Return what is in use, as it is reported."""
        return ReportedConfig(
            version=version,
            max_kb_per_s=self.max_kb_per_s,
            reserve_mb=self.reserve_mb,
            uploads_paused=self.uploads_paused,
            catalogue=catalogue,
            models=models,
            says=says,
        )


def actions_of(
    *,
    camera: Camera,
    last: Callable[[], UUID | None],
    withdraw: Callable[[UUID, str], bool],
    reload: Callable[[], str],
    restart: Callable[[], bool],
    examined: Callable[[], list[msgspec.Struct]],
) -> Mapping[str, Callable[[Command], CommandResult]]:
    """Return the commands that a station knows.

    `last` names the last scan, `withdraw` takes one back, once, `reload` opens pack and models anew
    and says which, `restart` says whether somebody will start the agent again.
    """

    def capture(_: Command) -> CommandResult:
        if camera.capture():
            return CommandResult(done=True, says="a photo is taken of what lies there")
        return CommandResult(done=False, says="this camera takes cards as they come")

    def rescan(command: Command) -> CommandResult:
        scan = command.scan or last()
        if scan is None:
            return CommandResult(done=False, says="nothing was scanned yet")
        if not camera.capture():
            return CommandResult(done=False, says="this camera takes cards as they come")
        if not withdraw(scan, AFAR):
            return CommandResult(
                done=True, says=f"a photo is taken; scan {scan} was taken back before"
            )
        return CommandResult(done=True, says=f"scan {scan} is taken back, and a photo is taken")

    def again(_: Command) -> CommandResult:
        return CommandResult(done=True, says=reload())

    def begin_anew(_: Command) -> CommandResult:
        if restart():
            return CommandResult(done=True, says="the agent ends now, and systemd starts it again")
        return CommandResult(
            done=False, says="nobody would start this agent again: it does not run under systemd"
        )

    def diagnose(_: Command) -> CommandResult:
        fields: dict[str, object] = {}
        for struct in examined():
            fields |= msgspec.to_builtins(struct)
        return CommandResult(
            done=True,
            says="as follows",
            lines=tuple(f"{name}: {value}" for name, value in fields.items()),
        )

    return {
        "capture": capture,
        "rescan": rescan,
        "reload": again,
        "restart": begin_anew,
        "diagnostics": diagnose,
    }
