"""The paper's claims, each as one test: which numbers and sides it compares, in which direction.

They are stored in `claims.toml`, which this module reads.
"""

from __future__ import annotations

import functools
import importlib.resources
import itertools
import math
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sdd_eval.metrics.names import NAMES, display_name
from sdd_eval.metrics.registry import built_in
from sdd_eval.paper.tables import PaperNumber, paper_numbers
from sdd_eval.records import decode

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

#: Accepted values by the name of an axis, of a field of a recipe, or of a condition.
Values = Mapping[str, tuple[Any, ...]]
#: The moment of training at which a gradient is measured.
When = Literal["", "start", "half", "end"]
#: Whether a claim says that the other side's number is higher, lower or equal.
Direction = Literal["higher", "lower", "equal"]
#: The epoch of each moment in the paper's training of 200 epochs.
PAPER_EPOCHS = {"start": 0, "half": 100, "end": 200}
#: The data set of the corrupted test images in the paper's tables.
_CORRUPTED = {"cifar100": "cifar100_c"}


@dataclass(frozen=True)
class Number:
    """A measured number.

    Attributes:
        evaluator: the evaluator that measures it; "cost" is `training.measure_costs`.
        metrics: the paper's metric, then related ones that replace it.
        at: accepted values of each axis; a row has exactly these axes.
        equal_confidence: whether the base's logits are divided by the temperature at which its mean
            confidence is that of the other side.
    """

    evaluator: str
    metrics: tuple[str, ...]
    at: Values = field(default_factory=dict)
    equal_confidence: bool = False


@dataclass(frozen=True)
class Pair:
    """Fields of the recipe in which two sides differ from the paper's cross-entropy."""

    base: Values = field(default_factory=dict)
    other: Values = field(default_factory=dict)


@dataclass(frozen=True)
class Printed:
    """The paper's numbers of a claim: a table, and conditions of each side besides its recipe."""

    table: int
    model: str = ""
    base: Mapping[str, Any] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Claim:
    """A claim: `other` has a higher, lower or equal number than `base`.

    Attributes:
        id, section, group, sentence, where, refuted_by: what it says, in our words.
        variant: how it differs from others in its group.
        data, network, epochs: the test set, the paper's network, and the epochs of its training.
        detector: whether the networks are detectors, whose backbones the sides describe.
        number, against: the number of `other`, and of `base` if that is another one.
        threshold: a constant instead of the base.
        gain: fields that are added to both sides, whose numbers are then the differences that these
            fields make; none by default.
        when: the moment of training at which gradients are measured.
        pair: the two sides.
        baselines: further pairs of sides for which the claim must hold, by name.
        checks: further numbers of the same sides, by name; a check fails if the claim holds in none
            of its numbers.
        printed: where the paper's own numbers are; None if it prints none.
        details: the table of details that belongs to it: corruptions, variance or cost.
        command: what measures it.
    """

    id: str
    section: str
    group: str
    sentence: str
    where: str
    refuted_by: str
    command: str
    pair: Pair
    number: Number
    variant: str = ""
    against: Number | None = None
    threshold: float | None = None
    gain: Values = field(default_factory=dict)
    direction: Direction = "higher"
    data: str = "cifar100"
    network: str = "resnet18"
    stand_ins: tuple[str, ...] = ()
    epochs: int = 200
    detector: bool = False
    when: When = ""
    baselines: Mapping[str, Pair] = field(default_factory=dict)
    checks: Mapping[str, tuple[Number, ...]] = field(default_factory=dict)
    printed: Printed | None = None
    details: Literal["", "corruptions", "variance", "cost"] = ""

    @property
    def sign(self) -> int:
        """1 if the claimed difference is positive, -1 if it is negative, 0 for equality."""
        return {"higher": 1, "lower": -1, "equal": 0}[self.direction]

    @functools.cached_property
    def paper_values(self) -> tuple[PaperNumber | None, PaperNumber | None]:
        """The values that the paper printed for base and other; None where it printed nothing."""
        if self.printed is None:
            return None, None
        base = None
        if self.threshold is None:
            base = self._gain(self.against or self.number, self.pair.base, self.printed.base)
        return base, self._gain(self.number, self.pair.other, self.printed.other)

    def with_gain(self, side: Values) -> Pair:
        """Return a side without and with the fields of `gain`."""
        return Pair(side, {**side, **self.gain})

    def _gain(self, number: Number, side: Values, at: Mapping[str, Any]) -> PaperNumber | None:
        """Return the printed number of a side; if the claim is about gains, its gain."""
        without = self._printed(number, side, at)
        if not self.gain or without is None:
            return without
        added = self._printed(number, self.with_gain(side).other, at)
        return added and replace(added, value=added.value - without.value)

    @property
    def printed_difference(self) -> float:
        """The paper's difference; NaN if it printed none."""
        base, other = self.paper_values
        first = self.threshold if base is None else base.value
        return math.nan if other is None or first is None else other.value - first

    def _printed(self, number: Number, side: Values, at: Mapping[str, Any]) -> PaperNumber | None:
        """Return the first number of the table with this metric, side and conditions."""
        assert self.printed is not None
        corrupted = number.evaluator == "corruption"
        epoch = {"epoch": PAPER_EPOCHS[self.when]} if self.when else {}
        wanted = {
            "table": self.printed.table,
            "dataset": _CORRUPTED[self.data] if corrupted else self.data,
            "model": self.printed.model or self.network,
            "method": side.get("method", ("ce",))[0],
            "sd_dropout": bool(side.get("sd_dropout", (0,))[0]),
            "metric": number.metrics[0],
        }
        matching = (
            printed
            for printed in paper_numbers()
            if all(getattr(printed, name) == value for name, value in wanted.items())
            and {**at, **epoch}.items() <= dict(printed.at).items()
        )
        return next(matching, None)


