"""Every example of the how-to pages on plugins is executed, and each plugin works as described."""

from __future__ import annotations

import csv
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from sdd_eval import evaluate, store
from sdd_eval.arrays import Arrays
from sdd_eval.evaluators.batch import Batch
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec


def rows() -> list[dict[str, str]]:
    with Path("reports/default/results.csv").open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_the_evaluator_measures_the_lead_and_its_number_is_in_the_report(execute):
    execute("docs/how-to/evaluator.md")
    measured = [r for r in rows() if (r["metric"], r["checkpoint"]) == ("certain", "plain")]
    assert {float(row["margin"]) for row in measured} == {2.0, 4.0}
    (path,) = Path("reports/default/runs/plain").glob("certainty-*.json")
    lead = store.read_run(path).arrays["lead"]
    values = {float(row["margin"]): float(row["value"]) for row in measured}
    assert values == {margin: np.mean(lead > margin) for margin in (2.0, 4.0)}
    assert all(float(row["low"]) <= float(row["value"]) <= float(row["high"]) for row in measured)
    (path,) = Path("reports/default/comparisons").glob("*.csv")
    with path.open(encoding="utf-8") as file:
        compared = {r["metric"]: r for r in csv.DictReader(file) if r["evaluator"] == "certainty"}
    assert set(compared) == {"certain", "mean_lead"}
    assert all(row["family"] == "headline" and row["p_adjusted"] for row in compared.values())


@pytest.fixture
def definitions(pages):
    """Return the definitions of the untitled Python blocks of the evaluator's page, by section."""
    blocks = [b for b in pages["docs/how-to/evaluator.md"] if b.language == "python"]
    shared: dict[str, object] = {"__name__": "__main__"}
    exec(compile(blocks[0].text, "my_package.py", "exec", dont_inherit=True), shared)
    examples = [block for block in blocks if not block.title and "def " in block.text]
    namespaces = [dict(shared) for _ in examples]
    for block, namespace in zip(examples, namespaces, strict=True):
        exec(compile(block.text, "evaluator.md", "exec", dont_inherit=True), namespace)
    return namespaces


def measured(namespace: dict[str, Any], **members: Any) -> Arrays:
    """Return the arrays of the page's evaluator with the `collect` of a block."""
    members |= {"collect": namespace["collect"], "statistics": lambda *_: ()}
    kind = dataclass(frozen=True)(type("Changed", (namespace["Certainty"],), members))
    network = build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8)).eval()
    return evaluate(network, kind(), data="digits", limit=20).arrays


def test_the_evaluators_ratio_is_a_statistic_with_a_bootstrap_interval(definitions):
    ratio, _, _ = definitions
    first, second = np.random.default_rng(0).uniform(1, 2, (2, 100))
    statistic = ratio["ratio"](first, second)
    assert statistic.values == pytest.approx([first.mean() / second.mean()])
    ((low, high),) = [(i.low, i.high) for i in statistic.intervals(0.95, lambda _: 200)]
    assert low < statistic.values[0] < high


def test_an_evaluator_collects_further_sets(definitions):
    _, sets, _ = definitions
    outliers = sets["outliers"]
    arrays = measured(sets, outliers=outliers, __annotations__={"outliers": tuple[str, ...]})
    assert arrays["logits"].shape == (20, 10)
    assert arrays.coordinates("outliers")
    assert arrays.facts == {"temperature": 1.0}


def test_an_evaluator_collects_in_parts(definitions):
    *_, parts = definitions

    def part(self, subject, i):
        return {"lead": np.full(2, i)}

    assert list(measured(parts, _part=part)["lead"]) == [i for i in range(10) for _ in range(2)]


def test_the_detectors_score_images_as_their_pages_say(execute):
    execute("docs/how-to/detector.md")
    (path,) = store.run_paths(Path("reports/default"))
    auroc = [m for m in store.read_run(path).measurements if m.metric == "auroc"]
    assert {m.at["detector"] for m in auroc} == {"lead", "centroid", "msp"}
    network = build(ModelSpec("small_cnn", 3, (0.3,), (0.4,), 8)).eval()
    batch = Batch(network, torch.rand(4, 1, 8, 8))
    ranked = batch.logits.sort(dim=1).values
    lead = sys.modules["my_detectors"].Lead().scores(batch)
    torch.testing.assert_close(lead, ranked[:, -1] - ranked[:, -2])


def test_the_method_trains_with_and_without_sd_dropout(execute):
    execute("docs/how-to/method.md")
    folder = Path("checkpoints/digits-small_cnn-focal-sdd0.1-seed0")
    with (folder / "history.csv").open(encoding="utf-8") as file:
        (epoch,) = csv.DictReader(file)
    assert float(epoch["focal"]) > 0
    assert float(epoch["auxiliary_ce"]) > 0
    focal = sys.modules["my_methods"].Focal(gamma=0.0)
    assert focal.auxiliary_weight == 0.3


def test_the_data_set_is_listed_trained_on_and_measured(execute):
    commands = execute("docs/how-to/data-set.md")
    assert ["data", "list"] in commands
    assert {p.name.split("-")[1] for p in store.run_paths(Path("reports/default"))} == {"stripes"}


def test_the_figure_is_drawn_in_the_report(execute):
    execute("docs/how-to/figure.md")
    assert list(Path("reports/default/figures").glob("accuracy_and_ece*"))
    assert Path("accuracy_and_ece.png").stat().st_size > 0
    assert "Accuracy and calibration" in Path("reports/default/index.html").read_text()
