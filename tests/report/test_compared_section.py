"""What the page says of comparisons: who, how many tests, what is certain, what is outdated."""

from __future__ import annotations

import dataclasses
import json
import re
from collections import Counter

import numpy as np
import pytest

from sdd_eval.comparison.compare import compare, compare_planned
from sdd_eval.evaluators.accuracy import Accuracy
from sdd_eval.report.runs import collect
from sdd_eval.report.tables.comparisons import compared_of
from sdd_eval.report.tables.results import tidy
from sdd_eval.report.text.findings import compared_findings
from sdd_eval.report.write import write_report
from sdd_eval.store import write_run

LABELS = np.arange(360) % 10


def certain(synthetic, net, right):
    """A run of `accuracy` whose images are there: it is right so often."""
    random = np.random.default_rng(net.recipe.seed + round(10 * net.recipe.sd_dropout))
    logits = random.normal(size=(360, 10)).astype(np.float32)
    logits[np.arange(360), LABELS] += 8 * (random.random(360) < right)
    arrays = {"logits": logits, "labels": LABELS}
    run = synthetic.run_of(net, "accuracy", Accuracy().score(arrays), arrays=arrays)
    return dataclasses.replace(run, evaluator_version=Accuracy.version)


def shown(study, checkpoints):
    compare(study, checkpoints)
    return compared_of([study], tidy(collect([study]).runs), study)


@pytest.fixture
def over_seeds(synthetic, tmp_path):
    """Three seeds a side, every number of some evaluators four points better."""
    nets = synthetic.pair(gain=0.04)
    makers = (synthetic.accuracy_run, synthetic.calibration_run, synthetic.corruption_run)
    runs = [make(net) for net in nets for make in makers]
    study = synthetic.write_study(tmp_path / "study", runs)
    return study, [net.checkpoint for net in nets]


def test_groups_are_told_by_their_methods_with_a_table_of_every_corruption(over_seeds):
    ((found,), said) = shown(*over_seeds)
    (pair,) = found.pairs
    assert said == []
    assert pair.title == "CE + SD-Dropout λ 0.1 less CE"
    assert all(name in pair.networks for name in over_seeds[1])
    assert list(found.families) == ["headline", "cells"]
    assert found.families["cells"] == 15 * 5 + 15
    (corruptions,) = pair.further
    assert corruptions.heading == "Each corruption (family cells, 90 tests)"
    assert [line[0] for line in corruptions.lines[:2]] == [
        "accuracy, corruption gaussian_noise",
        "accuracy, corruption shot_noise",
    ]
    assert len(corruptions.lines) == 15
    assert {len(corruptions.titles)} == {len(line) for line in corruptions.lines}


def test_sentences_over_seeds_tell_what_holds_after_correction_and_how_much_does_not(over_seeds):
    ((found,), _) = shown(*over_seeds)
    ((opening, sentences),) = [dataclasses.astuple(f) for f in compared_findings([found])]
    assert opening.startswith("CE + SD-Dropout λ 0.1 against CE")
    size = found.families["headline"]
    assert sentences[0].startswith("Over 3 and 3 seeds accuracy is higher by ")
    assert "95 % interval, over seeds: +" in sentences[0]
    assert f"after Holm's correction over {size} tests" in sentences[0]
    assert not any("robust" in each for each in sentences)
    assert sentences[-1].startswith("Cell by cell (family cells, 90 tests): accuracy (corruption)")


def test_groups_of_the_same_methods_are_told_apart_by_their_architectures(synthetic, tmp_path):
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
    ((found,), _) = compared_of([study], tidy(collect([study]).runs), study)
    assert [pair.title for pair in found.pairs] == [
        f"CE + SD-Dropout λ 0.1 less CE ({kind})" for kind in kinds
    ]
    openings = [each.opening for each in compared_findings([found])]
    assert [kind in opening for kind, opening in zip(kinds, openings, strict=True)] == [True, True]
    unknown = tidy(collect([study]).runs).assign(arch=None)
    ((found,), _) = compared_of([study], unknown, study)
    first, second = (pair.title for pair in found.pairs)
    assert named["small_cnn", 0.0][0] in first
    assert named["wide_cnn", 0.0][0] in second


