"""Records of a comparison, as they are stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdd_eval.statistics.hypothesis_tests import Verdict, verdict


@dataclass(frozen=True)
class MetricDifference:
    """One measurement of both sides, its difference, and its test.

    Attributes:
        difference: value of `other` minus value of `base`.
        test: name of the test, or why there is none.
        low, high: 95 % interval for the difference.
        p: p-value of the test; None without a test.
        permutations: number of permutations of a permutation test.
        family: the family of hypotheses; empty outside all families.
        size: number of tests in the family.
        adjusted: Holm–Bonferroni adjusted p-value within the family.
        detectable: over seeds, the difference that is detected with a power of 80 %.
        both_low, both_high: over seeds, 95 % interval for new seeds and new images.
    """

    evaluator: str
    dataset: str
    metric: str
    at: Mapping[str, Any]
    unit: str
    protocol: str
    n: int
    base: float
    other: float
    difference: float
    test: str
    low: float | None = None
    high: float | None = None
    p: float | None = None
    permutations: int | None = None
    family: str = ""
    size: int | None = None
    adjusted: float | None = None
    detectable: float | None = None
    both_low: float | None = None
    both_high: float | None = None

    @property
    def verdict(self) -> Verdict:
        """The verdict on the difference; empty outside families."""
        return verdict(self.difference, self.low, self.high, self.adjusted)


@dataclass(frozen=True)
class PairComparison:
    """A comparison of two networks, or of two groups of seeds.

    Attributes:
        base, others: checkpoints of the first and the second side.
        meaning: what the intervals and tests generalise to.
        rows: the differences.
        apart: a line, with the reason, for each measurement or run that could not be compared.
        families: the families of hypotheses by name.
        format: version of the record.
    """

    base: tuple[str, ...]
    others: tuple[str, ...]
    meaning: str
    rows: tuple[MetricDifference, ...]
    apart: tuple[str, ...] = ()
    families: Mapping[str, Any] = field(default_factory=dict)
    format: int = 1
