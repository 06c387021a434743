"""Made-up studies with both sides of the claims, their verdicts, and evidence from given values."""

from __future__ import annotations

import dataclasses

import numpy as np
import pandas

from sdd_eval.paper.claims import paper_claims
from sdd_eval.paper.evidence import Contrast, Evidence, Side, collect_evidence
from sdd_eval.paper.sides import StudySides
from sdd_eval.paper.verdicts import decisive, judge
from sdd_eval.records import Recipe, encode

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


def evidence_for(name, base, other, *more):
    """Return the evidence of a claim from the values of both sides."""
    metric = CLAIMS[name].number.metrics[0]
    main = Contrast("claim", "", metric, side(base), side(other, "d"))
    return Evidence(name, "mini", "miniature", "CIFAR-100", (main, *more))


def side(values, letter="c"):
    names = tuple(f"{letter}{i}" for i in range(len(values)))
    return Side("group", names, tuple(map(float, values)))
