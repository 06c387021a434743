"""The claims of the paper: identity, printed numbers, and the studies with both of their sides."""

from __future__ import annotations

import pytest
from claim_studies import CLAIMS

from sdd_eval.paper.cell_query import matches_recipe, query_for
from sdd_eval.paper.claim_commands import with_commands
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.sides import scale_of, side_pairs, study_sides
from sdd_eval.studies.builtin import study_file
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import record_of


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
    assert values["byot-gain-over-dml-cifar100"] == [-0.001, 0.005]


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
