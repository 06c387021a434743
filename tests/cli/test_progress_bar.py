"""The progress bar: position, speed, remaining time."""

import io
import sys
import time

import pytest

from sdd_eval.cli import progress_bar
from sdd_eval.cli.progress_bar import Bar, Overall


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


def test_lines_show_the_speed_and_the_remaining_time(clock):
    bar = Bar(unit="images")
    bar.start("ce on birds", 1000)
    bar.advance(400)  # an earlier run's
    clock.now += 40
    bar.advance(100, "epoch 1/2")
    assert bar.line() == "ce on birds: 500 of 1,000, 2.5 images/s, 03:20 left epoch 1/2"


def test_the_first_advance_shows_no_speed(clock):
    bar = Bar()
    bar.start("a", 10)
    clock.now += 40
    bar.advance(3)
    assert bar.line() == "a: 3 of 10"
    clock.now += 40
    bar.advance(4)
    assert bar.line() == "a: 7 of 10, 0.1/s, 00:30 left"


@pytest.mark.parametrize(
    ("display", "line"),
    [(lambda: Bar("quiet: "), "quiet: running for 00:00"), (lambda: Overall(9.0, 2), "[1/2] ")],
)
def test_work_that_never_advances_prints_lines_all_the_same(display, line, monkeypatch, capsys):
    monkeypatch.setattr(progress_bar, "LINE_INTERVAL", 0.01)
    with display():
        time.sleep(0.3)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) > 2
    assert all(text.startswith(line) for text in lines)
    time.sleep(0.1)
    assert capsys.readouterr().err == ""


def test_lines_of_a_study_name_the_job_and_how_far_it_is(clock, capsys):
    bar = Overall(100.0, 3)
    with bar.job("train a", 60.0, one_piece=True):
        clock.now += 5
        assert bar.line() == "[1/3] train a · running for 00:05"
        bar.start("a on birds", 1000)
        bar.advance(100)
        clock.now += 10
        bar.advance(100, "epoch 1/5")
        assert (
            bar.line() == "[1/3] train a · a on birds: 200 of 1,000, 10.0/s, 01:20 left epoch 1/5"
        )
    bar.over("train b", 30.0, 7.0)
    assert bar.line() == "[3/3] running for 00:15"
    assert capsys.readouterr().err == "[1/3] train a: 15.0 s\n[2/3] train b: 7.0 s\n"


def test_the_bar_of_a_study_is_scaled_in_the_expected_time(monkeypatch):
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Overall(100.0, 2) as bar:
        with bar.job("train a", 60.0, one_piece=True):
            bar.start("a", 10)
            bar.advance(1)
            bar.advance(4)
            assert bar._bar.n == 30
        assert bar._bar.n == 60
    assert screen.getvalue().splitlines() != []


def test_the_bar_of_several_tasks_moves_by_time_and_never_back(monkeypatch, clock):
    monkeypatch.setattr(sys, "stderr", Terminal())
    with Overall(100.0, 2) as bar, bar.job("evaluate a", 40.0):
        positions = []
        for task in ("digits", "noise"):
            bar.start(task, 10)
            for _ in range(5):
                clock.now += 6
                bar.advance(2)
                positions.append(bar._bar.n)
        assert positions == sorted(positions)
        assert positions[0] == pytest.approx(6.0)
        assert positions[-1] == pytest.approx(38.0)  # longer than expected, and not at its end
        assert "evaluate a · noise 100 %" in sys.stderr.getvalue()


@pytest.mark.parametrize(
    ("spent", "done", "left"),
    [
        (0, 0, "16:40"),
        (3, 0, "21:40"),
        (3, 0.001, "21:39"),
        (400, 200, "26:01"),
        (9, 1000, "00:00"),
    ],
)
def test_the_remaining_time_does_not_hang_on_the_first_seconds(
    spent: float, done: float, left: str, monkeypatch, clock
) -> None:
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    with Overall(1000.0, 2) as bar:
        clock.now += spent
        bar.moved(done)
        with bar.job("evaluate a", 0.0):
            assert f" {left} left  [1/2] evaluate a" in screen.getvalue()


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


def test_each_of_several_running_jobs_has_a_line(clock, capsys):
    bar = Overall(100.0, 3)
    one, other = bar.begin("train a", 60.0, one_piece=True), bar.begin("train b", 30.0)
    clock.now += 5
    one.start("a on birds", 1000)
    one.advance(100)
    clock.now += 10
    one.advance(100, "epoch 1/5")
    assert bar.line().splitlines() == [
        "[1/3] train a · a on birds: 200 of 1,000, 10.0/s, 01:20 left epoch 1/5",
        "[1/3] train b · running for 00:15",
    ]
    other.end(15.0)
    assert capsys.readouterr().err == "[1/3] train b: 15.0 s\n"
    assert bar.line().startswith("[2/3] train a")


def test_the_bar_of_all_jobs_counts_each_job_once(clock):
    bar = Overall(100.0, 3)
    one, other = bar.begin("train a", 60.0, one_piece=True), bar.begin("train b", 30.0)
    one.start("a on birds", 1000)
    one.advance(500)
    assert bar._reached == pytest.approx(30.0)
    other.end(15.0)
    one.end(20.0)
    assert bar._reached == pytest.approx(90.0)
    bar.begin("train c", 10.0).end(None)
    assert bar._reached == pytest.approx(90.0)
