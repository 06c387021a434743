"""The registry of metrics: complete, well-formed, open to other packages; the format of numbers."""

from __future__ import annotations

import csv
import importlib.resources
import math
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from sdd_eval import plugins
from sdd_eval.checkpoints.history import GRADIENT_COLUMNS
from sdd_eval.former_names import FORMER_NAMES
from sdd_eval.metrics.formatting import format_difference, format_mean, format_number, format_value
from sdd_eval.metrics.registry import Metric, built_in, metric
from sdd_eval.object_detection.evaluator import PROTOCOLS
from sdd_eval.paper import paper_numbers
from sdd_eval.report.tables.columns import COLUMNS
from sdd_eval.statistics.seeds import SeedSummary

GOLDEN = Path(__file__).parents[1] / "golden" / "expected"
#: The tables of one evaluator: checkpoint, metric, axes, value, …
HEADER = ["", "", "", "value"]
RENAMED = {old: new for names in FORMER_NAMES.values() for old, new in names.metrics.items()}


def measured() -> dict[str, list[float]]:
    """The values of each metric that the evaluators report in the golden tables."""
    values: dict[str, list[float]] = {}
    for path in GOLDEN.glob("*.csv"):
        header, *rows = csv.reader(path.read_text().splitlines())
        if header[:4] == HEADER:
            for _, name, _, value, *_ in rows:
                values.setdefault(RENAMED.get(name, name), []).append(float(value))
    return values


def test_every_metric_of_the_evaluators_is_registered():
    names = {*measured(), *GRADIENT_COLUMNS, *PROTOCOLS}
    assert len(names) > 70
    assert names - built_in().keys() == set()
    assert {number.metric for number in paper_numbers()} <= built_in().keys()


def test_every_metric_that_an_evaluator_reports_is_registered_with_it():
    evaluators = {"audit": "attack", "mask-variance": "mask_variance"}
    for path in GOLDEN.glob("*.csv"):
        header, *rows = csv.reader(path.read_text().splitlines())
        if header[:4] == HEADER:
            kind = evaluators.get(path.stem, path.stem.split("-")[0])
            names = {RENAMED.get(name, name) for _, name, *_ in rows}
            assert {name for name in names if kind not in built_in()[name].evaluators} == set()
    assert all("detection" in built_in()[name].evaluators for name in PROTOCOLS)


def test_the_registered_evaluators_exist():
    names = {name for entry in built_in().values() for name in entry.evaluators}
    assert names == {
        name
        for name, point in plugins.points("evaluators").items()
        if point.value.startswith("sdd_eval.")
    }


def test_the_numbers_of_the_evaluators_are_in_the_range_of_their_metric():
    for name, values in measured().items():
        entry = metric(name)
        assert entry.lowest <= min(values) <= max(values) <= entry.highest, name


@pytest.mark.parametrize("name", built_in())
def test_an_entry_is_complete(name):
    entry = built_in()[name]
    assert entry.title
    assert entry.family
    assert entry.definition.endswith(".")
    assert entry.better in ("", "higher", "lower")
    assert entry.lowest < entry.highest
    assert entry.unit in ("fraction", "number", "nats", "images", "count", "percent of baseline")
    assert not entry.percent or (entry.unit, entry.digits) == ("fraction", 1)
    assert entry.digits == 0 or entry.unit not in ("images", "count")
    assert (entry.arrow == "") == (entry.better == "")


def test_the_table_of_metrics_is_part_of_the_package_and_names_each_once():
    source = importlib.resources.files("sdd_eval.metrics") / "metrics.csv"
    names = [row["name"] for row in csv.DictReader(source.read_text().splitlines())]
    assert sorted(names) == sorted(built_in())


def test_the_columns_of_the_headline_table_have_a_direction():
    assert all(column.arrow for column in COLUMNS)


def test_an_unregistered_metric_has_its_name_as_title_and_no_direction():
    entry = metric("my_rate", "fraction")
    assert (entry.title, entry.phrase, entry.better, entry.arrow) == ("my rate", "my rate", "", "")
    assert format_value(entry, 0.25) == "0.2500"
    assert format_difference(entry, -0.25) == "−0.2500"
    assert format_value(metric("my_images", "images"), 1200.0) == "1,200"


class Leads:
    """An evaluator of another package."""

    metrics = (Metric("lead", "Mean lead", "Mean of leads.", "nats", "higher", percent=False),)


@pytest.mark.parametrize("module", [__name__, "no_such_module"])
def test_evaluators_of_other_packages_register_their_metrics(module, monkeypatch):
    name = f"leads of {module}"  # looked up once for each set of names
    point = EntryPoint(name, f"{module}:Leads", "sdd_eval.evaluators")
    monkeypatch.setattr(plugins, "points", lambda group: {name: point})
    loaded = []

    def load(group, name):
        loaded.append(name)
        return Leads

    if module == __name__:
        monkeypatch.setattr(plugins, "load", load)
        assert metric("lead") is Leads.metrics[0]
        assert metric("lead").shown_unit == "nats"
        assert loaded == [name]
    else:
        assert metric("lead").title == "lead"


def test_the_built_in_evaluators_are_not_imported_for_an_unknown_metric(monkeypatch):
    monkeypatch.setattr(plugins, "load", lambda *_: pytest.fail("imported"))
    assert metric("no_such_metric").title == "no such metric"


def test_numbers_have_the_format_of_their_metric():
    accuracy, ece, missing = metric("accuracy"), metric("ece"), math.nan
    assert [format_value(accuracy, 0.9712), format_value(ece, 0.0432)] == ["97.1 %", "0.043"]
    assert format_mean(accuracy, SeedSummary(0.5, 0.01, 3), unit=True) == "50.0 ± 1.0 %"
    assert format_number(accuracy, -0.0001, sign=True) == "+0.0"
    assert format_difference(accuracy, 0.0123) == "+1.2 points"
    assert [format_value(accuracy, None), format_difference(ece, missing)] == ["—", "—"]
    assert format_number(metric("mask_variance"), 3e-5) == "3.0e-05"
    assert format_number(metric("mask_variance"), 0.0) == "0.000"
