"""The claims of the paper, what a study measured for them, and the verdicts."""

from __future__ import annotations

import dataclasses
import json
import re

import numpy as np
import pandas
import pytest
import scipy.stats

from sdd_eval.arrays import Array, Arrays
from sdd_eval.errors import InputError
from sdd_eval.metrics.calibration import ece
from sdd_eval.metrics.classification import confidence_and_correct
from sdd_eval.paper.cell_query import matches_recipe, query_for
from sdd_eval.paper.claim_commands import with_commands
from sdd_eval.paper.claim_groups import group_rows, groups_markdown
from sdd_eval.paper.claim_rendering import claim_rows, claims_latex, judgement_record
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.equal_confidence import errors_at_equal_confidence, temperature_of_confidence
from sdd_eval.paper.evidence import (
    Contrast,
    Evidence,
    Side,
    collect_evidence,
    evidence_frame,
    read_evidence,
    with_earlier,
)
from sdd_eval.paper.sides import StudySides, scale_of, side_pairs, study_sides
from sdd_eval.paper.verdicts import counts, decisive, judge
from sdd_eval.records import Recipe, encode
from sdd_eval.report.page.claims import write_claims
from sdd_eval.report.tables.csv_file import to_csv
from sdd_eval.studies.builtin import study_file
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import record_of

CLAIMS = {claim.id: claim for claim in paper_claims()}
AXES = ["corruption", "severity", "epsilon", "variant", "outliers", "detector", "temperature"]
AXES += ["bins", "gradient", "constants", "attack", "norm", "drop_rate", "epoch", "layer"]
MINIATURE = Recipe(arch="resnet10_s2", images_per_class=100, epochs=60, batch_size=64)
SDD = {"sd_dropout": 1.0}
TUNED = {"weight_decay": 5e-4}
#: The true means of cross-entropy; a claim of the method is about differences from these.
CE = {"accuracy": 0.43, "ece": 0.3, "ece_scaled": 0.03, "fgsm": 0.2, "fgsm_fitted": 0.1}
CE |= {"pgd": 0.2, "audit": 0.15, "mca": 0.3, "auroc": 0.7}
BETTER = {"accuracy": 0.465, "ece": 0.035, "ece_scaled": 0.02, "fgsm": 0.3, "fgsm_fitted": 0.2}
BETTER |= {"pgd": 0.3, "audit": 0.25, "mca": 0.35, "auroc": 0.8}
OTHERS = ("ls", "r_drop", "confidence_penalty", "dropout")
NUMBERS = {
    name: number
    for claim in CLAIMS.values()
    for name, number in [
        (claim.number.metrics[0], claim.number),
        *(
            (f"check {name} {index}", number)
            for name, numbers in claim.checks.items()
            for index, number in enumerate(numbers)
        ),
    ]
}
_NAMES = {
    "fgsm": "fgsm_accuracy",
    "ece_scaled": "check after temperature scaling of each side 0",
    "pgd": "check under PGD and the audit, ε = 1/255 0",
    "audit": "check under PGD and the audit, ε = 1/255 1",
    "fgsm_fitted": "check at the fitted temperature 0",
}


def rows_of(recipe, means, seeds, noise, seed_of_noise):
    """Return rows of a results table for a group of networks with exactly these means."""
    draws = np.random.default_rng(seed_of_noise).normal(size=(seeds, len(means)))
    offsets = noise * (draws - draws.mean(axis=0))
    for seed in range(seeds):
        named = dataclasses.replace(recipe, seed=seed)
        checkpoint = f"{seed_of_noise}-seed{seed}"
        for index, (name, mean) in enumerate(means.items()):
            number = NUMBERS[_NAMES.get(name, name)]
            at = {axis: values[0] for axis, values in number.at.items()}
            row = {
                **{"study": "mini", "checkpoint": checkpoint, "seed": seed, "group": recipe.method},
                **{"evaluator": number.evaluator, "metric": number.metrics[0]},
                **{"value": mean + offsets[seed, index], "n": 10_000, "limited": False},
                **{"data": "cifar100: official", "protocol_id": "p", "fingerprint": "f"},
                **{"dataset": "cifar100", "test_set": "cifar100", "note": "", "warning": ""},
                "run": f"mini/{checkpoint}/{number.evaluator}",
                **dict.fromkeys(AXES, np.nan),
                **at,
            }
            yield checkpoint, encode(named), row


def study(*groups, noise=0.004, start=MINIATURE):
    """Return the results table and the sides of a study of (fields, means, seeds)."""
    rows, recipes = [], {}
    for index, (fields, means, seeds) in enumerate(groups):
        recipe = dataclasses.replace(start, **fields)
        for checkpoint, encoded, row in rows_of(recipe, means, seeds, noise, index + 1):
            recipes[checkpoint] = [encoded]
            rows.append(row)
    columns = [name for name in rows[0] if name not in AXES] + AXES
    return pandas.DataFrame(rows, columns=columns), {"mini": StudySides(recipes)}


