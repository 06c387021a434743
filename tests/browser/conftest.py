"""A synthetic report opened in Debian's Chromium, if that and Playwright are installed."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

METHODS = ("ce", "ls", "byot", "cs_kd", "dml")
CHROMIUM = shutil.which("chromium")
#: Nothing that Chromium does by itself: no updates, no first-run pages, no sandbox for root.
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Start headless Chromium; skip the tests if it or Playwright is missing."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed (apt-get install chromium)")
    with sync_api.sync_playwright() as playwright:
        instance = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield instance
        instance.close()


@pytest.fixture(scope="session")
def report(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of three methods: all evaluators, a comparison, a hostile name, a gap."""
    from sdd_eval.comparison.compare import compare
    from sdd_eval.report.drawing import draw
    from sdd_eval.report.write import write_report

    hostile = "<script>alert('x')</script> \u202eabc"
    odd = dataclasses.replace(synthetic.network(0.0, 0, method=hostile), name="odd")
    nets = [*synthetic.pair(), odd]
    runs = [make(net) for net in nets[:-1] for make in synthetic.MAKERS.values()]
    runs.append(synthetic.accuracy_run(nets[-1]))
    study = synthetic.write_study(tmp_path_factory.mktemp("browser") / "study", runs)
    compare(study, [net.checkpoint for net in nets[:-1]])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "FORMATS", ("svg",))  # what the page shows
        return write_report(study)


@pytest.fixture(scope="session")
def leaderboard(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of five methods, which is sorted and filtered."""
    from sdd_eval.report import write

    nets = [synthetic.network(0.0, 0, i / 100, method=m) for i, m in enumerate(METHODS)]
    runs = [synthetic.accuracy_run(net) for net in nets]
    runs += [synthetic.calibration_run(net) for net in nets[1:]]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(write, "draw_figures", lambda *rest: ([], []))
        folder = tmp_path_factory.mktemp("leaderboard") / "study"
        return write.write_report(synthetic.write_study(folder, runs))


@pytest.fixture(scope="session")
def single(synthetic: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write a page of one network with all evaluators and pictures."""
    from sdd_eval.report.drawing import draw
    from sdd_eval.report.write import write_report

    runs = [make(synthetic.network(0.0, 0)) for make in synthetic.MAKERS.values()]
    kinds = {"accuracy": ("mistakes", ("",), 12), "corruption": ("corruption", ("clean", "fog"), 1)}
    runs = [
        synthetic.pictured(run, *kinds[run.evaluator]) if run.evaluator in kinds else run
        for run in runs
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(draw, "FORMATS", ("svg",))
        folder = tmp_path_factory.mktemp("single") / "study"
        return write_report(synthetic.write_study(folder, runs))


class Opened:
    """A page with its requests and the messages of its console."""

    def __init__(self, browser: Any, path: Path, **context: Any) -> None:
        """Open the page."""
        self.context = browser.new_context(**context)
        self.page = self.context.new_page()
        self.requests: list[str] = []
        self.messages: list[str] = []
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.goto(path.as_uri())


@pytest.fixture
def board(browser: Any, leaderboard: Path) -> Iterator[Opened]:
    """The leaderboard at the width of a desktop screen."""
    instance = Opened(browser, leaderboard, viewport={"width": 1280, "height": 900})
    yield instance
    instance.context.close()


@pytest.fixture
def opened(browser: Any, report: Path) -> Iterator[Opened]:
    """The report at the width of a desktop screen."""
    instance = Opened(browser, report, viewport={"width": 1280, "height": 900})
    yield instance
    instance.context.close()
