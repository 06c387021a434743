"""A gain is called robust only if the worst case shows it and no flag is raised."""

from __future__ import annotations

import dataclasses
from types import ModuleType
from typing import Any

import msgspec
import pytest

from sdd_eval.evaluators.adversarial import audit as audit_module
from sdd_eval.evaluators.adversarial.audit import Audit
from sdd_eval.figures.selection import where
from sdd_eval.protocol import Protocol
from sdd_eval.records import Measurement, Run
from sdd_eval.report.tables.audits import FLAGS, reasons_against_robust
from sdd_eval.report.tables.headline import headline
from sdd_eval.report.tables.verdicts import verdict_tables
from sdd_eval.statistics.seeds import difference

EPSILON = 2 / 255


def audit(worst, both, flags=()):
    """The rows of an audit with these worst cases at each temperature."""
    rows = [
        Measurement("audit_flag", float(flag in flags), "count", {"flag": flag}) for flag in FLAGS
    ]
    for metric, values in (("audit_worst_case", worst), ("audit_worst_case_both_right", both)):
        for temperature, value in zip((1.0, "fitted"), values, strict=True):
            for epsilon, here in ((EPSILON, value), (8 / 255, 0.0)):
                at = {"temperature": temperature, "epsilon": epsilon}
                rows.append(Measurement(metric, here, "fraction", at))
    return rows


BASE = audit((0.20, 0.18), (0.30, 0.28))


BETTER = audit((0.25, 0.24), (0.40, 0.37))


def test_a_gain_in_every_worst_case_without_flags_is_robust():
    assert reasons_against_robust(BASE, BETTER, EPSILON) == ()


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("network", ["baseline", "other network"])
def test_any_raised_flag_on_either_side_rules_out_robust(flag, network):
    raised = {"baseline": (0.20, 0.18), "other network": (0.25, 0.24)}
    rows = {"baseline": BASE, "other network": BETTER}
    both = (0.30, 0.28) if network == "baseline" else (0.4, 0.4)
    rows[network] = audit(raised[network], both, {flag})
    reasons = reasons_against_robust(rows["baseline"], rows["other network"], EPSILON)
    assert reasons == (f"flag {flag} is raised for the {network}",)


@pytest.mark.parametrize(
    ("worst", "both", "words"),
    [
        ((0.20, 0.24), (0.40, 0.37), "T = 1.0 does not increase (0.2000 to 0.2000)"),
        ((0.25, 0.17), (0.40, 0.37), "T = fitted does not increase (0.1800 to 0.1700)"),
        ((0.25, 0.24), (0.29, 0.37), "both networks classify correctly at ε = 2/255, T = 1.0"),
        ((0.25, 0.24), (0.40, float("nan")), "T = fitted does not increase (0.2800 to nan)"),
    ],
)
def test_a_gain_missing_in_one_worst_case_is_not_robust(worst, both, words):
    (reason,) = reasons_against_robust(BASE, audit(worst, both), EPSILON)
    assert words in reason


def test_a_flag_that_was_not_checked_does_not_count_as_clear():
    without = [row for row in BETTER if row.at.get("flag") != "transfer_beats_white_box"]
    (reason,) = reasons_against_robust(BASE, without, EPSILON)
    assert reason == "flag transfer_beats_white_box was not checked for the other network"


def test_an_unknown_flag_counts_too():
    strange = Measurement("audit_flag", 1.0, "count", {"flag": "something_new"})
    assert reasons_against_robust(BASE, [*BETTER, strange], EPSILON)


def test_the_verdict_is_about_the_requested_epsilon():
    reasons = reasons_against_robust(BASE, BETTER, 8 / 255)
    assert ["8/255" in reason for reason in reasons] == [True] * 4
    assert "not measured for both" in reasons_against_robust(BASE, BETTER, 3 / 255)[0]


def test_the_flags_are_those_of_the_audit():
    assert tuple(audit_module.FLAGS) == FLAGS


