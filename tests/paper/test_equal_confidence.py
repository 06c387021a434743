"""The check of a lower calibration error at equal mean confidence."""

from __future__ import annotations

import numpy as np
import pandas
import pytest
from claim_studies import everyone, study

from sdd_eval.arrays import Array, Arrays
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.equal_confidence import errors_at_equal_confidence, temperature_of_confidence
from sdd_eval.paper.evidence import collect_evidence
from sdd_eval.paper.evidence_table import evidence_frame, read_evidence, with_earlier
from sdd_eval.paper.verdicts import judge
from sdd_eval.report.tables.csv_file import to_csv


def logits(confidence_scale, seed, n=2000):
    """Return the arrays of a network whose accuracy is .6, and how sure it is."""
    generator = np.random.default_rng(seed)
    labels = generator.integers(10, size=n)
    values = generator.normal(size=(n, 10))
    values[np.arange(n), labels] += 2.0
    return Arrays([
        Array("logits", np.float32(confidence_scale * values), ("images", "classes")),
        Array("labels", labels),
    ])  # fmt: skip


def test_at_equal_confidence_a_network_that_is_only_less_sure_has_no_lower_error():
    base, other = [logits(8.0, seed) for seed in (1, 2)], [logits(2.0, seed) for seed in (3, 4)]
    plain = [ece(*confidence_and_correct(a["logits"], a["labels"])) for a in (*base, *other)]
    assert min(plain[:2]) > 3 * max(plain[2:])
    equal, unchanged = errors_at_equal_confidence(base, other, 10)
    assert unchanged == pytest.approx(plain[2:])
    assert equal == pytest.approx(unchanged, abs=0.02)


def test_the_temperature_of_a_confidence_reaches_it():
    arrays = logits(8.0, 1)
    temperature = temperature_of_confidence(arrays["logits"], arrays["labels"], 0.5)
    scaled = np.float64(arrays["logits"]) / temperature
    assert confidence_and_correct(scaled, arrays["labels"])[0].mean() == pytest.approx(0.5)
    assert temperature_of_confidence(arrays["logits"], arrays["labels"], 1.0) == 0.05


def test_stored_logits_give_the_check_at_equal_confidence():
    results, sides = study(*everyone())
    runs = results[results["metric"] == "ece"]["run"].unique()
    arrays = {
        run: logits(2.0 if run.startswith("mini/2-") else 8.0, i) for i, run in enumerate(runs)
    }
    evidence = collect_evidence(paper_claims(), results, sides, arrays)
    found = {one.claim.id: one for one in judge(paper_claims(), evidence)}["calibration"]
    assert found.missing == ()
    assert found.gone == ("at equal mean confidence",)
    assert found.verdict == "explained by lower confidence"


def test_without_logits_the_check_at_equal_confidence_is_that_of_earlier_evidence(tmp_path):
    results, sides = study(*everyone())
    runs = results[results["metric"] == "ece"]["run"].unique()
    arrays = {
        run: logits(2.0 if run.startswith("mini/2-") else 8.0, i) for i, run in enumerate(runs)
    }
    with_logits = collect_evidence(paper_claims(), results, sides, arrays)
    (tmp_path / "evidence.csv").write_text(to_csv(evidence_frame(with_logits)), encoding="utf-8")
    earlier = read_evidence(pandas.read_csv(tmp_path / "evidence.csv"))

    again = with_earlier(paper_claims(), collect_evidence(paper_claims(), results, sides), earlier)
    for evidence in (with_logits, again):
        found = {one.claim.id: one for one in judge(paper_claims(), evidence)}["calibration"]
        assert found.gone == ("at equal mean confidence",)
    assert len(again) == len(with_logits)

    of_others = results.assign(value=results["value"] + 1e-6)
    others = collect_evidence(paper_claims(), of_others, sides)
    assert with_earlier(paper_claims(), others, earlier) == others