def verdicts(*groups, **more):
    """Return the judgement of each claim by a synthetic study."""
    evidence = collect_evidence(paper_claims(), *study(*groups, **more))
    return {one.claim.id: one for one in decisive(judge(paper_claims(), evidence))}


def everyone(sdd=BETTER, **others):
    """Return all sides of the miniature study; baselines are as cross-entropy unless given."""
    baselines = [({"method": name}, others.get(name, CE), 3) for name in OTHERS]
    tuned = [(TUNED, others.get("tuned", CE), 5), ({**TUNED, **SDD}, others.get("both", sdd), 5)]
    return [({}, CE, 5), (SDD, sdd, 5), *tuned, *baselines]


def test_every_claim_has_an_identity_a_source_and_a_command():
    assert len(CLAIMS) == len(paper_claims()) > 80
    for claim in paper_claims():
        assert "{" not in claim.sentence + claim.id + claim.refuted_by
        assert claim.where
        assert claim.refuted_by
        assert claim.command.startswith("sdd-eval ")


def test_the_printed_numbers_of_each_claim_are_those_of_the_paper():
    printed = {name: claim.paper_values for name, claim in CLAIMS.items() if claim.printed}
    assert len(printed) > 60
    for name, (base, other) in printed.items():
        assert other is not None, name
        assert (base is None) == (CLAIMS[name].threshold is not None), name
    values = {name: [n and round(n.value, 4) for n in pair] for name, pair in printed.items()}
    assert values["accuracy"] == [0.748, 0.77]
    assert values["with-dml-cifar100"] == [0.789, 0.788]
    assert values["position-3"] == [0.757, 0.77]
    assert values["over-dropout-equal_steps-cub200"] == [0.603, 0.666]
    assert values["too-strong"] == [0.771, 0.6947]
    assert values["assumption-1-half"] == [None, 0.653]
    assert values["assumption-2-end"] == [0.2662, 0.1292]
    assert values["detection-map50-7"] == [0.506, 0.528]


def test_every_table_of_the_paper_has_a_claim():
    assert {claim.printed.table for claim in paper_claims() if claim.printed} == set(range(1, 15))


def sides_of_study(name):
    """Return the sides of a built-in study as its record describes them."""
    return study_sides(record_of(read_study(study_file(name))), {})


STUDIES = sorted(
    {claim.command.split()[-1] for claim in paper_claims() if "batch" in claim.command}
)


@pytest.mark.parametrize("name", STUDIES)
def test_the_study_that_a_claim_names_has_both_of_its_sides_at_full_size(name):
    sides, claims = sides_of_study(name), [c for c in paper_claims() if c.command.endswith(name)]
    for claim in claims:
        pairs = list(side_pairs(claim, claim.pair, sides))
        assert pairs, claim.id
        scale = "miniature" if name == "paper/miniature" else "full size"
        assert {scale_of(claim, other, sides) for _, other in pairs} == {scale}, claim.id
        assert all(len(other.seeds) >= 3 for _, other in pairs)


def test_byot_on_photographs_has_the_network_of_its_authors_in_the_study_of_table_1():
    sides = sides_of_study("paper/table-1")
    for name in ("with-byot-cub200", "with-byot-stanford_dogs"):
        ((base, other),) = side_pairs(CLAIMS[name], CLAIMS[name].pair, sides)
        assert base.recipe["arch"] == other.recipe["arch"] == "resnet18_maxpool"
        printed = CLAIMS[name].paper_values[1]
        assert matches_recipe(query_for(printed), other.recipe)
    ((base, other),) = side_pairs(CLAIMS["with-dml-cub200"], CLAIMS["with-dml-cub200"].pair, sides)
    assert base.recipe["arch"] == other.recipe["arch"] == "torchvision:resnet18"


def test_the_miniature_study_has_every_baseline_of_the_claims_about_one_network():
    sides = sides_of_study("paper/miniature")
    names = ("accuracy", "calibration", "fgsm-cifar100", "corruption", "odin-auroc")
    for name in (*names, "adversarial-training"):
        claim = CLAIMS[name]
        ((_, other),) = side_pairs(claim, claim.pair, sides)
        for baseline, pair in claim.baselines.items():
            assert list(side_pairs(claim, pair, sides, other.shared)), (name, baseline)
    tested = {c.id for c in paper_claims() if list(side_pairs(c, c.pair, sides))}
    assert {"with-cs_kd-cifar100", "position-3", "weight-0.1", "gradient-size-end"} <= tested
    assert {"both-over-forward-cifar100", "over-dropout-standard-cifar100"} <= tested


