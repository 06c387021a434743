"""Standard output that is closed, full, or cannot encode every character."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sdd_eval.cli import usage

COMMAND = f"{sys.executable} -m sdd_eval"


def run(command: str, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """Run a command in a shell."""
    return subprocess.run(
        command.replace("sdd-eval", COMMAND, 1),
        shell=True,
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
    )


@pytest.mark.parametrize(
    ("encoding", "environment"),
    [
        ("ascii", {"LC_ALL": "POSIX", "PYTHONUTF8": "0"}),
        ("latin-1", {"PYTHONIOENCODING": "latin-1"}),
        ("cp1252", {"PYTHONIOENCODING": "cp1252"}),
    ],
)
def test_characters_that_cannot_be_encoded_are_replaced(encoding, environment):
    done = run("sdd-eval --help", **environment)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout == f"{usage()}\n".encode(encoding, errors="replace")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no full device")
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_full_standard_output_is_reported_on_one_line(unbuffered):
    done = run("sdd-eval --help > /dev/full", PYTHONUNBUFFERED=unbuffered)
    assert done.returncode == 1
    assert done.stderr == b"sdd-eval: cannot write: No space left on device\n"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        ("sdd-eval --help >&-", 0),
        ("sdd-eval --help >&- 2>&- <&-", 0),
        ("sdd-eval bogus 2>&-", 2),
        ("sdd-eval bogus 2> /dev/full", 2),
        ("sdd-eval --help | false; exit ${PIPESTATUS[0]}", 0),
    ],
)
def test_closed_streams_end_no_command(command, code):
    done = run(f"bash -c '{command.replace('sdd-eval', COMMAND)}'")
    assert (done.returncode, done.stdout, done.stderr) == (code, b"", b"")


def test_a_file_does_not_get_the_number_of_a_closed_stream(tmp_path):
    script = (
        "import os; from sdd_eval.cli.terminal import open_standard_streams\n"
        "open_standard_streams()\n"
        f"file = os.open({str(tmp_path / 'weights')!r}, os.O_CREAT | os.O_WRONLY)\n"
        "print('text of a library'); os.write(1, b'more')\n"
        "assert file > 2\n"
    )
    (tmp_path / "script.py").write_text(script)
    done = run(f"{sys.executable} {tmp_path / 'script.py'} >&-")
    assert (done.returncode, done.stderr) == (0, b"")
    assert (tmp_path / "weights").read_bytes() == b""
