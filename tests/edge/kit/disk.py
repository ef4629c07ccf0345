"""A simulated disk: the writes and syncs of a process, and what a power cut may leave of them.

strace records the process. Until it is synced, a write may be lost, torn at its sectors, or reach
the disk before an older one; a file's new name may be lost with every later change of its folder.
This is what POSIX allows, which is more than ext4 does.
"""

import random
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

SECTOR = 512
CALLS = (
    "openat,write,pwrite64,ftruncate,fsync,fdatasync,rename,renameat,renameat2,unlink,unlinkat,"
    "mkdir,sendto"
)
Kind = Literal["make", "folder", "write", "truncate", "sync", "rename", "remove", "said", "sent"]
How = Literal["kept", "lost", "torn"]

_LINE = re.compile(rb"(\d+) +(\w+)\((.*)\) += (-?\d+)")
_BEGUN = re.compile(rb"(\d+) +(\w+)\((.*) <unfinished \.\.\.>")
_ENDED = re.compile(rb"(\d+) +<\.\.\. (\w+) resumed>(.*)")
_HANDLE = re.compile(rb"^(\d+)<([^>]*)>")
_TEXT = re.compile(rb'"((?:\\x[0-9a-f]{2})*)"')


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One call that returned without an error.

    `begun` of a sync is the number of steps when it was called.
    """

    kind: Kind
    path: str = ""
    data: bytes = b""
    offset: int = 0
    to: str = ""
    begun: int = 0


def traced(trace: Path, command: Sequence[str]) -> list[str]:
    """Return `command` so that it runs under strace, which writes `trace`."""
    options = [
        "-f",
        "--seccomp-bpf",
        "-y",
        "-xx",
        "-s",
        str(1 << 24),
        "-e",
        "signal=none",
        "-e",
        f"trace={CALLS}",
    ]
    return ["strace", *options, "-o", str(trace), *command]


def steps_of(trace: Path, folder: Path) -> list[Step]:
    """Return the steps within `folder`, and what was written to standard output and sent."""
    subprocess.run(["strace", "--version"], check=True, capture_output=True)
    reader = _Reader(str(folder))
    for line in trace.read_bytes().splitlines():
        reader.take(line)
    return reader.steps


class _Reader:
    def __init__(self, folder: str) -> None:
        self.steps: list[Step] = []
        self._folder = folder
        self._position: dict[int, int] = {}
        self._begun: dict[bytes, tuple[bytes, int]] = {}

    def take(self, line: bytes) -> None:
        if begun := _BEGUN.match(line):
            self._begun[begun[1]] = (begun[3], len(self.steps))
        elif ended := _ENDED.match(line):
            arguments, at = self._begun.pop(ended[1], (b"", len(self.steps)))
            whole = _LINE.match(ended[1] + b" " + ended[2] + b"(" + arguments + ended[3])
            if whole:
                self._call(whole[2].decode(), whole[3], int(whole[4]), at)
        elif whole := _LINE.match(line):
            self._call(whole[2].decode(), whole[3], int(whole[4]), len(self.steps))

    def _call(self, name: str, arguments: bytes, result: int, at: int) -> None:
        if result < 0:
            return
        texts = [_plain(text) for text in _TEXT.findall(arguments)]
        handle = _HANDLE.match(arguments)
        number, path = (int(handle[1]), _plain(handle[2]).decode()) if handle else (-1, "")
        match name:
            case "openat":
                self._open(texts[0].decode(), arguments, result)
            case "write" if not self._within(path):
                self.steps.append(Step(kind="said", data=texts[0]))
            case "write":
                offset = self._position.get(number, 0)
                self._position[number] = offset + result
                self.steps.append(
                    Step(kind="write", path=path, data=texts[0][:result], offset=offset)
                )
            case "sendto":
                self.steps.append(Step(kind="sent", data=texts[0][:result]))
            case "rename" | "renameat" | "renameat2" if self._within(texts[0].decode()):
                self.steps.append(Step(kind="rename", path=texts[0].decode(), to=texts[1].decode()))
            case "unlink" | "unlinkat" if self._within(texts[0].decode()):
                self.steps.append(Step(kind="remove", path=texts[0].decode()))
            case "mkdir" if self._within(texts[0].decode()):
                self.steps.append(Step(kind="folder", path=texts[0].decode()))
            case "pwrite64" if self._within(path):
                offset = int(arguments.rsplit(b",", 1)[1])
                self.steps.append(
                    Step(kind="write", path=path, data=texts[0][:result], offset=offset)
                )
            case "ftruncate" if self._within(path):
                self.steps.append(
                    Step(kind="truncate", path=path, offset=int(arguments.rsplit(b",", 1)[1]))
                )
            case "fsync" | "fdatasync" if self._within(path):
                self.steps.append(Step(kind="sync", path=path, begun=at))

    def _open(self, path: str, arguments: bytes, number: int) -> None:
        self._position[number] = 0
        if self._within(path) and b"O_CREAT" in arguments:
            self.steps.append(Step(kind="make", path=path))
            if b"O_TRUNC" in arguments:
                self.steps.append(Step(kind="truncate", path=path))

    def _within(self, path: str) -> bool:
        return path == self._folder or path.startswith(self._folder + "/")


def _plain(escaped: bytes) -> bytes:
    return bytes.fromhex(escaped.replace(b"\\x", b"").decode())


@dataclass(kw_only=True, eq=False)
class _Node:
    """A file: its durable content, and the writes since. A folder: the same for its names."""

    folder: bool
    content: bytearray = field(default_factory=bytearray)
    writes: list[tuple[int, Step]] = field(default_factory=list)
    names: dict[str, "_Node"] = field(default_factory=dict)
    live: dict[str, "_Node"] = field(default_factory=dict)
    changes: list[tuple[int, dict[str, "_Node | None"]]] = field(default_factory=list)


class Disk:
    """Takes steps one after another. `crash` returns what a power cut leaves at that moment."""

    def __init__(self, root: Path) -> None:
        """Take the root, which is durable. Steps make everything within."""
        self._root = PurePosixPath(root)
        self._top = _Node(folder=True)
        self._at = 0

    def take(self, step: Step) -> bool:
        """Do one step, and return whether a power cut could leave something else after it."""
        self._at += 1
        path = PurePosixPath(step.path)
        match step.kind:
            case "make" if self._find(path) is None:
                self._change(path.parent, {path.name: _Node(folder=False)})
            case "folder":
                self._change(path.parent, {path.name: _Node(folder=True)})
            case "write" | "truncate":
                self._node(path).writes.append((self._at, step))
            case "rename":
                to = PurePosixPath(step.to)
                assert to.parent == path.parent, "a rename between folders is not modelled"
                self._change(path.parent, {to.name: self._node(path), path.name: None})
            case "remove":
                self._change(path.parent, {path.name: None})
            case "sync":
                self._sync(self._node(path), step.begun)
            case _:
                return False
        return True

    def crash(self, how: How, draw: random.Random) -> dict[str, bytes]:
        """Return the files that are left, by their paths."""
        return dict(self._left(self._top, self._root, how, draw))

    def _find(self, path: PurePosixPath) -> _Node | None:
        node: _Node | None = self._top
        for part in path.relative_to(self._root).parts:
            node = node.live.get(part) if node else None
        return node

    def _node(self, path: PurePosixPath) -> _Node:
        node = self._find(path)
        assert node is not None, f"{path} was used and never made"
        return node

    def _change(self, folder: PurePosixPath, names: dict[str, _Node | None]) -> None:
        node = self._node(folder)
        node.changes.append((self._at, names))
        _apply(node.live, names)

    @staticmethod
    def _sync(node: _Node, begun: int) -> None:
        while node.writes and node.writes[0][0] <= begun:
            _write(node.content, node.writes.pop(0)[1])
        while node.changes and node.changes[0][0] <= begun:
            _apply(node.names, node.changes.pop(0)[1])

    def _left(
        self, node: _Node, path: PurePosixPath, how: How, draw: random.Random
    ) -> Iterator[tuple[str, bytes]]:
        if not node.folder:
            yield str(path), _torn(node, how, draw)
            return
        kept = {"kept": len(node.changes), "lost": 0}.get(how)
        kept = draw.randint(0, len(node.changes)) if kept is None else kept
        names = dict(node.names)
        for _, change in node.changes[:kept]:
            _apply(names, change)
        for name, child in names.items():
            yield from self._left(child, path / name, how, draw)


def _apply(names: dict[str, _Node], change: dict[str, _Node | None]) -> None:
    for name, node in change.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _write(content: bytearray, step: Step) -> None:
    if step.kind == "truncate":
        del content[step.offset :]
    if len(content) < step.offset:
        content.extend(bytes(step.offset - len(content)))
    content[step.offset : step.offset + len(step.data)] = step.data


def _torn(node: _Node, how: How, draw: random.Random) -> bytes:
    if how == "lost" or not node.writes:
        return bytes(node.content)
    content = bytearray(node.content)
    writes = [step for _, step in node.writes]
    if how == "kept":
        for step in writes:
            _write(content, step)
        return bytes(content)
    if draw.random() < 0.5:
        draw.shuffle(writes)
    keep, stale = draw.choice((0.2, 0.5, 0.9)), draw.random() < 0.3
    for step in writes:
        if step.kind == "truncate":
            if draw.random() < keep:
                _write(content, step)
            continue
        for piece in _sectors(step):
            if draw.random() < keep:
                gap = piece.offset - len(content)
                if gap > 0 and stale:  # what was in those blocks before they became this file's
                    content.extend(draw.randbytes(gap))
                _write(content, piece)
    return bytes(content)


def _sectors(step: Step) -> Iterator[Step]:
    start, end = step.offset, step.offset + len(step.data)
    while start < end:
        stop = min(end, (start // SECTOR + 1) * SECTOR)
        yield Step(
            kind="write", data=step.data[start - step.offset : stop - step.offset], offset=start
        )
        start = stop