def test_the_main_comparison_has_both_sides_with_tuned_weight_decay():
    sides = sides_of_study("paper/core")
    for name in ("accuracy", "calibration", "fgsm-cifar100", "corruption", "odin-auroc"):
        claim = CLAIMS[name]
        ((_, other),) = side_pairs(claim, claim.pair, sides)
        ((base, tuned),) = side_pairs(
            claim, claim.baselines["tuned weight decay"], sides, other.shared
        )
        assert len(base.seeds) == len(tuned.seeds) == 5
        assert tuned.fields["weight_decay"] == 5e-4


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


def test_a_difference_in_the_other_direction_contradicts_the_claim():
    found = verdicts(*everyone({**BETTER, "accuracy": 0.40, "ece": 0.4}))
    assert found["accuracy"].verdict == "contradicted"
    assert found["calibration"].verdict == "contradicted"


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


def test_a_study_that_is_not_finished_is_the_command_for_the_claims_that_it_measures():
    commands = {c.id: c.command for c in with_commands(paper_claims(), ["paper-miniature"])}
    for name in ("accuracy", "with-cs_kd-cifar100", "weight-0.1", "gradient-size-half"):
        assert commands[name] == "sdd-eval batch paper/miniature"
    for name in ("imagenet-accuracy", "with-ls-cifar100", "weight-5.0", "cost-dml"):
        assert commands[name] == CLAIMS[name].command
    small = with_commands(paper_claims(), ["own", "paper-table-1-small", "paper-miniature"])
    commands = {claim.id: claim.command for claim in small}
    assert commands["accuracy"] == "sdd-eval batch paper/table-1 --small"
    assert commands["calibration"] == "sdd-eval batch paper/miniature"  # not measured by table 1
    assert with_commands(paper_claims(), []) == list(paper_claims())


def test_claims_of_a_group_are_one_row_with_the_number_of_each_verdict():
    better = {**BETTER, "auroc": CE["auroc"]}
    metrics = ("fpr_at_95_tpr", "detection_error", "aupr_in", "aupr_out")
    base, other = ({**means, **dict.fromkeys(metrics, means["auroc"])} for means in (CE, better))
    results = study(({}, base, 3), (SDD, {**other, "aupr_in": 0.9, "aupr_out": 0.9}, 3))
    judged = judge(paper_claims(), collect_evidence(paper_claims(), *results))
    text = groups_markdown(decisive(judged))
    (row,) = (line for line in text.splitlines() if "by ODIN" in line)
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[0] == "Better detection of outliers by ODIN (5 claims)"
    assert cells[1].startswith("FPR at 95 % TPR: ")
    assert cells[3].startswith(
        "**2 shown against the paper's baseline only; 3 not shown** (not checked: "
        "against tuned weight decay (2 of 5), "
    )
    assert text.count("| More accurate |") == 1
    untested = text.splitlines()[-1]
    assert untested.startswith("Not tested here (`sdd-eval paper claims` names the command")
    assert "Better object detection" in untested
    assert "ODIN" not in untested


def test_a_shown_claim_names_each_baseline_and_check_that_was_not_measured(tmp_path):
    better = {name: mean for name, mean in BETTER.items() if name not in ("pgd", "audit")}
    sides = [({}, CE, 5), (SDD, better, 5), ({"method": "ls"}, CE, 3)]
    judged = judge(paper_claims(), collect_evidence(paper_claims(), *study(*sides)))
    found = {one.claim.id: one for one in judged}["fgsm-cifar100"]
    assert found.verdict == "shown"
    unchecked = (
        "not checked: under PGD and the audit, ε = 1/255, against tuned weight decay, "
        "against R-Drop, against confidence penalty, against plain dropout"
    )
    assert judgement_record(found)["reason"] == unchecked
    (row,) = (line for line in groups_markdown([found]).splitlines() if "under FGSM" in line)
    assert row.endswith(f"| **shown** ({unchecked}) |")
    rows = claim_rows(judged, decisive(judged))
    assert "shown (not checked: against tuned weight decay" in claims_latex(rows)
    more = (group_rows(decisive(judged)), counts(decisive(judged)), {}, [], [])
    assert unchecked in write_claims(tmp_path, rows, *more).read_text()


def test_a_group_says_how_many_of_its_claims_were_tested_and_the_seeds_that_would_decide():
    far, near = [0.3, 0.32, 0.34], [0.3, 0.33, 0.34]
    names = ("position-1", "position-2")
    judged = judge(paper_claims(), [evidence_for(name, far, near) for name in names])
    rows, _ = group_rows(decisive(judged))
    assert [row.name for row in rows] == ["Masks are best on the last feature (2 of 3 claims)"]
    beyond = evidence_for("position-3", far, [0.5, 0.51, 0.52])
    (mixed,) = group_rows(
        decisive(judge(paper_claims(), [evidence_for("position-1", far, near), beyond]))
    )[0]
    assert mixed.verdict == "1 shown; 1 not shown"
    assert re.match(r"not shown: \d+ seeds a side detect the printed", mixed.reason)
    (one,) = group_rows(decisive(judge(paper_claims(), [evidence_for("accuracy", far, near)])))[0]
    assert one.verdict == "not shown"
    assert one.reason.endswith("seeds a side detect the printed difference with a power of 80 %")


