from __future__ import annotations

import csv
import dataclasses
import io
import math
from types import ModuleType
from typing import Any

import pytest

from sdd_eval.figures.selection import where
from sdd_eval.records import Measurement
from sdd_eval.report.tables.csv_file import harmless, to_csv
from sdd_eval.report.tables.results import AXES, COLUMNS
from sdd_eval.report.tables.summary import summarise, usable


def test_columns_are_the_documented_ones_then_axes_in_order(
    synthetic: ModuleType,
) -> None:
    results, _ = synthetic.table(synthetic.whole(seeds=1))
    others = ["attack", "bin", "constants", "flag", "gradient", "k", "norm", "restarts", "score"]
    others += ["steps"]
    assert list(results.columns) == [*COLUMNS, *AXES, *others]


def test_a_row_has_the_network_data_and_axes(synthetic: ModuleType) -> None:
    results, _ = synthetic.table(synthetic.whole(seeds=1))
    cell = where(results, corruption="fog", severity=3, sd_dropout=0.1).iloc[0]
    assert (cell["method"], cell["seed"], cell["arch"]) == ("ce", 0, "small_cnn")
    assert (cell["dataset"], cell["test_set"]) == ("digits_c_regenerated", "digits")
    assert cell["data"] == "digits: official; digits_c_regenerated: regenerated"
    assert (cell["n"], cell["limited"], cell["unit"]) == (360, False, "fraction")
    assert cell["group"] == "CE + SD-Dropout λ 0.1"


def test_a_row_of_one_ood_set_names_only_that_set(synthetic: ModuleType) -> None:
    results, _ = synthetic.table(synthetic.whole(seeds=1))
    rows = where(results, metric="auroc", sd_dropout=0.0)
    assert set(where(rows, outliers="uniform")["data"]) == {"digits: official; uniform: made here"}
    assert "partial: 300 of 1,000" in where(rows, outliers="average")["data"].iloc[0]


def test_the_summary_has_mean_sample_deviation_and_count_over_seeds(synthetic: ModuleType) -> None:
    runs = []
    for seed, value in enumerate((0.90, 0.92, 0.97)):
        net = synthetic.network(0.0, seed)
        runs.append(synthetic.run_of(net, "accuracy", [Measurement("accuracy", value, "fraction")]))
    row = summarise(synthetic.table(runs)[0]).iloc[0]
    assert row["mean"] == pytest.approx(0.93)
    assert row["std"] == pytest.approx(math.sqrt(0.0026 / 2))
    assert (row["n"], row["images"]) == (3, 360)


def test_rows_of_a_subset_are_never_averaged_with_full_ones(synthetic: ModuleType) -> None:
    full = [synthetic.accuracy_run(synthetic.network(0.0, seed)) for seed in (0, 1)]
    part = synthetic.accuracy_run(synthetic.network(0.0, 2), limit=64, n=64)
    results, _ = synthetic.table([*full, part])
    rows = where(summarise(results), metric="accuracy")
    assert sorted(zip(rows["limited"], rows["n"], strict=True)) == [(False, 2), (True, 1)]
    assert not usable(results)["limited"].any()


def test_different_recipes_are_different_groups_with_the_difference_in_the_label(
    synthetic: ModuleType,
) -> None:
    nets = [synthetic.network(0.1, seed, epochs=epochs) for epochs in (5, 10) for seed in (0, 1)]
    runs = [
        synthetic.accuracy_run(dataclasses.replace(net, name=f"net{index}"))
        for index, net in enumerate(nets)
    ]
    summary = where(summarise(synthetic.table(runs)[0]), metric="accuracy")
    assert list(summary["group"]) == [
        "CE + SD-Dropout λ 0.1 (epochs 5)",
        "CE + SD-Dropout λ 0.1 (epochs 10)",
    ]
    assert list(summary["n"]) == [2, 2]


def test_the_label_does_not_name_settings_that_are_the_defaults(synthetic: ModuleType) -> None:
    changes = [{}, {"weight_decay": 5e-4}, {"direction": "forward"}]
    runs = [
        synthetic.accuracy_run(
            dataclasses.replace(synthetic.network(1.0, 0, **change), name=f"net{index}")
        )
        for index, change in enumerate(changes)
    ]
    assert list(synthetic.table(runs)[0]["group"].unique()) == [
        "CE + SD-Dropout λ 1",
        "CE + SD-Dropout λ 1 (weight decay 0.0005)",
        "CE + SD-Dropout λ 1 (direction forward)",
    ]


def test_a_fitted_temperature_does_not_split_the_seeds(
    synthetic: ModuleType,
) -> None:
    results, _ = synthetic.table([synthetic.fgsm_run(net) for net in synthetic.pair()])
    assert where(results, temperature="fitted")["fitted"].nunique() > 3
    rows = where(summarise(results), metric="fgsm_accuracy", temperature="fitted", epsilon=0.2)
    assert set(rows["n"]) == {3}