@functools.cache
def paper_claims() -> tuple[Claim, ...]:
    """Return all claims in the order of their file."""
    source = importlib.resources.files("sdd_eval.paper") / "claims.toml"
    file = tomllib.loads(source.read_text(encoding="utf-8"))
    tables = itertools.chain.from_iterable(map(_combinations, file["claim"]))
    return tuple(_claim(table, file) for table in tables)


def _combinations(table: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Yield a claim's table with every combination of the values of `each` filled in."""
    content = dict(table)
    each = content.pop("each", {})
    for values in itertools.product(*each.values()):
        names = dict(zip(each, values, strict=True))
        titles = {name: _title(value) for name, value in names.items()}
        texts = {"variant": ", ".join(titles.values())}
        written = (name for name in ("sentence", "variant") if name in content)
        texts |= {name: content[name].format_map(titles) for name in written}
        yield {**_filled(content, names), **texts}


def _title(value: Any) -> str:
    """Format a value for use within a sentence.

    >>> [_title(value) for value in ("cs_kd", "forward", "auroc", "resnet34", 0.5)]
    ['CS-KD', 'forward', 'AUROC', 'ResNet-34', '0.5']
    """
    text = str(value)
    if known := built_in().get(text):
        return known.phrase
    words, name = text.replace("_", " "), display_name(text)
    return words if name.lower() == words and text not in NAMES else name


def _filled(value: Any, names: Mapping[str, Any]) -> Any:
    """Return a value with each {name} replaced; a text that is only {name} becomes the value."""
    if isinstance(value, dict):
        return {key: _filled(item, names) for key, item in value.items()}
    if isinstance(value, list):
        return [_filled(item, names) for item in value]
    if not isinstance(value, str):
        return value
    return names[value[1:-1]] if value[1:-1] in names else value.format_map(names)


def _claim(table: Mapping[str, Any], file: Mapping[str, Any]) -> Claim:
    """Return the claim of a table; raise InputError for an unknown field or a wrong type."""
    content, numbers = dict(table), {name: _number(n) for name, n in file["numbers"].items()}
    pair = _pair(content.pop("base", {}), content.pop("other"))
    selected = content.pop("baselines", [])
    names = list(file["baselines"]) if selected == "all" else selected
    baselines = {name: _baseline(file["baselines"][name], pair) for name in names}
    checks = {
        name: [numbers[number] for number in of_check]
        for name, of_check in content.pop("checks", {}).items()
    }
    content["number"] = numbers[content["number"]]
    if "against" in content:
        content["against"] = numbers[content["against"]]
    stand_ins = file["stand_ins"].get(content.get("network", Claim.network), [])
    content["gain"] = {name: _alternatives(v) for name, v in content.get("gain", {}).items()}
    more = {"pair": pair, "baselines": baselines, "checks": checks, "stand_ins": stand_ins}
    return decode(Claim, {**content, **more}, f"claims.toml, {content['id']}")


def _number(table: Mapping[str, Any]) -> dict[str, Any]:
    at = {axis: _alternatives(value) for axis, value in table.get("at", {}).items()}
    return {**table, "metrics": _alternatives(table["metrics"]), "at": at}


def _baseline(table: Mapping[str, Any], pair: Mapping[str, Any]) -> dict[str, Any]:
    """Return the claim's own sides with the fields that a baseline changes."""
    changed = _pair(table["base"], table.get("other", {}))
    return {side: {**fields, **changed[side]} for side, fields in pair.items()}


def _pair(base: Mapping[str, Any], other: Mapping[str, Any]) -> dict[str, Any]:
    return {
        side: {name: _alternatives(value) for name, value in fields.items()}
        for side, fields in (("base", base), ("other", other))
    }


def _alternatives(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]
