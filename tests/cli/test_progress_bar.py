"""The progress bar: position, speed, remaining time."""

import io
import sys

import pytest

from sdd_eval.cli import progress_bar
from sdd_eval.cli.progress_bar import Bar


class Clock:
    """A clock that only advances when told to."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(progress_bar.time, "monotonic", clock)
    return clock


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_lines_show_the_speed_and_the_remaining_time(clock, capsys):
    with Bar(unit="images") as bar:
        bar.start("ce on birds", 1000)
        bar.advance(400)  # an earlier run's
        clock.now += 40
        bar.advance(100, "epoch 1/2")
        clock.now += 5
        bar.advance(10)
    assert capsys.readouterr().err == (
        "ce on birds: 500 of 1,000, 2.5 images/s, 03:20 left epoch 1/2\n"
    )


def test_the_first_advance_shows_no_speed(clock, capsys):
    with Bar() as bar:
        bar.start("a", 10)
        clock.now += 40
        bar.advance(3)
        clock.now += 40
        bar.advance(4)
    assert capsys.readouterr().err == "a: 3 of 10\na: 7 of 10, 0.1/s, 00:30 left\n"


def test_a_bar_does_not_count_an_earlier_run_into_its_speed(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Bar(unit="images") as bar:
        bar.start("ce on birds", 2_000_000)
        bar.advance(1_000_000)
        for _ in range(3):
            bar._bar.last_print_t -= 1  # as if a second had passed
            bar._bar.start_t -= 1
            bar.advance(10)
    shown = [text for text in screen.getvalue().split("\r") if "50%" in text][-1]
    assert "images/s" in shown
    assert "k images/s" not in shown
