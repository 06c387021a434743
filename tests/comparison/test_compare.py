"""Comparisons of networks: matching, tests, adjustment and printed notes."""

from __future__ import annotations

import dataclasses
import itertools
import os
import re
import subprocess
import sys
from pathlib import Path

import msgspec
import numpy as np
import pytest

from sdd_eval.arrays import Array, Arrays
from sdd_eval.cli import exit_code
from sdd_eval.comparison.compare import compare
from sdd_eval.comparison.differences import paired_differences
from sdd_eval.comparison.matching import run_differences
from sdd_eval.comparison.records import MetricDifference
from sdd_eval.comparison.store import load_comparisons
from sdd_eval.errors import InputError
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.evaluators.ood.ood import Odin
from sdd_eval.metrics.ranking_statistics import MAX_RANKS, ranks
from sdd_eval.protocol import Protocol
from sdd_eval.records import Recipe, Run, encode
from sdd_eval.report.latex.evaluators import comparison_table
from sdd_eval.statistics.hypothesis_tests import mcnemar, permutations_needed
from sdd_eval.statistics.statistic import Quantity, mean_of_cells
from sdd_eval.statistics.sums import SumStatistic, permutation_p_values, swap_indicators
from sdd_eval.store import write_run

LABELS = np.arange(200) % 10