def test_a_row_says_that_there_are_too_few_seeds():
    evidence = collect_evidence(paper_claims(), *study(({}, CE, 2), (SDD, BETTER, 2)))
    text = groups_markdown(decisive(judge(paper_claims(), evidence)))
    (row,) = (line for line in text.splitlines() if line.startswith("| More accurate |"))
    assert row.endswith("| **not shown** (2 of at least 3 seeds a side) |")


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


def test_numbers_of_a_small_study_say_so_in_the_short_table():
    small = dataclasses.replace(
        evidence_for("accuracy", [0.1, 0.11, 0.12], [0.5, 0.51, 0.52]), scale="small"
    )
    text = groups_markdown(decisive(judge(paper_claims(), [small])))
    assert "of a small study, which says nothing about the method" in text


def test_holm_s_correction_is_over_all_claims_that_were_tested():
    alone = [evidence_for("accuracy", [0.0, 0.01, 0.02], [0.035, 0.045, 0.06])]
    others = [evidence_for(name, [0.0, 0.01, 0.02], [0.0, 0.01, 0.021]) for name in MANY]
    (one,) = [j for j in judge(paper_claims(), alone) if j.claim.id == "accuracy"]
    (many,) = [j for j in judge(paper_claims(), alone + others) if j.claim.id == "accuracy"]
    assert one.verdict == "shown against the paper's baseline only"
    assert many.verdict == "not shown"
    assert (one.difference.family, many.difference.family) == (1, 1 + len(MANY))
    assert many.difference.low == one.difference.low > 0


MANY = ("corruption", "odin-auroc", "odin-aupr_in", "odin-aupr_out", "position-3", "hidden-layers")


def evidence_for(name, base, other, *more):
    """Return the evidence of a claim from the values of both sides."""
    metric = CLAIMS[name].number.metrics[0]
    main = Contrast("claim", "", metric, side(base), side(other, "d"))
    return Evidence(name, "mini", "miniature", "CIFAR-100", (main, *more))


def side(values, letter="c"):
    names = tuple(f"{letter}{i}" for i in range(len(values)))
    return Side("group", names, tuple(map(float, values)))


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


def test_the_study_nearest_to_the_paper_s_size_decides():
    names = ("miniature", "full size", "small")
    evidence = [dataclasses.replace(evidence_for("accuracy", [0.1, 0.11, 0.12], [0.5, 0.51, 0.52]),
                                    scale=scale, study=scale) for scale in names]  # fmt: skip
    judged = judge(paper_claims(), evidence)
    assert len([one for one in judged if one.claim.id == "accuracy"]) == 3
    decided = {one.claim.id: one for one in decisive(judged)}
    assert decided["accuracy"].evidence.scale == "full size"


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


def test_the_page_has_each_claim_once_with_its_verdicts_reasons_and_checks(tmp_path):
    sdd = {**BETTER, "ece_scaled": CE["ece_scaled"]}
    evidence = collect_evidence(paper_claims(), *study(*everyone(sdd, ls=BETTER)))
    judged = judge(paper_claims(), evidence)
    decided = decisive(judged)
    rows = claim_rows(judged, decided)
    more = (group_rows(decided), counts(decided), {}, ["a <note>"], ["A study"])
    page = write_claims(tmp_path, rows, *more).read_text()
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert set(CLAIMS) <= set(ids)
    assert "gone against label smoothing (" in page
    assert "gone after temperature scaling of each side (" in page
    assert page.count('<span class="badge none">explained by lower confidence</span>') == 1
    assert "1 explained by lower confidence" in page
    assert "a &lt;note&gt;" in page


def test_the_json_and_the_latex_have_every_tested_claim():
    evidence = collect_evidence(paper_claims(), *study(*everyone()))
    judged = judge(paper_claims(), evidence)
    content = json.loads(json.dumps([judgement_record(one) for one in judged], allow_nan=False))
    accuracy = next(record for record in content if record["id"] == "accuracy")
    assert accuracy["verdict"] == "shown"
    assert accuracy["low"] < accuracy["difference"] < accuracy["high"]
    assert accuracy["base_n"] == accuracy["other_n"] == 5
    latex = claims_latex(claim_rows(judged, decisive(judged)))
    assert latex.count(r"\\") > len(evidence)
    assert "74.8 $\\to$ 77.0" in latex
    assert latex.isascii()