def test_ambiguous_values_count_as_not_measured():
    twice = [*BETTER, *(row for row in BETTER if row.at.get("epsilon") == EPSILON)]
    reasons = reasons_against_robust(BASE, twice, EPSILON)
    assert len(reasons) == 4
    assert all("not measured for both" in reason for reason in reasons)


def remark(results: Any) -> str:
    """Return the remark below the verdict table of a base and one other group."""
    (table,) = verdict_tables(headline(results))
    (line,) = table.remarks
    return line.removeprefix("CE + SD-Dropout λ 0.1 against CE: ")


def audited(synthetic: ModuleType, seeds: int, gain: float, *raised: str) -> str:
    """Return the sentences about audits of a number of seeds per side."""
    runs = [
        synthetic.audit_run(synthetic.network(weight, seed, amount + 0.0001 * seed), flags)
        for weight, amount, flags in ((0.0, 0.0, ()), (0.1, gain, raised))
        for seed in range(seeds)
    ]
    return remark(synthetic.table(runs)[0])


def test_robust_requires_every_audit_and_a_significant_difference_over_seeds(
    synthetic: ModuleType,
) -> None:
    assert "More robust at ε = 0.25/255, 0.5/255" in audited(synthetic, 3, 0.05)
    two = audited(synthetic, 2, 0.05)
    assert two.startswith("For these networks, the audit shows a gain")
    assert "robust" not in two
    flagged = audited(synthetic, 3, 0.05, "zero_gradients")
    assert flagged.startswith("No gain may be called robust: flag zero_gradients is raised for")
    assert audited(synthetic, 3, -0.05).startswith("No gain may be called robust: worst-case")


@pytest.mark.parametrize(
    ("steps", "source", "same"), [(50, "another", True), (3, "a network", False)]
)
def test_audits_with_different_attack_settings_are_not_compared(
    synthetic: ModuleType, steps: int, source: str, same: bool
) -> None:
    """Only the network that transferred images were made for may differ."""

    def run(weight: float, gain: float, effort: Audit) -> Run:
        result = synthetic.audit_run(synthetic.network(weight, 0, gain))
        own = {"protocol": Protocol(effort._protocol()), "fitted": effort._source}
        text = [msgspec.structs.replace(m, **own) for m in result.measurements]
        return dataclasses.replace(result, measurements=tuple(text))

    runs = [
        run(0.0, 0.0, Audit(transfer_from="a network")),
        run(0.1, 0.05, Audit(steps=steps, transfer_from=source)),
    ]
    sentence = remark(synthetic.table(runs)[0])
    assert ("shows a gain in worst-case accuracy" in sentence) is same
    assert ("used different images or different attack settings" in sentence) is not same


def test_a_gain_that_is_not_significant_after_adjustment_is_not_called_robust(
    synthetic: ModuleType,
) -> None:
    """Of each of five sizes p is .04: an interval above zero, but .2 after the correction."""
    runs = [
        synthetic.audit_run(synthetic.network(weight, seed, gain + 0.02 * seed))
        for weight, gain in ((0.0, 0.0), (0.1, 0.049))
        for seed in range(3)
    ]
    results = synthetic.table(runs)[0]
    worst = where(results, metric="audit_worst_case", temperature=1.0)
    groups = [item["value"] for _, item in where(worst, epsilon=0.25 / 255).groupby("group")]
    assert difference(*groups).low > 0
    sentence = remark(results)
    assert "it is not significant over seeds, so not called robust" in sentence


def test_a_gain_within_seed_noise_is_not_called_robust(synthetic: ModuleType) -> None:
    runs = [
        synthetic.audit_run(synthetic.network(weight, seed, gain))
        for weight, gains in ((0.0, (0.0, 0.03, 0.06)), (0.1, (0.001, 0.031, 0.061)))
        for seed, gain in enumerate(gains)
    ]
    sentence = remark(synthetic.table(runs)[0])
    assert "it is not significant over seeds, so not called robust" in sentence
