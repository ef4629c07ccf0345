"""A target of fuzzing: a function of bytes, its seeds, and the errors that its contract names."""

import hashlib
import random
import traceback
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

Run = Callable[[bytes], object]
ROOT = Path(__file__).parents[2]
CORPUS = Path(__file__).with_name("corpus")


@dataclass(frozen=True, kw_only=True)
class Target:
    """Bytes from outside, and what reads them.

    `open` takes a folder and gives the function, with whatever it needs, for as long as the context
    lasts. It may raise what `refuses` names; anything else is a finding. `seeds` returns inputs to
    begin with. `mutations` is how many of the short run.
    """

    name: str
    open: Callable[[Path], AbstractContextManager[Run]]
    seeds: Callable[[], list[bytes]]
    refuses: tuple[type[Exception], ...] = ()
    mutations: int = 200

    def inputs(self) -> list[bytes]:
        """Return the seeds, and the stored inputs: small texts that once found something."""
        stored = sorted((CORPUS / self.name).glob("*"))
        return [*self.seeds(), *(path.read_bytes() for path in stored)]


@dataclass(frozen=True, kw_only=True)
class Finding:
    """An error that no contract names. Two with the same `key` are the same."""

    key: str
    text: str


def try_one(target: Target, run: Run, data: bytes) -> Finding | None:
    """Run a target on one input."""
    try:
        run(data)
    except target.refuses:
        return None
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException as error:  # noqa: BLE001 - also what is no Exception, such as Rust's panics
        return finding_of(error)
    return None


class ServerFault(Exception):
    """A request that was answered with a fault of the server."""


def finding_of(error: BaseException) -> Finding:
    """Return the finding that an error is, named by the last place in the product."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [frame for frame in frames if "/cardmint_" in frame.filename] or list(frames)
    where = f"{Path(ours[-1].filename).name}:{ours[-1].name}" if ours else "nowhere"
    key = str(error) if isinstance(error, ServerFault) else f"{type(error).__name__} in {where}"
    return Finding(key=key, text="".join(traceback.format_exception(error)))


def mutations(seeds: list[bytes], count: int, name: str) -> Iterator[bytes]:
    """Yield `count` spoiled seeds, always the same for the same arguments."""
    rng = random.Random(int.from_bytes(hashlib.sha256(name.encode()).digest()[:8]))
    for _ in range(count):
        data = rng.choice(seeds)
        for _ in range(rng.choice((1, 1, 2, 4, 8))):
            data = _spoiled(data, seeds, rng)
        yield data


_SLY = (
    *(b"\x00", b"\xff\xff\xff\xff", b"\xed\xa0\x80", b"\\ud800", b"%00", b"%ff", b"[", b"{", b'"'),
    *(b"-1", b"0", b"9223372036854775808", b"1e999", b"1" * 5000, b"NaN", b"null", b"true", b"[]"),
    *(b"0001-01-01T00:00:00Z", b"9999-12-31T23:59:59+00:00", b"http://[", b"\n", b"/", b"[" * 2000),
)


def _spoiled(data: bytes, seeds: list[bytes], rng: random.Random) -> bytes:
    at = rng.randrange(len(data) + 1)
    size = rng.choice((1, 2, 4, 16, 64))
    match rng.randrange(7):
        case 0:
            return data[:at]
        case 1:
            return data[:at] + data[at + size :]
        case 2:
            return data[:at] + data[at : at + size] * 2 + data[at + size :]
        case 3:
            return data[:at] + rng.randbytes(size) + data[at + size :]
        case 4:
            other = rng.choice(seeds)
            return data[:at] + other[rng.randrange(len(other) + 1) :]
        case 5:
            return (
                data[:at]
                + bytes(b ^ (1 << rng.randrange(8)) for b in data[at : at + 1])
                + data[at + 1 :]
            )
        case _:
            return data[:at] + rng.choice(_SLY) + data[at + rng.choice((0, size)) :]
