"""A process that was started without some of its standard streams, or whose readers went away."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Sequence

import pytest

TELL = """
import os, sys
from ccagent.standard_streams import hold
hold()
opened = os.open(os.devnull, os.O_RDONLY)
print("lost"); print("lost", file=sys.stderr); sys.stdin.read()
sys.stdout.flush(); sys.stderr.flush()
os._exit(opened)
"""

END = """
import sys
from contextlib import suppress
from ccagent.standard_streams import settle
sys.stdin.readline()
for stream in (sys.stdout, sys.stderr):
    with suppress(BrokenPipeError):
        print("nobody reads this", file=stream)
settle()
sys.exit(7)
"""


@pytest.mark.parametrize("closed", ["0<&-", "1>&-", "2>&-", "0<&- 2>&-", "0<&- 1>&- 2>&-"])
def test_a_file_never_gets_the_number_of_a_stream_that_was_closed(closed: str) -> None:
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-c", TELL], stdin=subprocess.DEVNULL,
        capture_output=True, check=False,
    )  # fmt: skip

    assert done.returncode >= 3, done.stderr.decode()


def test_streams_that_are_there_stay_as_they_are() -> None:
    done = subprocess.run([sys.executable, "-c", TELL], input=b"", capture_output=True, check=False)

    assert (done.returncode, done.stdout, done.stderr) == (3, b"lost\n", b"lost\n")


@pytest.mark.parametrize("gone", [["stdout"], ["stderr"], ["stdout", "stderr"]])
def test_a_reader_that_went_away_does_not_change_the_exit_code(gone: Sequence[str]) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", END], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        for name in gone:
            getattr(process, name).close()
        process.stdin.write(b"\n")
        process.stdin.flush()
        code = process.wait(60)
    finally:
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()

    assert code == 7


def test_signs_that_the_terminal_has_not_end_no_command() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "from ccagent.standard_streams import hold; hold(); print('──…— ä 👩')"],
        env={**os.environ, "PYTHONIOENCODING": "latin-1"}, capture_output=True, check=False,
    )  # fmt: skip

    assert (done.returncode, done.stdout) == (0, "--.- ä \\U0001f469\n".encode("latin-1")), done.stderr.decode()