def accuracy_run(name: str, right: float, seed: int, recipe: Recipe | None = None) -> Run:
    """Return a run of `accuracy` of a synthetic network with this accuracy."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(size=(200, 10)).astype(np.float32)
    sure = generator.random(200) < right
    logits[np.arange(200), LABELS] += np.where(sure, 8, 0).astype(np.float32)
    return run_of(name, Accuracy(), {"logits": logits, "labels": LABELS}, recipe)


def run_of(name, evaluator, arrays, recipe=None) -> Run:
    return Run(
        checkpoint=name,
        weights_sha256=name.encode().hex()[:64].ljust(64, "0"),
        dataset="digits",
        data_fingerprint="f" * 64,
        evaluator=evaluator.name,
        evaluator_version=evaluator.version,
        settings=encode(
            {f.name: getattr(evaluator, f.name) for f in dataclasses.fields(evaluator)}
        ),
        limit=None,
        n=200,
        measurements=tuple(evaluator.score(arrays)),
        provenance={
            "card": encode(recipe) if recipe else None,
            "model": {"arch": "small_cnn", "mean": [0.3], "std": [0.4]},
            "data": {"digits": {"origin": "official", "fingerprint": "d"}},
            "created": "2026-01-02",
        },
        arrays=arrays,
    )


def study_of(folder: Path, *runs: Run) -> Path:
    for number, run in enumerate(runs):
        write_run(folder / "s/runs" / run.checkpoint / f"{run.evaluator}-digits-{number}.json", run)
    return folder / "s"


def found_row(rows, metric: str) -> MetricDifference:
    return next(row for row in rows if row.metric == metric)


def test_accuracies_have_mcnemars_test_of_the_images_that_changed(tmp_path):
    one, two = accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2)
    (pair,) = compare(study_of(tmp_path, one, two), ["one", "two"]).pairs
    row = found_row(pair.rows, "accuracy")
    flags = [run.arrays["logits"].argmax(axis=1) == LABELS for run in (one, two)]
    assert row.p == mcnemar(*flags).mid_p
    assert row.difference == flags[1].mean() - flags[0].mean()
    assert row.low < row.difference < row.high
    assert row.verdict == "higher"
    (exact,) = compare(tmp_path / "s", ["one", "two"], test="exact").pairs
    assert found_row(exact.rows, "accuracy").p == mcnemar(*flags).exact


@pytest.mark.parametrize("n", [50, 1000])
def test_networks_that_are_right_for_the_same_images_have_a_difference_of_positive_width(n):
    quantity, right = Quantity("mca", "fraction", {}, ""), np.arange(n) % 2
    network = mean_of_cells([quantity], [right])
    ((row,),) = paired_differences([(network, network)], [99])
    assert (row.value, row.p) == (0, 1)
    assert 0 < row.high - row.low < 4 / n
    assert row.low < 0 < row.high


def test_permuting_sums_equals_permuting_every_swap(tmp_path):
    """All 256 swaps of 8 images are enumerated."""
    generator = np.random.default_rng(0)
    first, second = generator.random((2, 8)).astype(np.float32)
    means = [SumStatistic(item[:, None], lambda sums: sums / 8, 8) for item in (first, second)]
    real = abs(float((second - first).mean()))
    swaps = [np.array(signs) for signs in itertools.product((1, -1), repeat=8)]
    share = np.mean([abs(float(((second - first) * s).mean())) >= real - 1e-7 for s in swaps])
    p, _ = permutation_p_values(*means, 20_000, max_exceedances=20_000)
    assert p[0] == pytest.approx(share, abs=0.012)


def test_swaps_are_fair_and_distinct():
    thrown = np.concatenate(list(swap_indicators(1000, 700)))
    assert thrown.shape == (700, 1000)
    assert set(np.unique(thrown)) == {0, 1}
    assert thrown.mean() == pytest.approx(0.5, abs=0.004)  # 6 standard errors
    assert len(np.unique(thrown, axis=0)) == 700
    assert np.abs(np.corrcoef(thrown[:50]) - np.eye(50)).max() < 0.2


def test_a_difference_of_zero_stops_after_few_permutations():
    same = SumStatistic(np.ones((20, 1), dtype=np.float32), lambda sums: sums / 20, 20)
    p, took = permutation_p_values(same, same, 100_000)
    assert p[0] == 1
    assert took[0] == 50


def test_networks_that_differ_by_chance_are_rarely_significant():
    """Family-wise: of 100 pairs of equal networks about 5 may have any p below 5 %."""
    generator = np.random.default_rng(5)
    wrong = 0
    for seed in range(100):
        sides = generator.random((2, 80, 4)).astype(np.float32)
        one, two = (SumStatistic(side, lambda sums: sums / 80, 80) for side in sides)
        wrong += (
            permutation_p_values(one, two, permutations_needed(4), seed=seed)[0].min() <= 0.05 / 4
        )
    assert wrong <= 12  # P(more) < 0.3 % at a true 5 %


def test_rank_blocks_have_equal_numbers_of_images():
    blocks = ranks(np.random.default_rng(0).normal(size=8 * MAX_RANKS))
    assert np.unique(np.bincount(blocks, minlength=MAX_RANKS)).tolist() == [8]


def test_outliers_are_compared_set_by_set(tmp_path):
    runs = []
    for seed, name, shift in ((1, "one", 0.2), (2, "two", 1.5)):
        generator = np.random.default_rng(seed)
        arrays = Arrays(
            [
                Array("scores", generator.normal(shift, 1, 200)),
                Array("scores", generator.normal(0, 1, 150), at={"outliers": "svhn"}),
                Array("scores", generator.normal(0, 1, 100), at={"outliers": "dtd"}),
            ]
        )
        runs.append(run_of(name, Odin(training="digits"), arrays.at(detector="odin")))
    (pair,) = compare(study_of(tmp_path, *runs), ["one", "two"]).pairs
    rows = [row for row in pair.rows if row.metric == "auroc"]
    assert {row.at["outliers"]: row.family for row in rows} == {
        "svhn": "cells",
        "dtd": "cells",
        "average": "headline",
    }
    assert all(row.verdict == "higher" for row in rows)
    assert {row.size for row in rows if row.family == "cells"} == {4}  # AUROC and FPR, two sets


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evaluator_version": 9}, "evaluator version"),
        ({"data_fingerprint": "0" * 64}, "data"),
        ({"n": 100, "limit": 100}, "images"),
        ({"settings": {"epsilon": 0.1}}, "epsilon"),
        ({"provenance": {"model": {"mean": [0.5], "std": [0.4]}}}, "standardisation, mean"),
    ],
)
def test_runs_under_other_conditions_are_listed_as_different(change, message):
    run = accuracy_run("one", 0.5, 1)
    assert run_differences(run, run) == []
    assert any(
        message in reason for reason in run_differences(run, dataclasses.replace(run, **change))
    )


def test_unmatched_measurements_have_a_reason_instead_of_a_row(tmp_path):
    one = accuracy_run("one", 0.5, 1)
    two = dataclasses.replace(accuracy_run("two", 0.9, 2), data_fingerprint="0" * 64)
    (pair,) = compare(study_of(tmp_path, one, two), ["one", "two"]).pairs
    assert pair.rows == ()
    assert pair.apart[0].startswith("accuracy on digits: differ: data ffff")


def test_what_only_one_side_has_is_listed_with_that_side(tmp_path):
    one, two = accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2)
    further = [dataclasses.replace(run, dataset=name) for run, name in ((one, "a"), (two, "b"))]
    (pair,) = compare(study_of(tmp_path, one, two, *further), ["one", "two"]).pairs
    assert pair.apart == (
        "accuracy on a: only the first side was measured",
        "accuracy on b: only the second side was measured",
    )


def test_a_measurement_with_another_protocol_is_listed_as_different(tmp_path):
    one, two = accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2)
    other = [msgspec.structs.replace(m, protocol=Protocol("another")) for m in two.measurements[:1]]
    two = dataclasses.replace(two, measurements=(*other, *two.measurements[1:]))
    (pair,) = compare(study_of(tmp_path, one, two), ["one", "two"]).pairs
    assert pair.apart == ("accuracy, accuracy: differ: protocols",)
    assert "accuracy" not in {row.metric for row in pair.rows}


def over_seeds() -> list[Run]:
    """Three seeds of two recipes."""
    return [
        accuracy_run(
            f"{weight}-{seed}",
            right,
            10 * seed + round(weight),
            Recipe(sd_dropout=weight, seed=seed),
        )
        for weight, right in ((0.0, 0.5), (1.0, 0.8))
        for seed in range(3)
    ]


def test_a_measurement_missing_or_different_in_one_seed_is_listed_as_different(tmp_path):
    runs = over_seeds()
    other = [
        msgspec.structs.replace(m, protocol=Protocol("another")) for m in runs[4].measurements[:1]
    ]
    runs[4] = dataclasses.replace(runs[4], measurements=(*other, *runs[4].measurements[1:]))
    more = dataclasses.replace(runs[5], dataset="digits_validation")
    (pair,) = compare(study_of(tmp_path, *runs, more), [run.checkpoint for run in runs]).pairs
    assert pair.apart == (
        "accuracy, accuracy: differ: protocols",
        "accuracy on digits_validation: not measured on 0.0-0",
    )
    assert "accuracy" not in {row.metric for row in pair.rows}


def test_every_pair_of_a_comparison_has_a_label_of_its_own_for_latex(tmp_path):
    runs = [accuracy_run(name, right, 1) for name, right in (("a", 0.5), ("b", 0.6), ("c", 0.7))]
    pairs = compare(study_of(tmp_path, *runs), ["a", "b", "c"]).pairs
    assert len({comparison_table(pair).name for pair in pairs}) == len(pairs) == 2
    assert comparison_table(pairs[0]).details.startswith("one each on ")


def test_seeds_of_a_recipe_are_compared_over_seeds(tmp_path):
    runs = over_seeds()
    (pair,) = compare(study_of(tmp_path, *runs), [run.checkpoint for run in runs]).pairs
    assert (len(pair.base), len(pair.others)) == (3, 3)
    row = found_row(pair.rows, "accuracy")
    assert row.test == "Welch, over seeds"
    assert row.detectable > 0
    assert row.both_low < row.difference < row.both_high


def test_a_comparison_is_computed_once_and_again_when_a_run_changes(tmp_path):
    study = study_of(tmp_path, accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2))
    compare(study, ["one", "two"])
    (path,) = (study / "comparisons/pairs").glob("*.json")
    before = path.stat().st_mtime_ns
    compare(study, ["one", "two"])
    assert path.stat().st_mtime_ns == before
    study_of(tmp_path, accuracy_run("one", 0.6, 1))
    compare(study, ["one", "two"])
    assert len(list((study / "comparisons/pairs").glob("*.json"))) == 2
    ((pair,), broken) = load_comparisons(study)
    assert (pair.outdated, broken) == ("", [])


def test_the_command_prints_the_family_with_any_selection(tmp_path, capsys):
    study_of(tmp_path, accuracy_run("one", 0.5, 1), accuracy_run('=cmd(),"x', 0.9, 2))
    command = ["compare", "one", '=cmd(),"x', "--study", "s", "--reports", str(tmp_path)]
    assert exit_code([*command, "--no-figures"]) == 0
    output = capsys.readouterr().out
    assert "family headline: 1 tests" in output
    assert re.search(r"accuracy .* (better|no difference shown)$", output, re.MULTILINE)
    assert exit_code([*command, "--no-figures", "--metrics", "ece"]) == 0
    output = capsys.readouterr().out
    assert "family headline: 1 tests" in output
    assert not re.search("better|no difference shown", output)
    (csv,) = (tmp_path / "s/comparisons").glob("*.csv")
    csv.unlink()
    for name, message in (("acuracy", "'acuracy'; did you mean 'accuracy'?"), ("", "metric ''")):
        assert exit_code([*command, "--no-figures", "--metrics", name]) == 2
        assert message in capsys.readouterr().err
    assert not csv.exists()
    with pytest.warns(DeprecationWarning, match="ece_calibrated is now called ece_floor"):
        assert exit_code([*command, "--no-figures", "--metrics", "ece_calibrated"]) == 0
    assert "\n=cmd" not in csv.read_text()
    assert "'=cmd" in csv.read_text()
    assert r"\toprule" in csv.with_suffix(".tex").read_text()


@pytest.mark.parametrize("names", [["one"], ["one", "one"], ["one", "tow"], ["../one", "two"]])
def test_wrong_names_are_one_line(tmp_path, names):
    study = study_of(tmp_path, accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2))
    with pytest.raises(InputError):
        compare(study, names)


def test_a_closed_output_pipe_ends_the_command_after_the_files_are_written(tmp_path):
    study = study_of(tmp_path, accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2))
    command = [sys.executable, "-m", "sdd_eval", "compare", "one", "two", "--no-figures"]
    command += ["--study", "s", "--reports", str(tmp_path)]
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as gone:
        done = subprocess.run(command, stdout=gone, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert (study / "comparisons/one--two.csv").is_file()
    assert (study / "comparisons/one--two.tex").is_file()


def test_runs_with_a_limit_are_ignored_next_to_complete_ones(tmp_path):
    runs = [accuracy_run("one", 0.5, 1), accuracy_run("two", 0.9, 2)]
    part = [dataclasses.replace(run, limit=50, n=50) for run in runs]
    (pair,) = compare(study_of(tmp_path, *runs, *part), ["one", "two"]).pairs
    assert [row.n for row in pair.rows if row.metric == "accuracy"] == [200]
