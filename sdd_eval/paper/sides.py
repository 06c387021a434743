"""The sides of a claim in a study: checkpoints that differ only in their seed."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sdd_eval.paper.cell_query import BYOT_NETWORK, paper_protocol
from sdd_eval.paper.claims import Claim, Pair, Values
from sdd_eval.paper.comparison import Recipe, default_options, protocol_deviations
from sdd_eval.records import DETECTOR, encode
from sdd_eval.records import Recipe as RecipeRecord
from sdd_eval.store import key_of
from sdd_eval.studies import StudyRecord

Scale = Literal["full size", "miniature", "small", "timed now"]

#: Recipe fields that a side names; both sides agree in all others.
FIELDS = (
    *("method", "method_options", "sd_dropout", "drop_rate", "temperature", "direction"),
    *("position", "hidden_layers", "weight_decay"),
)
#: Of these, the fields that only configure SD-Dropout.
_OF_SD_DROPOUT = ("drop_rate", "temperature", "direction", "position")
#: Fields that do not set two groups of seeds apart.
_NEUTRAL = ("seed", "probe_epochs", "probe_images")
#: Prefix of the fields of a detector's backbone.
_BACKBONE = "backbone_"
_DEFAULTS: Mapping[str, Any] = encode(RecipeRecord())


@dataclass(frozen=True)
class Group:
    """Checkpoints of one recipe, with their seeds.

    `fields` are those of `FIELDS`; `shared` is a hash of the rest, `family` of the rest with the
    paper's name of the network, which BYOT on photographs shares with other methods.
    """

    recipe: Recipe
    fields: Recipe
    shared: str
    family: str
    seeds: Mapping[str, int]

    @property
    def weight_decay(self) -> float:
        """The weight decay, which the sides of every claim share."""
        return float(self.fields["weight_decay"])


@dataclass(frozen=True)
class StudySides:
    """The recipes of a study's checkpoints.

    Attributes:
        recipes: the recipes of each checkpoint; in a small study, those that it stands for.
        names: the stand-ins for the paper's data sets and networks in a small study.
        small: whether it is a small study, whose numbers only show that the software works.
    """

    recipes: Mapping[str, Sequence[Recipe]]
    names: Mapping[str, str] = field(default_factory=dict)
    small: bool = False

    @functools.cached_property
    def groups(self) -> tuple[Group, ...]:
        """All groups of seeds, in order of appearance."""
        members: dict[str, tuple[Recipe, dict[str, int]]] = {}
        for checkpoint, recipes in self.recipes.items():
            for recipe in recipes:
                complete = {**_DEFAULTS, **recipe}
                fields = {n: v for n, v in complete.items() if not _is_neutral(n)}
                known = members.setdefault(key_of(fields), (complete, {}))
                known[1][checkpoint] = complete.get("seed") or 0
        return tuple(_group(recipe, seeds) for recipe, seeds in members.values())

    @property
    def plain(self) -> set[str]:
        """The checkpoints of the paper's cross-entropy."""
        return {name for one in self.groups if matches({}, one) for name in one.seeds}


def study_sides(record: StudyRecord | None, recipes: Mapping[str, Recipe]) -> StudySides:
    """Return the sides of a study from its record and the recipes of its runs by checkpoint.

    Recipes that no run has, as in a study read from its tables, are taken from the record.
    """
    known = {checkpoint: [recipe] for checkpoint, recipe in recipes.items()}
    if record is None:
        return StudySides(known)
    represented = {name: list(each) for name, each in record.stands_for.items()}
    all_recipes = {**known, **represented} if record.small else {**represented, **known}
    return StudySides(all_recipes, record.names, record.small)


def scale_of(claim: Claim, group: Group, sides: StudySides) -> Scale:
    """Return how far the networks are from those of the paper.

    Full size is the paper's network and protocol in all fields that sides do not name.
    """
    if sides.small:
        return "small"
    recipe = group.recipe
    paper_s = _paper_network(recipe) == claim.network and recipe.get("epochs") == claim.epochs
    changed = protocol_deviations(paper_protocol(claim.data), recipe, (*FIELDS, "epochs"))
    return "miniature" if changed or not paper_s else "full size"


