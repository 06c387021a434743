""" "Robust" may be said of a gain only if the worst case shows it and no flag is raised."""

import pytest

from sdd_eval.evaluators.adversarial import audit as audit_module
from sdd_eval.records import Measurement
from sdd_eval.report.text.robustness import FLAGS, may_say_robust

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


def test_a_gain_that_every_worst_case_shows_without_flags_is_robust():
    verdict = may_say_robust(BASE, BETTER, EPSILON)
    assert verdict.robust
    assert verdict.reasons == ()


@pytest.mark.parametrize("flag", FLAGS)
@pytest.mark.parametrize("whose", ["baseline", "other"])
def test_any_flag_on_either_side_forbids_the_word(flag, whose):
    raised = {"baseline": (0.20, 0.18), "other": (0.25, 0.24)}
    rows = {"baseline": BASE, "other": BETTER}
    rows[whose] = audit(raised[whose], (0.30, 0.28) if whose == "baseline" else (0.4, 0.4), {flag})
    verdict = may_say_robust(rows["baseline"], rows["other"], EPSILON)
    assert not verdict.robust
    assert verdict.reasons == (f"{flag} is raised for the {whose}",)


@pytest.mark.parametrize(
    ("worst", "both", "words"),
    [
        ((0.20, 0.24), (0.40, 0.37), "T = 1.0 shows no gain: 0.2000 to 0.2000"),
        ((0.25, 0.17), (0.40, 0.37), "T = fitted shows no gain: 0.1800 to 0.1700"),
        ((0.25, 0.24), (0.29, 0.37), "both networks classify rightly at ε = 2/255, T = 1.0"),
        ((0.25, 0.24), (0.40, float("nan")), "T = fitted shows no gain: 0.2800 to nan"),
    ],
)
def test_a_gain_that_one_worst_case_does_not_show_is_not_robust(worst, both, words):
    (reason,) = may_say_robust(BASE, audit(worst, both), EPSILON).reasons
    assert words in reason


def test_a_flag_that_was_not_looked_at_is_not_down():
    without = [row for row in BETTER if row.at.get("flag") != "transfer_beats_white_box"]
    (reason,) = may_say_robust(BASE, without, EPSILON).reasons
    assert reason == "transfer_beats_white_box was not looked at for the other"


def test_a_flag_that_nobody_knows_counts_too():
    strange = Measurement("audit_flag", 1.0, "count", {"flag": "something_new"})
    assert not may_say_robust(BASE, [*BETTER, strange], EPSILON).robust


def test_the_size_is_the_one_that_is_asked_for():
    verdict = may_say_robust(BASE, BETTER, 8 / 255)
    assert [reason for reason in verdict.reasons if "8/255" in reason] == list(verdict.reasons)
    assert len(verdict.reasons) == 4
    assert "not measured for both" in may_say_robust(BASE, BETTER, 3 / 255).reasons[0]


def test_the_flags_are_those_that_an_audit_raises():
    assert tuple(audit_module.FLAGS) == FLAGS


def test_of_two_values_at_one_place_neither_is_believed():
    twice = [*BETTER, *(row for row in BETTER if row.at.get("epsilon") == EPSILON)]
    reasons = may_say_robust(BASE, twice, EPSILON).reasons
    assert len(reasons) == 4
    assert all("not measured for both" in reason for reason in reasons)
