"""The commands that the cloud may give a station, and the settings that it may change."""

from collections.abc import Callable, Mapping
from uuid import UUID

import msgspec

from cardmint_contracts.control import Command, DesiredConfig, ReportedConfig
from cardmint_edge.capture import Camera
from cardmint_edge.remote_commands import CommandResult

BY_CLOUD = "cloud"
"""Who took a scan back, where no person at the station did."""


class RemoteSettings:
    """Settings that may change while the station runs. They begin as its settings file has them."""

    def __init__(self, *, max_kb_per_s: int, reserve_mb: int) -> None:
        self.max_kb_per_s = max_kb_per_s
        self.reserve_mb = reserve_mb
        self.uploads_paused = False

    def apply(self, desired: DesiredConfig) -> None:
        """Use the desired settings. A setting that is None stays as it is."""
        if desired.max_kb_per_s is not None:
            self.max_kb_per_s = desired.max_kb_per_s
        if desired.reserve_mb is not None:
            self.reserve_mb = desired.reserve_mb
        if desired.uploads_paused is not None:
            self.uploads_paused = desired.uploads_paused

    def reported(self, version: int, text: str, *, catalogue: str, models: str) -> ReportedConfig:
        """Return the settings in use as a report to the cloud."""
        return ReportedConfig(
            version=version,
            max_kb_per_s=self.max_kb_per_s,
            reserve_mb=self.reserve_mb,
            uploads_paused=self.uploads_paused,
            catalogue=catalogue,
            models=models,
            says=text,
        )


def actions_of(
    *,
    camera: Camera,
    last_scan: Callable[[], UUID | None],
    withdraw: Callable[[UUID, str], bool],
    reload: Callable[[], str],
    restart: Callable[[], bool],
    diagnostics: Callable[[], list[msgspec.Struct]],
) -> Mapping[str, Callable[[Command], CommandResult]]:
    """Return the commands that a station knows, by name.

    `withdraw` takes a scan back, and returns False if it was taken back before. `reload` opens pack
    and models again and returns what is in use. `restart` returns False if nobody would start the
    agent again.
    """

    def capture(_: Command) -> CommandResult:
        if camera.capture():
            return CommandResult(done=True, message="the camera takes a photo now")
        return CommandResult(done=False, message="this camera cannot take a photo on command")

    def rescan(command: Command) -> CommandResult:
        scan = command.scan or last_scan()
        if scan is None:
            return CommandResult(done=False, message="nothing was scanned yet")
        if not camera.capture():
            return CommandResult(done=False, message="this camera cannot take a photo on command")
        if not withdraw(scan, BY_CLOUD):
            return CommandResult(
                done=True, message=f"a photo is taken; scan {scan} was taken back before"
            )
        return CommandResult(done=True, message=f"scan {scan} is taken back, and a photo is taken")

    def reload_pack(_: Command) -> CommandResult:
        return CommandResult(done=True, message=reload())

    def restart_agent(_: Command) -> CommandResult:
        if restart():
            return CommandResult(
                done=True, message="the agent ends now, and systemd starts it again"
            )
        return CommandResult(
            done=False,
            message="this agent does not run under systemd, so nobody would start it again",
        )

    def report_diagnostics(_: Command) -> CommandResult:
        fields: dict[str, object] = {}
        for struct in diagnostics():
            fields |= msgspec.to_builtins(struct)
        return CommandResult(
            done=True,
            message="as follows",
            lines=tuple(f"{name}: {value}" for name, value in fields.items()),
        )

    return {
        "capture": capture,
        "rescan": rescan,
        "reload": reload_pack,
        "restart": restart_agent,
        "diagnostics": report_diagnostics,
    }
