"""Networks of synthetic studies, and a run of one in the real format."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdd_eval.records import Measurement, ModelSpec, Recipe, Run, encode

DIGITS = {"origin": "official", "images": 360, "fingerprint": "d" * 64}


@dataclasses.dataclass(frozen=True)
class Network:
    """A checkpoint of a synthetic study; `gain` is its advantage over the others."""

    recipe: Recipe | None
    name: str = ""
    gain: float = 0.0
    weights: str = ""

    @property
    def checkpoint(self) -> str:
        if self.name or self.recipe is None:
            return self.name or "imported"
        method = self.recipe.method
        with_it = f"-sdd{self.recipe.sd_dropout:g}" if self.recipe.sd_dropout else ""
        return f"digits-{self.recipe.arch}-{method}{with_it}-seed{self.recipe.seed}"

    @property
    def random(self) -> np.random.Generator:
        words = self.checkpoint.encode() + self.weights.encode()
        return np.random.default_rng((7, *words))


def network(sd_dropout: float, seed: int, gain: float = 0.0, **fields: Any) -> Network:
    recipe = Recipe(
        sd_dropout=sd_dropout,
        seed=seed,
        dataset="digits",
        arch=fields.pop("arch", "small_cnn"),
        standardisation="digits",
        augmentation="none",
        **fields,
    )
    return Network(recipe, gain=gain)


def run_of(
    net: Network,
    evaluator: str,
    measurements: list[Measurement],
    *,
    dataset: str = "digits",
    data: Mapping[str, Any] | None = None,
    arrays: Mapping[str, Any] | None = None,
    settings: Mapping[str, Any] | None = None,
    limit: int | None = None,
    n: int = 360,
    version: int = 1,
    created: str = "2026-01-02T03:04:05+00:00",
    command: str = "",
) -> Run:
    """A run as `sdd_eval.evaluation` writes it."""
    spec = ModelSpec(net.recipe.arch if net.recipe else "resnet8", 10, (0.3,), (0.4,), 8)
    return Run(
        checkpoint=net.checkpoint,
        weights_sha256=net.weights or (net.checkpoint.encode().hex() * 9)[-64:],
        dataset=dataset,
        data_fingerprint="f" * 64,
        evaluator=evaluator,
        evaluator_version=version,
        settings=settings or {},
        limit=limit,
        n=n,
        measurements=tuple(measurements),
        provenance={
            "card": encode(net.recipe) if net.recipe else None,
            "model": encode(spec),
            "data": data or {"digits": DIGITS},
            "versions": {"python": "3.11.7", "torch": "2.6.0"},
            "machine": "Linux x86_64",
            "device": "cpu",
            "threads": 2,
            "seconds": 1.25,
            "command": command or f"sdd-eval {evaluator} {net.checkpoint}",
            "created": created,
        },
        arrays=arrays or {"labels": np.arange(n) % 10},
    )
