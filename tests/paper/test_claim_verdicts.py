"""The verdict on a claim: baselines, checks, seeds, the correction, and which study decides."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas
import pytest
import scipy.stats
from claim_studies import (
    BETTER,
    CE,
    CLAIMS,
    MINIATURE,
    NUMBERS,
    OTHERS,
    SDD,
    TUNED,
    everyone,
    evidence_for,
    side,
    study,
    verdicts,
)

from sdd_eval.paper.claim_rendering import judgement_record
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import Contrast, collect_evidence
from sdd_eval.paper.verdicts import decisive, judge
from sdd_eval.records import Recipe


def test_a_gain_over_every_baseline_that_survives_the_checks_is_shown():
    found = verdicts(*everyone())
    for name in ("accuracy", "fgsm-cifar100", "corruption", "odin-auroc"):
        assert found[name].verdict == "shown", name
        assert found[name].missing == ()
    assert found["accuracy"].evidence.scale == "miniature"
    assert (
        found["accuracy"].evidence.main.base.values
        != found["accuracy"].evidence.of("baseline", "tuned weight decay")[0].base.values
    )
    assert found["over-dropout-standard-cifar100"].verdict == "shown"


@pytest.mark.parametrize("baseline", ["tuned", *OTHERS])
def test_a_gain_that_another_baseline_has_too_is_one_over_the_paper_s_baseline_only(baseline):
    found = verdicts(*everyone(**{baseline: BETTER}))["accuracy"]
    assert found.verdict == "shown against the paper's baseline only"
    assert len(found.gone) == 1


def test_a_baseline_that_is_better_reverses_the_difference():
    better = {**CE, "accuracy": BETTER["accuracy"] + 0.02}
    found = verdicts(*everyone(ls=better, dropout=BETTER))["accuracy"]
    assert found.gone == ("label smoothing", "plain dropout")
    assert found.reversed == ("label smoothing",)
    record = judgement_record(found)
    assert record["reversed"] == ["label smoothing"]
    assert record["reason"].startswith("gone against plain dropout (+0.0, ")
    assert "; reversed against label smoothing (−2.0, " in record["reason"]


def test_the_best_tuned_weight_decay_counts_however_many_seeds_another_has():
    more = [({"weight_decay": 2e-3}, BETTER, 3), ({"weight_decay": 2e-3, **SDD}, BETTER, 3)]
    found = verdicts(*everyone(), *more)["accuracy"]
    assert found.gone == ("tuned weight decay",)
    (contrast,) = found.measured("tuned weight decay")
    assert contrast.seeds == 3


def test_networks_with_different_weight_decays_are_not_compared():
    groups = [({}, CE, 5), (SDD, BETTER, 5), (TUNED, CE, 5)]
    found = verdicts(*groups, ({"weight_decay": 2e-3, **SDD}, BETTER, 5))["accuracy"]
    assert "tuned weight decay" in found.missing


def test_the_best_kind_of_plain_dropout_counts():
    weak = ({"method": "dropout"}, CE, 3)
    strong = ({"method": "dropout", "method_options": {"variant": "equal_steps"}}, BETTER, 3)
    for dropouts in ([weak, strong], [strong, weak]):
        groups = [group for group in everyone() if group[0] != {"method": "dropout"}]
        assert verdicts(*groups, *dropouts)["accuracy"].gone == ("plain dropout",)


def test_networks_trained_without_validation_images_are_not_of_full_size():
    paper_s = Recipe()
    for validation, scale in ((0, "full size"), (5000, "miniature")):
        start = dataclasses.replace(paper_s, validation=validation)
        evidence = collect_evidence(paper_claims(), *study(*everyone(), start=start))
        assert {one.scale for one in evidence if one.claim == "accuracy"} == {scale}


def test_without_any_other_baseline_a_gain_is_one_over_the_paper_s_baseline_only():
    found = verdicts(({}, CE, 5), (SDD, BETTER, 5))["accuracy"]
    assert (found.verdict, found.gone) == ("shown against the paper's baseline only", ())
    assert "tuned weight decay" in found.missing


def test_a_lower_error_that_temperature_scaling_removes_is_explained_by_confidence():
    found = verdicts(*everyone({**BETTER, "ece_scaled": CE["ece_scaled"]}))["calibration"]
    assert found.verdict == "explained by lower confidence"
    assert found.gone == ("after temperature scaling of each side",)
    assert found.missing == ("at equal mean confidence",)  # without stored logits


@pytest.mark.parametrize(
    ("gone", "verdict"),
    [
        (("pgd", "audit"), "explained by lower confidence"),
        (("fgsm_fitted",), "explained by lower confidence"),
        (("pgd",), "shown"),
        (("audit",), "shown"),
    ],
)
def test_a_gain_under_fgsm_must_survive_strong_attacks_and_the_fitted_temperature(gone, verdict):
    sdd = {**BETTER, **{name: CE[name] for name in gone}}
    assert verdicts(*everyone(sdd))["fgsm-cifar100"].verdict == verdict


def test_a_gain_under_fgsm_and_pgd_that_the_audit_reverses_is_explained_by_confidence():
    found = verdicts(*everyone({**BETTER, "audit": CE["audit"] - 0.1}))["fgsm-cifar100"]
    assert found.verdict == "explained by lower confidence"
    assert found.reversed == ("under PGD and the audit, ε = 1/255",)


def test_a_claim_that_is_not_shown_names_a_better_baseline_and_its_adjusted_p_value():
    slightly = {**CE, "accuracy": CE["accuracy"] + 0.006}
    strong = {**CE, "accuracy": BETTER["accuracy"] + 0.05}
    found = verdicts(*everyone(slightly, ls=strong))["accuracy"]
    assert found.verdict == "not shown"
    assert found.evidence.main.difference.low > 0
    reason = judgement_record(found)["reason"]
    assert reason.startswith("adjusted p = 0.")
    assert "; reversed against label smoothing (" in reason
    assert "gone" not in reason


def test_of_several_tuned_weights_the_best_counts_in_any_order():
    weak, strong = ({**TUNED, "sd_dropout": 0.1}, CE, 5), ({**TUNED, **SDD}, BETTER, 5)
    for others in ([weak, strong], [strong, weak]):
        groups = [({}, CE, 5), (SDD, BETTER, 5), (TUNED, CE, 5), *others]
        assert verdicts(*groups)["accuracy"].gone == ()


def test_a_difference_in_the_other_direction_contradicts_the_claim():
    found = verdicts(*everyone({**BETTER, "accuracy": 0.40, "ece": 0.4}))
    assert found["accuracy"].verdict == "contradicted"
    assert found["calibration"].verdict == "contradicted"


def test_a_contradicted_claim_names_the_checks_in_which_it_holds():
    base, other = [1.1, 1.11, 1.12], [0.9, 0.91, 0.92]
    check = "relative to the logits' spread"
    claim = CLAIMS["mask-variance-outliers"]
    relative = claim.checks[check][0].metrics[0]
    for values, expected in (([1.2, 1.21, 1.22], f"holds {check} (+0.1"), (base, "")):
        contrast = Contrast("check", check, relative, side(base), side(values, "d"))
        evidence = evidence_for(claim.id, base, other, contrast)
        (found,) = (one for one in judge(paper_claims(), [evidence]) if one.evidence)
        assert found.verdict == "contradicted"
        reason = judgement_record(found)["reason"]
        assert reason.startswith(expected)
        assert bool(reason) == bool(expected)


def test_no_difference_is_not_shown_and_names_the_seeds_that_would_decide():
    found = verdicts(*everyone(CE), noise=0.02)["accuracy"]
    assert found.verdict == "not shown"
    assert 3 <= found.seeds_needed <= 50  # for the printed 2.2 points at a spread of about 2
    assert found.detectable > 0.022
    assert "seeds a side detect the printed difference" in judgement_record(found)["reason"]


def test_two_seeds_never_show_a_claim():
    found = verdicts(({}, CE, 2), (SDD, BETTER, 2))["accuracy"]
    assert found.verdict == "not shown"
    assert judgement_record(found)["reason"].startswith("2 of at least 3 seeds")


def test_a_claim_without_networks_is_not_tested_and_names_the_command():
    found = verdicts(*everyone())["imagenet-accuracy"]
    assert (found.verdict, found.evidence) == ("not tested here", None)
    assert judgement_record(found)["reason"] == "run sdd-eval batch paper/table-3"


def test_a_claim_about_a_constant_and_one_about_two_numbers_of_the_same_networks():
    gradients = {"p_assumption_1": 0.6, "assumption_2_r": 0.13, "kl_reverse_l1": 2.0}
    recipe = dataclasses.replace(MINIATURE, **SDD)
    results, sides = study((SDD, {"accuracy": 0.5}, 3))
    rows = []
    for index, (name, mean) in enumerate({**gradients, "assumption_2_r1": 0.27}.items()):
        number = NUMBERS.get(name, CLAIMS["assumption-2-end"].against)
        at = {axis: values[0] for axis, values in number.at.items()} | {"epoch": 60}
        for seed in range(3):
            template = results.iloc[0].to_dict() | {"checkpoint": f"1-seed{seed}", **at}
            value = mean + 0.001 * (seed + 1) * (index + 1)  # differences vary, too
            more = {"evaluator": "history", "metric": name, "value": value, "protocol_id": name}
            rows.append(template | more)
    frame = pandas.DataFrame(rows, columns=results.columns)
    found = {
        one.claim.id: one for one in judge(CLAIMS.values(), collect_evidence(
            paper_claims(), frame, sides
        ))
    }  # fmt: skip
    assert recipe.epochs == 60
    assert found["assumption-1-end"].verdict == "shown"
    assert found["assumption-2-end"].verdict == "shown"
    assert found["assumption-1-half"].verdict == "not tested here"
    assert found["gradient-size-end"].verdict == "not tested here"  # the forward norm is missing


def test_two_numbers_of_the_same_networks_are_compared_in_pairs():
    base, other = [1.0, 2.0, 3.0], [1.11, 2.1, 3.09]
    evidence = evidence_for("gradient-size-end", base, other)
    assert evidence.main.difference.p > 0.9
    same = dataclasses.replace(evidence.main, other=side(other))
    expected = scipy.stats.ttest_rel(other, base)
    assert same.difference.p == pytest.approx(expected.pvalue)
    assert same.difference.value == pytest.approx(0.1)
    assert [same.difference.low, same.difference.high] == pytest.approx(
        list(expected.confidence_interval())
    )
    paired = dataclasses.replace(evidence, contrasts=(same,))
    (found,) = (one for one in judge(paper_claims(), [paired]) if one.evidence)
    assert found.verdict == "shown"
    assert found.detectable < 0.1


def test_holm_s_correction_is_over_all_claims_that_were_tested():
    alone = [evidence_for("accuracy", [0.0, 0.01, 0.02], [0.035, 0.045, 0.06])]
    others = [evidence_for(name, [0.0, 0.01, 0.02], [0.0, 0.01, 0.021]) for name in MANY]
    (one,) = [j for j in judge(paper_claims(), alone) if j.claim.id == "accuracy"]
    (many,) = [j for j in judge(paper_claims(), alone + others) if j.claim.id == "accuracy"]
    assert one.verdict == "shown against the paper's baseline only"
    assert many.verdict == "not shown"
    assert (one.difference.family, many.difference.family) == (1, 1 + len(MANY))
    assert many.difference.low == one.difference.low > 0
    assert (one.alpha, many.alpha) == (0.05, pytest.approx(0.05 / (1 + len(MANY))))
    assert many.detectable > one.detectable
    assert many.seeds_needed > one.seeds_needed


MANY = ("corruption", "odin-auroc", "odin-aupr_in", "odin-aupr_out", "position-3", "hidden-layers")


def test_under_the_null_hypothesis_at_most_one_study_in_twenty_shows_anything():
    """1,000 simulated studies of 12 claims without effect, whose checks and baselines never help.

    Every check and baseline is met by a wide margin, so that none of them weakens a verdict.
    """
    generator = np.random.default_rng(0)
    names = ("accuracy", "calibration", "fgsm-cifar100", *MANY, "mask-variance", "weight-0.1")
    names += ("both-over-forward-cifar100",)
    met = {name: met_by_a_wide_margin(CLAIMS[name]) for name in names}
    shown = any_verdict = 0
    for _ in range(1000):
        values = generator.normal(size=(len(names), 2, 4)).tolist()
        drawn = zip(names, values, strict=True)
        evidence = [evidence_for(name, *of_both, *met[name]) for name, of_both in drawn]
        found = {one.verdict for one in judge(paper_claims(), evidence)}
        any_verdict += bool(found - {"not shown", "not tested here"})
        shown += "shown" in found
    assert shown <= 50
    assert 10 <= any_verdict <= 80  # the test is two-sided, and neither blind nor liberal


def met_by_a_wide_margin(claim):
    """Return a contrast of each baseline and check of a claim that holds beyond doubt."""
    far = [100.0 * claim.sign + value for value in (0.0, 1.0, 2.0)]
    names = [("baseline", name) for name in claim.baselines]
    names += [("check", name) for name in claim.checks]
    metric = claim.number.metrics[0]
    return [Contrast(*name, metric, side([0.0, 1.0, 2.0]), side(far, "d")) for name in names]


def test_the_study_nearest_to_the_paper_s_size_decides():
    names = ("miniature", "full size", "small")
    evidence = [dataclasses.replace(evidence_for("accuracy", [0.1, 0.11, 0.12], [0.5, 0.51, 0.52]),
                                    scale=scale, study=scale) for scale in names]  # fmt: skip
    judged = judge(paper_claims(), evidence)
    assert len([one for one in judged if one.claim.id == "accuracy"]) == 3
    decided = {one.claim.id: one for one in decisive(judged)}
    assert decided["accuracy"].evidence.scale == "full size"


def test_of_two_studies_of_one_size_the_one_with_more_seeds_decides():
    few = evidence_for("accuracy", [0.1, 0.11, 0.12], [0.5, 0.51, 0.52])
    many = evidence_for("accuracy", [0.1, 0.11, 0.12, 0.13], [0.5, 0.51, 0.52, 0.53])
    for evidence in ([few, many], [many, few]):
        decided = {one.claim.id: one for one in decisive(judge(paper_claims(), evidence))}
        assert decided["accuracy"].evidence == many


def test_noise_of_timings_does_not_change_the_verdicts_on_networks():
    measured = [evidence_for("accuracy", [0.0, 0.01, 0.02], [0.035, 0.045, 0.06])]
    timed = [
        dataclasses.replace(evidence_for(f"cost-{name}", [1, 2, 3], [1.1, 2, 3]), scale="timed now")
        for name in ("cs_kd", "ddgsd", "byot", "dml")
    ]
    found = {one.claim.id: one for one in judge(paper_claims(), measured + timed)}
    assert found["accuracy"].difference.family == 1
    assert found["cost-dml"].difference.family == 4


def test_a_study_of_too_few_seeds_decides_only_without_another_but_before_a_small_one():
    base, other = [0.1, 0.11, 0.12], [0.5, 0.51, 0.52]
    large = dataclasses.replace(
        evidence_for("accuracy", base[:1], other[:1]), scale="full size", study="large"
    )
    mini = evidence_for("accuracy", base, other)
    small = dataclasses.replace(mini, scale="small", study="small")
    for evidence, first in (([large, mini], mini), ([small, large], large), ([small, mini], mini)):
        decided = {one.claim.id: one for one in decisive(judge(paper_claims(), evidence))}
        assert decided["accuracy"].evidence == first
