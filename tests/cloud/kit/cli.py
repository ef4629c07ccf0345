"""`cardmint-cloud` as a person calls it, but in this process.

Starting Python takes longer than most commands.
"""

import contextlib
import io
import os
import sys
from collections.abc import Iterator
from subprocess import CompletedProcess
from threading import Lock

from cardmint_cloud.cli import main

_one_at_a_time = Lock()


@contextlib.contextmanager
def _called(words: tuple[str, ...], environment: dict[str, str]) -> Iterator[None]:
    arguments, before = sys.argv, dict(os.environ)
    sys.argv = ["cardmint-cloud", *words]
    os.environ.update(environment)
    try:
        yield
    finally:
        sys.argv = arguments
        os.environ.clear()
        os.environ.update(before)


def run_command(*words: str, **environment: str) -> CompletedProcess[str]:
    """Run the command line with what is given over this process's environment.

    From any thread without a loop.
    """
    out, said = io.StringIO(), io.StringIO()
    code: object = 0
    with (
        _one_at_a_time,
        _called(words, environment),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(said),
    ):
        try:
            main()
        except SystemExit as end:
            code = end.code
    return CompletedProcess(words, int(str(code or 0)), out.getvalue(), said.getvalue())
