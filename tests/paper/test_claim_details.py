"""`sdd-eval paper claims`, and its tables of cost, mask variance and corruptions."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas
import pytest
import torch

from sdd_eval.arrays import Array, Arrays
from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.models.network import Network
from sdd_eval.paper.claim_details import corruption_differences, corruption_rows
from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import cost_evidence
from sdd_eval.paper.sides import StudySides
from sdd_eval.paper.verdicts import judge
from sdd_eval.records import Recipe
from sdd_eval.training.analysis.cost import Cost

STUDY = """
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = 1
[[train]]
sd_dropout = [0.0, 0.1]
[[evaluate]]
evaluator = "mask_variance"
[[evaluate]]
evaluator = "corruption"
settings = { corruptions = ["snow", "fog"] }
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    return tmp_path


def test_the_cost_of_every_method_is_relative_to_cross_entropy(here, capsys):
    flags = ["--arch", "resnet8", "--batch-size", "4", "--steps", "1"]
    assert exit_code(["paper", "claims", *flags]) == 0
    written = pandas.read_csv(here / "reports/paper/claims-cost.csv")
    plain = written[written["sd_dropout"] == 0].set_index("method")
    assert plain.loc["ce", "images_per_second_over_ce"] == 1
    assert {"dml", "byot", "r_drop"} <= set(plain.index)
    assert set(written[written["sd_dropout"] > 0]["method"]) == set(plain.index)
    assert plain.loc["dml", "memory_over_ce"] == pytest.approx(2, abs=0.1)
    assert plain.loc["dml", "trained_parameters"] == 2 * plain.loc["ce", "trained_parameters"]
    assert plain["exported_parameters"].nunique() == 1
    output = capsys.readouterr().out
    assert "Training cost relative to cross-entropy" in output
    assert "byot + sdd" in output


@pytest.mark.usefixtures("here")
def test_zero_steps_are_refused_and_too_little_memory_suggests_a_batch_size(capsys, monkeypatch):
    assert exit_code(["paper", "claims", "--steps", "0"]) == 2
    assert "--steps is 0; it must be 1 or more" in capsys.readouterr().err

    def exhausted(self, pixels):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Network, "activations", exhausted)
    monkeypatch.setattr(Network, "features", exhausted)
    assert exit_code(["paper", "claims", "--arch", "resnet8", "--batch-size", "8"]) == 2
    output = capsys.readouterr().err
    assert "too little memory for batch_size 8; try 4" in output


@pytest.mark.usefixtures("one_figure")
def test_a_study_measures_mask_variance_and_corruptions(here, capsys):
    (here / "masks.toml").write_text(STUDY)
    assert exit_code(["batch", "masks.toml", "--limit", "40"]) == 0
    capsys.readouterr()
    assert exit_code(["paper", "claims", "masks", "--no-cost"]) == 0
    output = capsys.readouterr().out
    folder = here / "reports/masks/paper"
    variance = pandas.read_csv(folder / "claims-variance.csv")
    assert list(variance["images"]) == ["digits", "photo_patches", "uniform", "gaussian"] * 2
    assert (variance["relative_variance"] > 0).all()
    corruptions = pandas.read_csv(folder / "claims-corruptions.csv")
    assert list(corruptions["corruption"]) == ["snow", "fog"]
    assert (corruptions["low"] <= corruptions["difference"]).all()
    assert (corruptions["difference"] <= corruptions["high"]).all()
    won = (corruptions["result"] == "won").sum()
    assert f"of 2 corruptions {won} won" in output
    assert "(1 network against 1)" in output
    assert not (folder / "claims-cost.csv").exists()


def test_corruptions_are_compared_with_the_paper_s_cross_entropy_and_not_with_a_tuned_one():
    start = {"arch": "small_cnn", "dataset": "digits"}
    recipes = {"plain": {}, "tuned": {"weight_decay": 5e-4}, "sdd": {"sd_dropout": 1.0}}
    sides = StudySides({name: [{**start, **fields}] for name, fields in recipes.items()})
    assert sides.plain == {"plain"}
    rows = [
        {"checkpoint": name, "run": name, "group": name, "evaluator": "corruption", "note": ""}
        for name in recipes
    ]
    arrays = {name: network(seed, 0.5) for seed, name in enumerate(recipes)}
    found = [*corruption_rows(pandas.DataFrame(rows), arrays, sides.plain)]
    assert {row["method"] for row in found} == {"tuned", "sdd"}
    assert {row["networks_base"] for row in found} == {1}


@pytest.mark.usefixtures("one_figure")
def test_a_small_study_judges_its_own_claims_and_names_commands_for_the_others(here, capsys):
    assert exit_code(["paper", "claims", "nowhere", "--no-cost"]) == 2
    assert "there is no study nowhere" in capsys.readouterr().err
    assert exit_code(["batch", "paper/table-13", "--small", "--limit", "20"]) == 0
    capsys.readouterr()
    assert exit_code(["paper", "claims", "paper-table-13-small", "--no-cost"]) == 0
    output = capsys.readouterr().out
    assert "note: small: digits stands for cifar100" in output
    assert "hidden-layers, small: paper-table-13-small: 1 of at least 3 seeds a side" in output
    assert "not shown: 1, not tested here: " in output
    folder = here / "reports/paper-table-13-small/paper"
    judged = {record["id"]: record for record in json.loads((folder / "claims.json").read_text())}
    assert judged["hidden-layers"]["scale"] == "small"
    assert judged["accuracy"]["reason"] == "run sdd-eval batch paper/table-1"
    assert len(pandas.read_csv(folder / "claims-evidence.csv")) == 2
    assert len(pandas.read_csv(folder / "claims.csv")) == len(judged)
    page = (folder / "claims.html").read_text()
    assert "sdd-eval batch paper/table-1" in page
    assert "74.9 → 75.9 %" in page