def test_single_networks_of_the_same_methods_are_told_apart_by_their_names(synthetic, tmp_path):
    base, *others = nets = [synthetic.network(0.0, 0), *synthetic.pair(seeds=2)[2:]]
    study = synthetic.write_study(tmp_path / "study", [synthetic.accuracy_run(net) for net in nets])
    ((found,), _) = shown(study, [net.checkpoint for net in nets])
    assert [pair.title for pair in found.pairs] == [
        f"{other.checkpoint} less {base.checkpoint}" for other in others
    ]


def test_no_two_tables_of_the_page_bear_one_name(synthetic, over_seeds):
    """Screen readers list them by name, also where comparisons repeat figures of the chapters."""
    study, names = over_seeds
    for asked in (names, names[:-1]):
        compare(study, asked)
    page = write_report(study).read_text()
    labels = re.findall(r'role="region" aria-label="([^"]*)"', page)
    repeated = [label for label, count in Counter(labels).items() if count > 1]
    assert page.count("<h3>As sdd-eval compare was asked (") == 2
    assert len(labels) > 12
    assert not repeated


def test_what_one_pair_found_is_counted_without_the_tests_of_others(synthetic, tmp_path):
    nets = [synthetic.network(weight, 0) for weight in (0.0, 0.1, 0.5)]
    rates = zip(nets, (0.3, 0.9, 0.3), strict=True)
    study = synthetic.write_study(tmp_path / "study", [certain(synthetic, *each) for each in rates])
    ((found,), _) = shown(study, [net.checkpoint for net in nets])
    first, second = compared_findings([found])
    assert found.families["headline"] == 2
    assert first.sentences[-1].startswith(
        "That is every headline number that both sides have: 1, of a family of 2 tests"
    )
    assert (
        "the one headline number cannot be told from chance (family of 2 tests)"
        in (second.sentences[-1])
    )


def test_two_networks_say_nothing_of_the_method(synthetic, tmp_path):
    nets = [synthetic.network(weight, 0) for weight in (0.0, 0.1)]
    runs = [certain(synthetic, net, right) for net, right in zip(nets, (0.5, 0.9), strict=True)]
    study = synthetic.write_study(tmp_path / "study", runs)
    ((found,), _) = shown(study, [net.checkpoint for net in nets])
    ((opening, sentences),) = [dataclasses.astuple(f) for f in compared_findings([found])]
    assert opening.startswith(f"The network {nets[1].checkpoint} against {nets[0].checkpoint}")
    assert sentences[0].startswith("Between these two networks accuracy is higher by ")
    assert "same networks, new images" in sentences[0]
    assert sentences[-1].endswith("nothing of the method.")
    (pair,) = found.pairs
    (line,) = pair.headline.lines
    assert line[-2:] == ("McNemar, mid-p", "360")


def test_a_comparison_older_than_its_runs_is_said_to_be_and_finds_nothing(synthetic, over_seeds):
    study, names = over_seeds
    shown(study, names)
    again = synthetic.accuracy_run(synthetic.network(0.0, 0), created="2026-05-05T00:00:00+00:00")
    write_run(study / "runs" / again.checkpoint / "accuracy-digits-again.json", again)
    ((found,), said) = compared_of([study], tidy(collect([study]).runs), study)
    assert "accuracy-digits-again.json was added, removed or changed" in found.kept.outdated
    assert "is older than the runs of study" in said[0]
    assert compared_findings([found]) == []


def test_a_comparison_that_cannot_be_read_is_named(over_seeds):
    study, names = over_seeds
    shown(study, names)
    (path,) = (study / "comparisons/pairs").glob("*.json")
    path.write_text("{")
    found, said = compared_of([study], tidy(collect([study]).runs), study)
    assert found == []
    assert said[0].startswith("A comparison cannot be read and was skipped")
