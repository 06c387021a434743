"""Tables of plain text, and a real terminal of 60 columns."""

from __future__ import annotations

import os
import pty
import re
import struct
import subprocess
import sys

import pytest

from sdd_eval.text_table import text_table

ROWS = [("auroc", "odin", 0.5, "0.4 to 0.6", "1000"), ("fpr", "msp", 12.25, "9 to 15", "")]
HEADER = ("metric", "detector", "value", "interval", "temperature")


def test_a_table_that_fits_has_a_line_a_row():
    assert text_table(ROWS, HEADER).splitlines() == [
        "metric  detector  value  interval    temperature",
        "auroc   odin        0.5  0.4 to 0.6         1000",
        "fpr     msp       12.25  9 to 15",
    ]
    assert text_table(ROWS, HEADER, 48) == text_table(ROWS, HEADER)


def test_columns_that_do_not_fit_are_below_the_row():
    assert text_table(ROWS, HEADER, 47).splitlines() == [
        "metric  detector  value  interval",
        "auroc   odin        0.5  0.4 to 0.6",
        "    temperature 1000",
        "fpr     msp       12.25  9 to 15",
    ]


def test_the_named_columns_stay_on_the_first_line():
    assert text_table(ROWS, HEADER, 26, ("metric", "value", "interval")).splitlines() == [
        "metric  value  interval",
        "auroc     0.5  0.4 to 0.6",
        "    detector odin,",
        "    temperature 1000",
        "fpr     12.25  9 to 15",
        "    detector msp",
    ]


def test_only_words_that_are_longer_are_wider_than_the_limit():
    lines = text_table(
        [("one of many words", "a/b/" + 40 * "c")], ("text", "path"), 12
    ).splitlines()
    assert lines == ["text", "one of many", "  words", "    path", f"    a/b/{40 * 'c'}"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no pseudo-terminals")
@pytest.mark.parametrize(("columns", "command"), [(60, "data list"), (80, "plugins")])
def test_commands_fit_a_terminal_and_colour_nothing_in_a_pipe(columns, command, tmp_path):
    import fcntl
    import termios

    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 40, columns, 0, 0))
    environment = {**os.environ, "SDD_EVAL_DATA": str(tmp_path)}
    environment.pop("COLUMNS", None)
    words = [sys.executable, "-m", "sdd_eval", *command.split()]
    process = subprocess.Popen(words, stdout=theirs, env=environment)
    os.close(theirs)
    text = b""
    while block := _read(ours):
        text += block
    assert process.wait() == 0
    lines = re.sub(r"\x1b\[[\d;]*m", "", text.decode()).splitlines()
    assert len(lines) > 10
    assert all(len(line) <= columns or len(line.split()[-1]) > 40 for line in lines)
    piped = subprocess.run([*words, "--help"], capture_output=True, text=True, check=True)
    assert "\x1b" not in piped.stdout


def _read(terminal):
    try:
        return os.read(terminal, 65536)
    except OSError:  # the process has ended
        return b""