def test_rows_of_replaced_weights_are_excluded(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    old = synthetic.accuracy_run(
        dataclasses.replace(net, weights="a" * 64), created="2026-01-01T00:00:00+00:00"
    )
    new = synthetic.accuracy_run(
        dataclasses.replace(net, weights="b" * 64), created="2026-02-01T00:00:00+00:00"
    )
    results, _ = synthetic.table([new, old])
    noted = results[results["note"] != ""]
    assert set(noted["run"]) == {f"study/{net.checkpoint}/1.json"}
    assert noted["note"].str.contains("older weights aaaaaaaaaaaa").all()
    assert set(summarise(results)["n"]) == {1}


def _with(run: Any, value: float) -> Any:
    return dataclasses.replace(run, measurements=(Measurement("accuracy", value, "fraction"),))


def test_runs_that_disagree_on_a_number_are_both_excluded(synthetic: ModuleType) -> None:
    run = synthetic.accuracy_run(synthetic.network(0.0, 0))
    results, _ = synthetic.table([_with(run, 0.9), _with(run, 0.8)])
    assert list(results["note"]) == ["runs disagree on this number: 0.9, 0.8"] * 2
    assert summarise(results).empty


def test_a_number_measured_twice_counts_once(synthetic: ModuleType) -> None:
    run = synthetic.accuracy_run(synthetic.network(0.0, 0))
    results, _ = synthetic.table([_with(run, 0.9), _with(run, 0.9)])
    assert list(results["note"] == "") == [True, False]
    assert list(summarise(results)["n"]) == [1]


def test_a_copy_of_a_checkpoint_is_not_another_seed(synthetic: ModuleType) -> None:
    net = synthetic.network(0.0, 0)
    runs = [
        synthetic.accuracy_run(dataclasses.replace(net, name=name, weights="a" * 64))
        for name in ("first", "second")
    ]
    results, _ = synthetic.table(runs)
    assert set(where(results, checkpoint="second")["note"]) == {"same weights as first"}


def test_nan_and_older_evaluator_versions_are_excluded(synthetic: ModuleType) -> None:
    net, other = synthetic.network(0.0, 0), synthetic.network(0.0, 1)
    runs = [
        _with(synthetic.accuracy_run(net, version=2), math.nan),
        _with(synthetic.accuracy_run(other), 0.5),
    ]
    results, _ = synthetic.table(runs)
    assert list(results["note"]) == [
        "not a finite number",
        "accuracy version 1; the study has version 2",
    ]


def test_an_axis_with_a_reserved_name_is_prefixed(synthetic: ModuleType) -> None:
    metrics = Measurement("flips", 3.0, "images", {"seed": 9, "layer": [1, 2]})
    results, _ = synthetic.table(
        [synthetic.run_of(synthetic.network(0.0, 4), "third_party", [metrics])]
    )
    assert list(results["seed"]) == [4]
    assert list(results["at_seed"]) == [9]
    assert list(results["layer"]) == ["[1, 2]"]


def test_csv_keeps_numbers_and_escapes_formulas(synthetic: ModuleType) -> None:
    metrics = [
        Measurement("change", -0.25, "fraction", {"where": "=cmd()|' /C calc'!A0"}),
        Measurement("change", 1e-7, "fraction", {"where": 'two\nlines, and "quotes"'}),
        Measurement("change", 0.5, "fraction", {"where": "\t@SUM(A1)"}),
    ]
    results, _ = synthetic.table([synthetic.run_of(synthetic.network(0.0, 0), "+odd", metrics)])
    rows = list(csv.DictReader(io.StringIO(to_csv(results))))
    assert [row["where"] for row in rows] == [
        "'=cmd()|' /C calc'!A0",
        'two\nlines, and "quotes"',
        "'\t@SUM(A1)",
    ]
    assert [float(row["value"]) for row in rows] == [-0.25, 1e-7, 0.5]
    assert rows[0]["value"] == "-0.25"
    assert rows[0]["evaluator"] == "'+odd"
    assert rows[0]["seed"] == "0"


def test_rows_can_be_selected_in_a_table_read_from_csv(synthetic: ModuleType) -> None:
    import pandas

    results, _ = synthetic.table(synthetic.whole(seeds=1))
    read = pandas.read_csv(io.StringIO(to_csv(results)), low_memory=False)
    for folder in (
        {"metric": "fgsm_accuracy", "variant": "pixel", "epsilon": 0.2, "temperature": 1.0},
        {"corruption": "fog", "severity": None},
    ):
        assert len(where(read, **folder)) == len(where(results, **folder)) > 0


def test_a_recipe_without_a_newer_field_has_its_default(synthetic):
    import dataclasses

    new = synthetic.accuracy_run(synthetic.network(0.0, 0))
    old = synthetic.accuracy_run(synthetic.network(0.0, 1))
    card = {k: v for k, v in old.provenance.recipe.items() if not k.startswith("probe")}
    assert len(card) < len(new.provenance.recipe)
    old = dataclasses.replace(old, provenance={**old.provenance.stored(), "card": card})
    table, _ = synthetic.table([new, old])
    assert set(table["group"]) == {"CE"}


def test_csv_equals_the_output_of_the_csv_module_with_ten_digits() -> None:
    import pandas

    odd = ["a,b", 'say "x"', "two\nlines", "\r", " led", "", "=1", "ε", "fog"]
    columns = {
        "text, quoted": odd,
        "equal": [1, 1.0, True, "1", 0, False, 0.0, 2, 2],
        "mixed": [1, 1.0, True, "1", None, float("nan"), 1e-05, -0.5, 10**20],
        "numbers": [0.1, 1.0, float("nan"), float("inf"), -0.0, 1e300, 5e-324, 2.5, 3.0],
        "counts": range(9),
    }
    table = pandas.DataFrame({name: pandas.Series(list(own)) for name, own in columns.items()})
    expected = io.StringIO()
    writer = csv.writer(expected, lineterminator="\n")
    writer.writerow(columns)
    for row in table.astype(object).itertuples(index=False):
        cells = [f"{cell:.10g}" if isinstance(cell, float) else harmless(cell) for cell in row]
        pairs = zip(row, cells, strict=True)
        writer.writerow(None if pandas.isna(cell) else text for cell, text in pairs)
    assert to_csv(table) == expected.getvalue()
