"""A third-party plugin of each kind, installed from a wheel."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.report.text.headline import headline_text

PROJECT = """
    [build-system]
    requires = ["hatchling"]
    build-backend = "hatchling.build"

    [project]
    name = "third_party"
    version = "3.2"

    [project.entry-points."sdd_eval.evaluators"]
    certainty = "third_party:Certainty"
    broken = "third_party_missing:Nothing"

    [project.entry-points."sdd_eval.detectors"]
    lead = "third_party:Lead"
    "a.b_c d" = "third_party:Odd"

    [project.entry-points."sdd_eval.methods"]
    squared = "third_party:Squared"

    [project.entry-points."sdd_eval.datasets"]
    stripes = "third_party:STRIPES"

    [project.entry-points."sdd_eval.figures"]
    certainty_bars = "third_party:certainty_bars"

    [tool.hatch.build.targets.wheel]
    only-include = ["third_party.py"]
"""

MODULE = '''
    """Plugins of another package."""

    from __future__ import annotations

    import hashlib
    from dataclasses import dataclass
    from typing import ClassVar

    import numpy as np
    import torch

    from sdd_eval.data.dataset import Status
    from sdd_eval.data.images import ArrayImages
    from sdd_eval.evaluators import Evaluator
    from sdd_eval.evaluators.settings import collects, scores
    from sdd_eval.metrics.registry import Metric
    from sdd_eval.statistics import Quantity, means, shares
    from sdd_eval.training.methods.method import Losses


    @dataclass(frozen=True)
    class Certainty(Evaluator):
        """The share of images with a high top probability, and the mean top probability."""

        name: ClassVar[str] = "certainty"
        version: ClassVar[int] = 1
        metrics: ClassVar[tuple] = (
            Metric("sure", "Sure predictions", "Share of sure predictions.", better="higher"),
        )

        temperature: float = collects(1.0)
        """Temperature of the softmax."""
        above: float = scores(0.9)
        """From which probability on a prediction is called sure."""

        def collect(self, subject):
            logits = subject.logits().astype(np.float64) / self.temperature
            logits -= logits.max(axis=1, keepdims=True)
            return {"top": 1 / np.exp(logits).sum(axis=1)}

        def statistics(self, arrays):
            at, text = {"above": self.above}, f"top probability > {self.above}"
            yield shares([Quantity("sure", "fraction", at, text)], [arrays["top"] > self.above])
            mean = Quantity("mean_top", "fraction", {}, "mean top probability")
            yield means([mean], [arrays["top"]], highest=1.0)


    @dataclass(frozen=True)
    class Lead:
        """How far the largest logit stands above the second."""

        name: ClassVar[str] = "lead"
        protocol: ClassVar[str] = "lead: largest logit less the second"

        def scores(self, batch):
            first, second = batch.logits.topk(2, dim=1).values.T
            return first - second


    @dataclass(frozen=True)
    class Odd(Lead):
        """The same under a name with a dot, an underscore and a space."""

        name: ClassVar[str] = "a.b_c d"


    @dataclass(frozen=True)
    class Stripes:
        """Horizontal against vertical stripes."""

        name: str = "stripes"
        summary: str = "horizontal against vertical stripes, made here"
        archives: tuple = ()

        def status(self, root):
            return Status("made here", 64, "made here")

        def load(self, root, split="test", *, image_size=None, channels=None):
            random = np.random.default_rng(0 if split == "train" else 1)
            labels = np.arange(64) % 2
            images = random.integers(0, 60, (64, 1, 8, 8), dtype=np.uint8)
            images[labels == 0, :, ::2] += 150
            images[labels == 1, :, :, ::2] += 150
            content = hashlib.sha256(images.tobytes()).hexdigest()
            names = ("horizontal", "vertical")
            return ArrayImages(self.name, images, labels, content, "made here", names)


    STRIPES = Stripes()


    @dataclass(frozen=True)
    class Squared:
        """Squared error of the probabilities (the Brier score) instead of cross-entropy."""

        name: ClassVar[str] = "squared"
        views: ClassVar[int] = 1
        partners: ClassVar[bool] = False

        scale: float = 1.0
        """Factor of the loss."""

        def parts(self, network):
            return {}

        def losses(self, step):
            activations = step.network.activations(step.batch.pixels)
            logits = step.network.classify(activations["features"]).float()
            wanted = torch.nn.functional.one_hot(step.batch.labels, logits.shape[1])
            squared = (logits.softmax(dim=1) - wanted).square().sum(dim=1).mean()
            return Losses({"squared": self.scale * squared}, logits, activations)


    def certainty_bars(results, scores=None):
        """One bar a checkpoint."""
        from matplotlib.figure import Figure

        rows = results[results["metric"] == "sure"]
        if rows.empty:
            return None
        figure = Figure(figsize=(3.3, 2))
        figure.subplots().bar(rows["checkpoint"], rows["value"])
        return figure
'''


@pytest.fixture(scope="module")
def site(install) -> Path:
    """A folder with the third-party wheel installed in it."""
    return install(PROJECT, {"third_party.py": MODULE})


@pytest.fixture(scope="module")
def sdd_eval(site, tmp_path_factory):
    """Run `sdd-eval` in an empty folder with the third-party package importable."""
    folder = tmp_path_factory.mktemp("work")

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        out, err = io.StringIO(), io.StringIO()
        with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
            patch.syspath_prepend(site)
            patch.chdir(folder)
            try:
                code = exit_code(arguments)
            except SystemExit as ended:  # --help
                code = ended.code or 0
        return subprocess.CompletedProcess(arguments, code, out.getvalue(), err.getvalue())

    run.folder = folder
    yield run
    sys.modules.pop("third_party", None)


#: Both third-party detectors on one set of outliers.
ODD = ("--detectors", "lead", "a.b_c d", "--outliers", "uniform")


def done(process: subprocess.CompletedProcess[str]) -> str:
    assert process.returncode == 0, process.stderr
    return process.stdout


@pytest.fixture(scope="module")
def trained(sdd_eval) -> str:
    """A checkpoint trained by the third-party method on the third-party data."""
    recipe = "--method squared --scale 2 --sd-dropout 0.1 --dataset stripes --arch small_cnn"
    rest = "--standardisation stripes --augmentation none --epochs 3 --batch-size 16"
    done(sdd_eval("train", *recipe.split(), *rest.split()))
    return "stripes-small_cnn-squared-sdd0.1-scale2.0-seed0"


def test_a_plugin_that_fails_to_import_is_listed_and_the_others_work(sdd_eval):
    listed = sdd_eval("plugins")
    assert listed.returncode == 1
    lines = {line.split()[1]: line for line in listed.stdout.splitlines()[1:]}
    assert "No module named 'third_party_missing'" in lines["broken"]
    assert all(line.endswith("ok") for name, line in lines.items() if name != "broken")
    assert "third_party 3.2" in lines["certainty"]


def test_using_a_broken_plugin_gives_a_one_line_error(sdd_eval):
    command = sdd_eval("broken", "checkpoint")
    assert command.returncode == 2
    assert command.stderr.count("\n") == 1


def test_a_third_party_data_set_is_listed(sdd_eval):
    assert "stripes" in done(sdd_eval("data", "list"))


def test_third_party_settings_become_flags(sdd_eval):
    assert "--scale" in done(sdd_eval("train", "--method", "squared", "--help"))
    help_text = done(sdd_eval("certainty", "--help"))
    assert "--above" in help_text
    assert "From which probability" in help_text


def test_a_third_party_method_trains_and_its_options_are_on_the_card(sdd_eval, trained):
    card = json.loads(done(sdd_eval("show", trained)))
    assert card["recipe"]["method_options"] == {"scale": 2.0}
    measured = json.loads(done(sdd_eval("accuracy", trained, "--json")))
    (accuracy,) = [m for m in measured["measurements"] if m["metric"] == "accuracy"]
    assert accuracy["value"] > 0.9


def test_a_third_party_evaluator_runs_once_and_is_scored_again(sdd_eval, trained):
    assert "measured" in done(sdd_eval("certainty", trained))
    assert "stored run reused" in done(sdd_eval("certainty", trained))
    assert "re-scored" in done(sdd_eval("certainty", trained, "--above", "0.5"))
    run = json.loads(done(sdd_eval("certainty", trained, "--above", "0.5", "--json")))
    sure = [m for m in run["measurements"] if m["metric"] == "sure"]
    assert [m["at"] for m in sure] == [{"above": 0.9}, {"above": 0.5}]
    assert all(m["low"] <= m["value"] <= m["high"] for m in run["measurements"])
    assert "measured" in done(sdd_eval("certainty", trained, "--temperature", "2"))


def test_a_third_party_detector_is_used_with_the_built_in_ones(sdd_eval, trained):
    command = f"ood {trained} --detectors lead knn --outliers uniform --json".split()
    refused = sdd_eval(*command)
    assert refused.returncode == 2
    assert "knn needs neighbours 50, 200; stripes has 64 training images" in refused.stderr
    run = json.loads(done(sdd_eval(*command[:4], *command[5:])))
    (auroc,) = [
        m
        for m in run["measurements"]
        if m["metric"] == "auroc" and m["at"] == {"detector": "lead", "outliers": "uniform"}
    ]
    protocol = run["protocols"][auroc["protocol"]]
    assert protocol["score"] == "lead: largest logit less the second"


@pytest.fixture(scope="module")
def seeds(sdd_eval, trained) -> list[str]:
    """Two seeds of the third-party method and two of cross-entropy, measured and in one study."""
    rest = "--dataset stripes --arch small_cnn --standardisation stripes --augmentation none"
    for method in ("squared --scale 2 --sd-dropout 0.1", "ce"):
        for seed in ("0", "1"):
            command = f"train --method {method} {rest} --epochs 3 --batch-size 16 --seed {seed}"
            if (method, seed) != ("squared --scale 2 --sd-dropout 0.1", "0"):
                done(sdd_eval(*command.split()))
    names = ["stripes-small_cnn-ce-seed0", "stripes-small_cnn-ce-seed1"]
    names += [trained, trained.replace("seed0", "seed1")]
    for name in names:
        done(sdd_eval("certainty", name, "--study", "contract"))
        done(sdd_eval("ood", name, *ODD, "--study", "contract"))
    return names


def test_third_party_numbers_are_compared_by_paired_tests(sdd_eval, seeds):
    done(sdd_eval("compare", seeds[0], seeds[2], "--study", "contract"))
    rows = _comparison(sdd_eval)
    tests = {row["metric"]: row["test"] for row in rows if row["evaluator"] == "certainty"}
    assert tests == {"sure": "McNemar, mid-p", "mean_top": "paired permutation"}
    assert all(row["low"] and row["p"] for row in rows if row["evaluator"] == "certainty")


def test_third_party_numbers_are_compared_over_seeds(sdd_eval, seeds):
    done(sdd_eval("compare", *seeds, "--study", "contract"))
    rows = {row["metric"]: row for row in _comparison(sdd_eval) if row["evaluator"] == "certainty"}
    assert rows.keys() == {"sure", "mean_top"}
    assert "over seeds" in rows["mean_top"]["test"]
    assert float(rows["mean_top"]["low"]) < float(rows["mean_top"]["difference"])
    assert 0 < float(rows["mean_top"]["p"]) <= 1


def test_a_detector_may_have_any_name(sdd_eval, seeds):
    rows = [r for r in _comparison(sdd_eval) if r["evaluator"] == "ood"]
    assert {row["detector"] for row in rows} == {"lead", "a.b_c d"}
    odd, plain = (
        {
            r["metric"]: r["base"]
            for r in rows
            if r["detector"] == name and r["outliers"] == "uniform"
        }
        for name in ("a.b_c d", "lead")
    )
    assert odd == plain


def _comparison(sdd_eval) -> list[dict[str, str]]:
    """The rows of the newest comparison's CSV."""
    folder = sdd_eval.folder / "reports" / "contract" / "comparisons"
    path = max(folder.glob("*.csv"), key=lambda path: path.stat().st_mtime_ns)
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_third_party_metrics_are_in_the_csv_the_latex_tables_and_the_page(sdd_eval, seeds):
    done(sdd_eval("report", "contract"))
    study = sdd_eval.folder / "reports" / "contract"
    for path in ("results.csv", "summary.csv"):
        with (study / path).open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert {"sure", "mean_top"} <= {row["metric"] for row in rows}, path
        assert "a.b_c d" in {row["detector"] for row in rows}, path
    page = (study / "index.html").read_text(encoding="utf-8")
    assert all(name in page for name in ("Sure predictions", "mean top", "a.b_c d"))
    for name in ("certainty.tex", "certainty-wide.tex"):
        assert "Sure predictions" in (study / "tables" / name).read_text(encoding="utf-8"), name


def test_a_registered_third_party_metric_has_a_column_of_the_headline_table(
    sdd_eval, seeds, site, monkeypatch
):
    monkeypatch.syspath_prepend(site)
    text = headline_text(sdd_eval.folder / "reports" / "contract")
    assert "Sure predictions" in text
    assert "mean top" not in text  # it is not registered


def test_third_party_numbers_and_figure_are_in_the_report(sdd_eval, trained):
    done(sdd_eval("certainty", trained))
    done(sdd_eval("report"))
    study = sdd_eval.folder / "reports" / "default"
    assert "certainty" in (study / "results.csv").read_text()
    assert "certainty" in (study / "index.html").read_text()
    assert list((study / "figures").glob("certainty_bars*.pdf"))
