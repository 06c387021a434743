"""Which numbers of a study are evidence for a claim, and the evidence written and read again."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from claim_studies import BETTER, CE, SDD, everyone, study, verdicts

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
    short = verdicts(({}, CE, 3), (SDD, BETTER, 3), start=Recipe(epochs=15))
    assert short["accuracy"].evidence.scale == "miniature"


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