def side_pairs(
    claim: Claim, pair: Pair, sides: StudySides, shared: str = ""
) -> Iterator[tuple[Group | None, Group]]:
    """Yield each base and other with a claim's network and data that agree in all further fields.

    The base is None for a claim about a constant. With `shared`, only sides with that hash, of
    their recipe or of their family.
    """
    candidates = [group for group in sides.groups if _is_of_claim(claim, group)]
    bases = [group for group in candidates if matches(pair.base, group)]
    for other in candidates:
        if matches(pair.other, other) and shared in ("", other.shared, other.family):
            if claim.threshold is not None:
                yield None, other
                continue
            for base in bases:
                if _agree(claim, base, other) and base.weight_decay == other.weight_decay:
                    yield base, other


def _agree(claim: Claim, base: Group, other: Group) -> bool:
    """Return whether two sides have the same recipe, but for the fields that sides name.

    Gains of two methods may be those of the networks that the paper gives to each method.
    """
    if claim.gain and base.fields["method"] != other.fields["method"]:
        return base.family == other.family
    return base.shared == other.shared


def matches(side: Values, group: Group) -> bool:
    """Return whether a group has the fields of a side, and the paper's values of all others."""
    without = not group.fields["sd_dropout"]
    names = [name for name in FIELDS if not (without and name in _OF_SD_DROPOUT)]
    return all(_field_matches(name, side.get(name), group.fields) for name in names)


def same(value: Any, accepted: Any) -> bool:
    """Return whether a value is the accepted one; numbers may be text, and rounded.

    >>> same("0.2", 0.2), same(1, True), same("fitted", 1.0)
    (True, True, False)
    """
    if accepted is True:
        return bool(value)
    try:
        return math.isclose(float(value), float(accepted), rel_tol=1e-8)
    except (TypeError, ValueError):
        return bool(value == accepted)


def _group(recipe: Recipe, seeds: Mapping[str, int]) -> Group:
    fields = {name: recipe[name] for name in FIELDS}
    rest = {n: v for n, v in recipe.items() if n not in FIELDS and not _is_neutral(n)}
    family = key_of({**rest, "arch": _paper_network(recipe)})
    return Group(recipe, fields, key_of(rest), family, seeds)


def _is_neutral(name: str) -> bool:
    return name.removeprefix(_BACKBONE) in _NEUTRAL or name in ("backbone", "backbone_sha256")


def _is_detector(recipe: Recipe) -> bool:
    return str(recipe.get("arch")).startswith(DETECTOR)


def _backbone_arch(recipe: Recipe) -> str:
    return str(recipe.get("arch")).removeprefix(DETECTOR)


def _paper_network(recipe: Recipe) -> str:
    """Return the paper's name of the network: BYOT's on photographs is also its ResNet-18."""
    arch = _backbone_arch(recipe).removeprefix("torchvision:")
    return "resnet18" if arch == BYOT_NETWORK and recipe.get("method") == "byot" else arch


def _is_of_claim(claim: Claim, group: Group) -> bool:
    """Return whether a group has the claim's data and network, or a stand-in of the latter."""
    recipe = group.recipe
    arch = _paper_network(recipe)
    of_schedule = not claim.detector or recipe.get("epochs") == claim.epochs
    known = arch in (claim.network, *claim.stand_ins) and recipe.get("dataset") == claim.data
    return known and claim.detector == _is_detector(recipe) and of_schedule


def _field_matches(name: str, accepted: Iterable[Any] | None, fields: Recipe) -> bool:
    """Return whether a field is accepted; without accepted values it is as in the paper."""
    if name == "method_options":
        return _options_match(accepted, fields)
    values = (_DEFAULTS[name],) if accepted is None else accepted
    return any(same(fields[name], value) for value in values)


def _options_match(variants: Iterable[Any] | None, fields: Recipe) -> bool:
    """Return whether a method has its default options, except for an accepted `variant`."""
    defaults = default_options(str(fields["method"]))
    options = {**defaults, **(fields["method_options"] or {})}
    if variants is not None and options.pop("variant", None) not in variants:
        return False
    return all(defaults.get(name, value) == value for name, value in options.items())
