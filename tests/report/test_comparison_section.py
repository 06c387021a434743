"""Comparisons on the page: networks, numbers of tests, evidence, outdated results."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter

import numpy as np
import pytest

from sdd_eval.comparison.compare import compare, compare_planned
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.report.runs import read_runs
from sdd_eval.report.tables.comparisons import comparison_sections
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.text.headline import headline_text
from sdd_eval.report.write import write_report
from sdd_eval.store import write_run

pytestmark = pytest.mark.usefixtures("only_svg")
LABELS = np.arange(360) % 10


def certain(synthetic, net, right):
    """Return a run of `accuracy` with stored arrays and this accuracy."""
    random = np.random.default_rng(net.recipe.seed + round(10 * net.recipe.sd_dropout))
    logits = random.normal(size=(360, 10)).astype(np.float32)
    logits[np.arange(360), LABELS] += 8 * (random.random(360) < right)
    arrays = {"logits": logits, "labels": LABELS}
    run = synthetic.run_of(net, "accuracy", Accuracy().score(arrays), arrays=arrays)
    return dataclasses.replace(run, evaluator_version=Accuracy.version)


def shown(study, checkpoints):
    compare(study, checkpoints)
    return comparison_sections([study], tidy(read_runs([study]).runs), study)


@pytest.fixture
def over_seeds(synthetic, tmp_path):
    """Return three seeds per side; every number of some evaluators is four points better."""
    nets = synthetic.pair(gain=0.04)
    makers = (synthetic.accuracy_run, synthetic.calibration_run, synthetic.corruption_run)
    runs = [make(net) for net in nets for make in makers]
    study = synthetic.write_study(tmp_path / "study", runs)
    return study, [net.checkpoint for net in nets]


def test_groups_are_named_by_method_and_have_a_table_of_all_corruptions(over_seeds):
    ((section,), warnings) = shown(*over_seeds)
    (pair,) = section.pairs
    assert warnings == []
    assert pair.title == "CE + SD-Dropout λ 0.1 compared with CE"
    assert all(name in pair.networks for name in over_seeds[1])
    assert list(section.families) == ["headline", "cells"]
    assert section.families["cells"] == 15 * 5 + 15
    _, corruptions = pair.tables
    assert corruptions.title == "Individual corruptions (family cells, 90 tests)"
    assert [line[0] for line in corruptions.rows[:2]] == [
        "accuracy, corruption gaussian_noise",
        "accuracy, corruption shot_noise",
    ]
    assert len(corruptions.rows) == 15
    assert {len(corruptions.columns)} == {len(line) for line in corruptions.rows}


@pytest.mark.filterwarnings("ignore::sdd_eval.store.DamagedFile")  # a record of pairs alone
def test_pairs_with_the_same_methods_are_distinguished_by_architecture(synthetic, tmp_path):
    kinds = ("small_cnn", "wide_cnn")
    nets = {
        (kind, weight): [synthetic.network(weight, seed, arch=kind) for seed in range(2)]
        for kind in kinds
        for weight in (0.0, 0.1)
    }
    runs = [synthetic.accuracy_run(net) for side in nets.values() for net in side]
    study = synthetic.write_study(tmp_path / "study", runs)
    named = {of: [net.checkpoint for net in side] for of, side in nets.items()}
    pairs = [{"base": named[kind, 0.0], "other": named[kind, 0.1]} for kind in kinds]
    (study / "study.json").write_text(json.dumps({"pairs": pairs}))
    compare_planned(study)
    ((section,), _) = comparison_sections([study], tidy(read_runs([study]).runs), study)
    assert [pair.title for pair in section.pairs] == [
        f"CE + SD-Dropout λ 0.1 compared with CE ({kind})" for kind in kinds
    ]
    unknown = tidy(read_runs([study]).runs).assign(arch=None)
    ((section,), _) = comparison_sections([study], unknown, study)
    first, second = (pair.title for pair in section.pairs)
    assert named["small_cnn", 0.0][0] in first
    assert named["wide_cnn", 0.0][0] in second


def test_pairs_of_networks_with_the_same_methods_are_distinguished_by_checkpoint(
    synthetic, tmp_path
):
    base, *others = nets = [synthetic.network(0.0, 0), *synthetic.pair(seeds=2)[2:]]
    study = synthetic.write_study(tmp_path / "study", [synthetic.accuracy_run(net) for net in nets])
    ((section,), _) = shown(study, [net.checkpoint for net in nets])
    assert [pair.title for pair in section.pairs] == [
        f"{other.checkpoint} compared with {base.checkpoint}" for other in others
    ]


@pytest.mark.usefixtures("only_svg")
def test_no_two_tables_of_the_page_have_the_same_accessible_name(synthetic, over_seeds):
    """Screen readers list them by name, also where comparisons repeat figures of the chapters."""
    study, names = over_seeds
    for requested in (names, names[:-1]):
        compare(study, requested)
    page = write_report(study).read_text()
    labels = re.findall(r'role="region" aria-label="([^"]*)"', page)
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    assert page.count("<h3>Comparison by sdd-eval compare (") == 2
    assert len(labels) > 12
    assert not repeated


def test_a_lead_of_single_networks_has_a_dagger_wherever_the_headline_is_shown(synthetic, tmp_path):
    nets = [synthetic.network(weight, 0) for weight in (0.0, 0.1)]
    runs = [certain(synthetic, net, right) for net, right in zip(nets, (0.5, 0.9), strict=True)]
    study = synthetic.write_study(tmp_path / "study", runs)
    assert "†" not in write_report(study).read_text() + headline_text(study)
    compare(study, [net.checkpoint for net in nets])
    page, tex = write_report(study), study / "tables" / "headline.tex"
    text = page.read_text()
    assert len(re.findall(r'class="[a-z ]* value best"', text)) == 1
    assert len(re.findall(r"\d\d\.\d % †<small>", text)) == 1
    assert "better than every other group, † of these networks." in text
    assert len(re.findall(r"\\textbf\{\d\d\.\d\$\\dagger\$\}", tex.read_text())) == 1
    assert headline_text(study).count("†") == 2  # the number and its explanation


def test_an_outdated_comparison_is_reported(synthetic, over_seeds):
    study, names = over_seeds
    shown(study, names)
    again = synthetic.accuracy_run(synthetic.network(0.0, 0), created="2026-05-05T00:00:00+00:00")
    write_run(study / "runs" / again.checkpoint / "accuracy-digits-again.json", again)
    ((section,), warnings) = comparison_sections([study], tidy(read_runs([study]).runs), study)
    assert "accuracy-digits-again.json was added, removed or changed" in section.stored.outdated
    assert "A comparison of study study (Comparison by sdd-eval compare) is outdated" in warnings[0]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ('"format": 99', "has format 99; this version reads format 1"),
        ('"format": 1,', "is not JSON"),
    ],
)
def test_an_unreadable_comparison_is_reported_by_name(changed, reason, over_seeds):
    study, names = over_seeds
    shown(study, names)
    (path,) = (study / "comparisons/pairs").glob("*.json")
    path.write_text(path.read_text().replace('"format": 1', changed))
    section, warnings = comparison_sections([study], tidy(read_runs([study]).runs), study)
    assert section == []
    assert warnings[0].startswith("A comparison could not be read and was skipped")
    assert f"{path.name} {reason}" in warnings[0]
