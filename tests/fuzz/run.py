"""Fuzzing guided by coverage: `make fuzz`. Each target runs in a process of its own, by atheris.

An input that finds an error is kept in `build/fuzz/TARGET/findings` with its traceback, and the run
goes on; new inputs that reached new code are kept in `build/fuzz/TARGET/corpus`.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import structlog

OUT = Path("build/fuzz")
INPUT_S = 20
"""A longer run of one input is a finding."""

MEMORY_MB = 1500
LARGEST_INPUT = 16_384
_END_S = 60
_PROGRESS = re.compile(r"^#(\d+)\s+(\S+)\s+(?:cov: (\d+) )?", re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """The outcome of one target. `begin` and `end` count covered edges."""

    name: str
    executions: int
    begin: int
    end: int
    findings: list[Path]


def main() -> None:
    """Fuzz all targets for the same time each."""
    parser = argparse.ArgumentParser(prog="tests.fuzz.run", description=__doc__)
    parser.add_argument("--seconds", type=int, default=600, help="of all targets together")
    parser.add_argument("--target", action="append", help="only this one; may be repeated")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.child:
        _fuzz(wanted.child, wanted.seconds)
        return
    from tests.fuzz.targets import TARGETS

    names = wanted.target or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no target {', '.join(unknown)}; there are {', '.join(TARGETS)}")
    outcomes = [_run(name, max(2, wanted.seconds // len(names))) for name in names]
    print(f"{'target':<16}{'executions':>12}{'covered':>10}{'new':>8}{'findings':>10}")
    for one in outcomes:
        counts = f"{one.executions:>12,}{one.end:>10,}{one.end - one.begin:>8,}"
        print(f"{one.name:<16}{counts}{len(one.findings):>10}")
    found = [path for one in outcomes for path in one.findings]
    print(f"{'all':<16}{sum(one.executions for one in outcomes):>12,}{'':>18}{len(found):>10}")
    print(*found, sep="\n")
    sys.exit(bool(found))


def _run(name: str, seconds: int) -> Outcome:
    """Fuzz one target in child processes, again after one that had to be ended."""
    folder, executions, covered = OUT / name, 0, []
    findings = folder / "findings"
    findings.mkdir(parents=True, exist_ok=True)
    known = set(findings.iterdir())
    until = time.monotonic() + seconds
    while (left := int(until - time.monotonic())) > 0:
        command = [sys.executable, "-m", "tests.fuzz.run", "--child", name, "--seconds", str(left)]
        with (folder / "log").open("wb") as log:
            child = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
            try:
                code = child.wait(left + INPUT_S + _END_S)
            finally:
                child.kill()
                child.wait()
        lines = _PROGRESS.findall((folder / "log").read_text(errors="replace"))
        executions += int(lines[-1][0]) if lines else 0
        covered += [int(line[2]) for line in lines if line[2] and line[1] != "READ"]
        if not covered:
            sys.exit(f"{name} does not run (code {code}); see {folder / 'log'}")
    return Outcome(
        name=name,
        executions=executions,
        begin=covered[0] if covered else 0,
        end=max(covered, default=0),
        findings=sorted(set(findings.glob("*")) - known - set(findings.glob("*.txt"))),
    )


def _drop(*_: object) -> NoReturn:
    """Keep the log of the product out of the fuzzer's."""
    raise structlog.DropEvent


def _fuzz(name: str, seconds: int) -> None:
    """Fuzz one target in this process until it ends it."""
    import atheris

    structlog.configure(processors=[_drop])
    with atheris.instrument_imports(
        include=["cardmint_contracts", "cardmint_edge", "cardmint_cloud"]
    ):
        from tests.fuzz.targets import TARGETS
    from cardmint_lab.folders import temporary_folder
    from tests.fuzz.target import try_one

    target, folder = TARGETS[name], (OUT / name).absolute()
    corpus = folder / "corpus"
    corpus.mkdir(parents=True, exist_ok=True)
    for data in target.inputs():
        (corpus / hashlib.sha256(data).hexdigest()[:16]).write_bytes(data)
    with temporary_folder() as place, target.open(place) as run:

        def one(data: bytes) -> None:
            found = try_one(target, run, data)
            if found is not None:
                file = folder / "findings" / re.sub(r"[^\w.-]+", "-", found.key)
                if not file.exists():
                    file.with_name(f"{file.name}.txt").write_text(found.text)
                    file.write_bytes(data)

        limits = (f"-timeout={INPUT_S}", f"-rss_limit_mb={MEMORY_MB}", f"-max_len={LARGEST_INPUT}")
        options = (f"-max_total_time={seconds}", f"-artifact_prefix={folder / 'findings'}/")
        atheris.Setup([sys.argv[0], *limits, *options, str(corpus)], one)
        atheris.Fuzz()


if __name__ == "__main__":
    main()
