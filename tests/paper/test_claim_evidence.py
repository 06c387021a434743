"""Which numbers of a study are evidence for a claim, and the evidence written and read again."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas
import pytest
from claim_studies import BETTER, CE, SDD, TUNED, everyone, study, verdicts

from sdd_eval.errors import InputError
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import collect_evidence
from sdd_eval.paper.evidence_table import evidence_frame, read_evidence
from sdd_eval.paper.verdicts import judge
from sdd_eval.records import Recipe
from sdd_eval.report.tables.csv_file import to_csv


def test_the_same_conditions_hold_on_both_sides():
    results, sides = study(({}, CE, 3), (SDD, BETTER, 3))
    other_protocol = results["checkpoint"].str.startswith("2-")
    results.loc[other_protocol, "protocol_id"] = "q"
    assert collect_evidence(paper_claims(), results, sides) == []


def test_sides_differ_in_nothing_that_the_claim_does_not_name():
    found = verdicts(({}, CE, 3), ({**SDD, "epochs": 100}, BETTER, 3))
    assert found["accuracy"].verdict == "not tested here"


def test_evaluations_of_other_test_sets_and_excluded_rows_are_ignored():
    results, sides = study(({}, CE, 3), (SDD, BETTER, 3))
    results["note"] = np.where(results["metric"] == "ece", "excluded", "")
    results.loc[results["metric"] == "mca", "test_set"] = "cifar10"
    measured = {one.claim for one in collect_evidence(paper_claims(), results, sides)}
    assert "accuracy" in measured
    assert not {"calibration", "corruption"} & measured


def test_the_paper_s_network_and_epochs_make_a_study_full_size():
    found = verdicts(({}, CE, 3), (SDD, BETTER, 3), start=Recipe())
    assert found["accuracy"].evidence.scale == "full size"
    changes = {"epochs": 15, "lr": 0.05, "init": "torch", "nesterov": True, "ema_decay": 0.99}
    for name, value in {**changes, "images_per_class": 100, "validation": 5000}.items():
        start = dataclasses.replace(Recipe(), **{name: value})
        other = verdicts(({}, CE, 3), (SDD, BETTER, 3), start=start)
        assert other["accuracy"].evidence.scale == "miniature", name
    for harmless in ({"precision": "bf16"}, {"probe_epochs": (0, 200)}):
        start = dataclasses.replace(Recipe(), **harmless)
        evidence = collect_evidence(paper_claims(), *study(*everyone(), start=start))
        assert {one.scale for one in evidence} == {"full size"}


def test_the_first_accepted_axis_counts_unless_only_another_has_enough_seeds():
    results, sides = study(({}, CE, 4), (SDD, BETTER, 4))
    is_fgsm = results["metric"] == "fgsm_accuracy"
    own = results[is_fgsm].assign(constants="own", value=0.5)
    for paper_s, expected in ((4, "paper"), (3, "paper"), (2, "own")):
        kept = results[~(is_fgsm & (results["seed"] >= paper_s))]
        both = pandas.concat([own, kept])[results.columns]
        (found,) = (
            one
            for one in collect_evidence(paper_claims(), both, sides)
            if one.claim == "fgsm-cifar100"
        )
        assert (found.main.base.values[0] == 0.5) == (expected == "own")


def test_gains_of_two_methods_are_compared_seed_by_seed_between_their_networks():
    more = {**CE, "accuracy": 0.45}
    best = {**CE, "accuracy": 0.49}
    with_sdd = {"sd_dropout": 0.1}
    for arch, data in (("resnet18", "cifar100"), ("torchvision:resnet18", "cub200")):
        start = Recipe(arch=arch, dataset=data)
        byot = {"method": "byot", "arch": arch if data == "cifar100" else "resnet18_maxpool"}
        groups = [
            ({"method": "ls"}, CE, 3),
            ({"method": "ls", **with_sdd}, more, 4),
            (byot, CE, 3),
            ({**byot, **with_sdd}, best, 3),
        ]
        results, sides = study(*groups, start=start)
        results["test_set"] = data
        claim = f"byot-gain-over-ls-{data}"
        (found,) = (
            one for one in collect_evidence(paper_claims(), results, sides) if one.claim == claim
        )
        assert found.main.seeds == 3
        assert np.mean(found.main.other.values) == pytest.approx(0.06)
        assert found.main.difference.value == pytest.approx(0.04, abs=0.004)
        assert "gain of " in found.main.other.label
        without = results[~results["checkpoint"].str.startswith("1-")]
        names = {one.claim for one in collect_evidence(paper_claims(), without, sides)}
        assert claim not in names


def test_baselines_of_a_variant_keep_the_variant():
    hidden = {"hidden_layers": 1}
    with_ls = ({**hidden, "method": "ls"}, BETTER, 3)
    found = verdicts((hidden, CE, 3), ({**hidden, **SDD}, BETTER, 3), with_ls)["hidden-layers"]
    assert found.gone == ("label smoothing",)
    forward = {**SDD, "direction": "forward"}
    tuned = [(TUNED, BETTER, 3), ({**TUNED, **forward}, BETTER, 3)]
    name = "forward-alone-cifar100"
    found = verdicts(({}, CE, 3), (forward, BETTER, 3), *tuned)[name]
    assert found.gone == ("tuned weight decay",)
    both_directions = [(TUNED, BETTER, 3), ({**TUNED, **SDD}, BETTER, 3)]
    found = verdicts(({}, CE, 3), (forward, BETTER, 3), *both_directions)[name]
    assert "tuned weight decay" in found.missing


def test_verdicts_follow_from_the_written_evidence_and_from_results_csv(tmp_path):
    results, sides = study(*everyone(tuned=BETTER))
    evidence = collect_evidence(paper_claims(), results, sides)
    expected = [one.verdict for one in judge(paper_claims(), evidence)]
    (tmp_path / "evidence.csv").write_text(to_csv(evidence_frame(evidence)), encoding="utf-8")
    stored = read_evidence(pandas.read_csv(tmp_path / "evidence.csv"))
    assert [one.verdict for one in judge(paper_claims(), stored)] == expected
    (tmp_path / "results.csv").write_text(to_csv(results), encoding="utf-8")
    again = collect_evidence(paper_claims(), pandas.read_csv(tmp_path / "results.csv"), sides)
    assert [one.verdict for one in judge(paper_claims(), again)] == expected
    with pytest.raises(InputError, match="columns of the evidence"):
        read_evidence(results)