def test_the_cost_claims_are_judged_by_the_turns_of_the_measurement():
    rates = {("ce", 0.0): 100.0, ("ce", 1.0): 90.0, ("dml", 0.0): 50.0, ("byot", 0.0): 95.0}
    costs = [
        Cost(
            Recipe(method=method, sd_dropout=weight),
            rate,
            (rate - 0.01 * rate, rate, rate + 1),
            0,
            "",
            n,
            n,
        )
        for (method, weight), rate in rates.items()
        for n in [20 if method == "dml" else 10]
    ]
    judged = judge(paper_claims(), cost_evidence(paper_claims(), costs))
    verdicts = {one.claim.id: one.verdict for one in judged if one.claim.section == "Cost"}
    assert verdicts == {
        "no-added-parameters": "shown",
        "cost-dml": "shown",
        "cost-byot": "contradicted",
        "cost-cs_kd": "not tested here",
        "cost-ddgsd": "not tested here",
    }
    more = dataclasses.replace(costs[1], trained_parameters=11)
    (parameters,) = (
        one
        for one in judge(paper_claims(), cost_evidence(paper_claims(), [costs[0], more]))
        if one.claim.id == "no-added-parameters"
    )
    assert parameters.verdict == "contradicted"


def test_training_speeds_are_compared_turn_by_turn():
    """Load on the machine that slows a whole turn hides no difference between two methods."""
    load, ratios = np.array([1.0, 0.5, 0.8, 0.3]), np.array([1.2, 1.21, 1.19, 1.2])
    sides = (("dml", 0.0, 100 * load), ("ce", 1.0, 100 * load * ratios))
    costs = [
        Cost(Recipe(method=method, sd_dropout=weight), 0.0, tuple(rates), 0, "", 10, 10)
        for method, weight, rates in sides
    ]
    judged = judge(paper_claims(), cost_evidence(paper_claims(), costs))
    (found,) = (one for one in judged if one.claim.id == "cost-dml")
    assert found.verdict == "shown"


def network(seed, share, names=("fog", "snow"), n=400):
    """Return correctness flags; the difficulty of the images is the same for all networks."""
    difficulty = np.random.default_rng(0).random(n)
    noise = np.random.default_rng(seed).normal(0, 0.05, (n, 5))
    right = difficulty[:, None] + noise < share
    cells = (
        Array("correct", right, ("images", "severity"), {"corruption": name}) for name in names
    )
    return Arrays([Array("correct", right[:, 0]), *cells])


def test_a_large_lead_is_a_win_and_a_large_deficit_a_loss():
    base = [network(seed, 0.5) for seed in (1, 2, 3)]
    better = [network(seed, 0.6) for seed in (4, 5, 6)]
    (won,) = corruption_differences(base, [better])
    assert {name: change.verdict for name, change in won.items()} == {
        "fog": "higher",
        "snow": "higher",
    }
    assert won["fog"].value == pytest.approx(0.1, abs=0.02)
    assert won["fog"].low < won["fog"].value < won["fog"].high
    assert corruption_differences(better, [base])[0]["fog"].verdict == "lower"
    alike = [network(seed, 0.5) for seed in (7, 8, 9)]
    assert corruption_differences(base, [alike])[0]["fog"].verdict == "not distinguishable"


def test_a_lead_that_is_not_significant_after_adjustment_is_not_a_win():
    """The p-value of a difference is adjusted over all corruptions and groups."""
    base = [network(seed, 0.5, ["fog"]) for seed in (1, 2, 3)]
    leads = {4: 0.02, 5: 0.04, 6: 0.05}
    better = [network(seed, 0.5 + lead, ["fog"]) for seed, lead in leads.items()]
    alone = corruption_differences(base, [better])[0]["fog"]
    assert alone.verdict == "higher"
    many = corruption_differences(base, [better] * 8)
    assert {group["fog"].verdict for group in many} == {"not distinguishable"}
    assert many[0]["fog"].low == alone.low > 0


def test_pairing_images_narrows_the_interval():
    one, other = network(1, 0.5), network(2, 0.52)
    fog = corruption_differences([one], [[other]])[0]["fog"]
    unpaired = 2 * 1.96 * (2 * 0.25 / 400) ** 0.5
    assert fog.high - fog.low < unpaired / 3
    assert fog.verdict == "higher"


def test_a_corruption_with_a_missing_severity_is_left_out():
    half = network(1, 0.5) | Arrays(missing={"snow": ["", "", "", "cut short", ""]})
    assert [*corruption_differences([half], [[network(2, 0.5)]])[0]] == ["fog"]


def test_networks_without_common_corruptions_or_images_are_refused():
    with pytest.raises(InputError, match="no corruption in common"):
        corruption_differences([network(1, 0.5, ["fog"])], [[network(2, 0.5, ["snow"])]])
    with pytest.raises(InputError, match="different images"):
        corruption_differences([network(1, 0.5)], [[network(2, 0.5, n=40)]])
    with pytest.raises(InputError, match="no network"):
        corruption_differences([], [[network(2, 0.5)]])
