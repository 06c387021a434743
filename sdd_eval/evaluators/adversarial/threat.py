"""What an attack may do: its parameters in effect, its norm and its size, in pixels of [0, 1].

Attacks and parameters are those of torchattacks, read from the signatures of the version that is
installed. Two names are apart: `AutoAttack` is the standard version of Croce and Hein (2020), and
`torchattacks-autoattack` is what torchattacks calls so, which makes 10 steps instead of 100.
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sdd_eval.errors import InputError, unknown_name

AUTOATTACK = "AutoAttack"
ENSEMBLE = "torchattacks-autoattack"
#: They need other attacks or training data, which no flag can give.
WRAPPERS = ("MultiAttack", "LGV")
#: What is always passed, or never: no choice of the user's.
OWN = ("model", "seed", "verbose")
#: The norms that are not L∞, of attacks whose parameters do not say it.
NORMS = {
    **dict.fromkeys(("PGDL2", "PGDRSL2", "CW", "DeepFool", "EADEN"), "L2"),
    "EADL1": "L1",
    **dict.fromkeys(("SparseFool", "OnePixel", "Pixle", "JSMA"), "L0"),
    **dict.fromkeys(("VANILA", "GN"), "none"),
}
#: What parameters of text accept; for some attacks less than for others.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "norm": ("Linf", "L2"),
    "loss": ("ce", "dlr", "margin"),
    "APGD loss": ("ce", "dlr"),
    "Square loss": ("ce", "margin"),
    "version": ("standard", "plus", "rand"),
    "noise_type": ("guassian", "uniform"),  # as torchattacks spells it
    "kernel_name": ("gaussian", "linear", "uniform"),
}
#: Whole numbers by default, though any number has a meaning.
REAL = ("c", "kappa", "scale", "lam", "nsig")
SIZES = ("eps", "max_epsilon")
#: AutoAttack has nine targets: the classes with the largest logits, the label aside.
TARGETED_CLASSES = 10
#: Losses of the four largest logits; and a target that is always one of the first ten classes.
NEEDED = {AUTOATTACK: 4, ENSEMBLE: 4, "APGDT": 4, "JSMA": 10}


@dataclass(frozen=True)
class Threat:
    """An attack with the values of all its parameters, the seed aside."""

    attack: str
    norm: str
    """Linf, L2, L1, L0 or none."""
    parameters: Mapping[str, Any]
    restarts: int = 1

    @property
    def epsilon(self) -> float | None:
        """The radius of its ball; None where it looks for a small change and has no ball."""
        sizes = [self.parameters[name] for name in SIZES if name in self.parameters]
        return float(sizes[0]) if sizes else None

    @property
    def at(self) -> dict[str, Any]:
        """Where its numbers hold."""
        size = {} if self.epsilon is None else {"epsilon": self.epsilon}
        others = {k: v for k, v in self.parameters.items() if k not in (*SIZES, "steps", "norm")}
        steps = {"steps": self.parameters["steps"]} if "steps" in self.parameters else {}
        told = " ".join(f"{name}={_shown(value)}" for name, value in others.items())
        return {
            "attack": self.attack,
            "norm": self.norm,
            **size,
            **steps,
            "restarts": self.restarts,
            **({"parameters": told} if told else {}),
        }

    def as_text(self) -> str:
        """As JSON in ASCII, to be kept among arrays."""
        return json.dumps(asdict(self))


def from_text(text: str | bytes) -> Threat:
    """The threat that `as_text` wrote."""
    return Threat(**json.loads(text))


def described(threat: Threat, channels: int) -> str:
    """The threat model in words: attack, norm, ε of each channel, and every parameter."""
    size = threat.epsilon
    if size is None:
        ball = f"{threat.norm}, no ball: a small change is looked for, whatever its size"
    elif threat.norm == "Linf":
        each = " ".join([f"{size:.4g}"] * channels)
        ball = f"L∞, ε = {size * 255:.4g}/255 in pixels of [0, 1] (per channel {each})"
    else:
        ball = f"{threat.norm}, ε = {size:.4g} over all pixels of [0, 1] and channels"
    parts = [f"{name} = {_shown(value)}" for name, value in threat.parameters.items()]
    starts = f"{threat.restarts} restart{'s' if threat.restarts > 1 else ''}"
    return f"{threat.attack}: {ball}; {', '.join([starts, *parts])}"


def names() -> list[str]:
    """The attacks that there are."""
    import torchattacks

    theirs = [name for name in torchattacks.__all__ if name not in (*WRAPPERS, AUTOATTACK)]
    return [AUTOATTACK, ENSEMBLE, *theirs]


def threat_of(
    name: str,
    common: Mapping[str, Any],
    parameters: Sequence[str] = (),
    *,
    restarts: int = 1,
    classes: int,
) -> Threat:
    """An attack by name, with settings and KEY=VALUE parameters in place of its defaults.

    Args:
        name: as in `names`, in capitals or not.
        common: values by parameter, numbers or text such as "8/255"; None leaves the default.
        parameters: further ones, KEY=VALUE each.
        restarts: how often the attack starts again on the images that it has not broken.
        classes: of the network.

    Raises:
        InputError: there is no such attack or parameter, or a value that it does not take.
    """
    attack = _known(name)
    values = _defaults(attack, classes)
    given = {key: value for key, value in common.items() if value is not None}
    for item in parameters:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--parameters has {item!r}, which is not KEY=VALUE")
        if key in given:
            raise InputError(f"the parameter {key!r} is given twice")
        given[key] = value
    for key, value in given.items():
        if key not in values:
            raise unknown_name(f"parameter of {attack}", key, values)
        values[key] = _value(attack, key, value, values[key])
    if restarts < 1:
        raise InputError(f"--restarts is {restarts}; at least 1 is needed")
    if restarts > 1 and attack == AUTOATTACK:
        raise InputError(f"--restarts is {restarts}; AutoAttack's standard version starts once")
    threat = Threat(attack, values.get("norm") or NORMS.get(attack, "Linf"), values, restarts)
    _check(threat, classes)
    return threat


def _known(name: str) -> str:
    """The attack of that name."""
    by_small = {known.lower(): known for known in names()}
    if name.lower() not in by_small:
        if name in WRAPPERS:
            raise InputError(f"{name} of torchattacks wraps other attacks; name one of them")
        raise unknown_name("attack", name, by_small.values())
    return by_small[name.lower()]


def _defaults(attack: str, classes: int) -> dict[str, Any]:
    """An attack's parameters with their defaults."""
    import torchattacks

    if attack == AUTOATTACK:  # all else is what its name stands for
        return {"norm": "Linf", "eps": 8 / 255}
    kind = torchattacks.AutoAttack if attack == ENSEMBLE else getattr(torchattacks, attack)
    signature = inspect.signature(kind).parameters
    found = {key: value.default for key, value in signature.items() if key not in OWN}
    if "n_classes" in found:
        found["n_classes"] = min(TARGETED_CLASSES, classes)
    return found


def _value(attack: str, key: str, given: Any, default: Any) -> Any:
    """A value as the parameter's default is: a flag, a number, a text or several numbers."""
    if isinstance(default, bool):
        flags = {"true": True, "false": False}
        if str(given).lower() not in flags:
            raise InputError(f"{key} of {attack} is {given!r}, not true or false")
        return flags[str(given).lower()]
    if isinstance(default, str):
        choices = CHOICES.get(f"{attack} {key}", CHOICES.get(key))
        if choices and given not in choices:
            raise InputError(f"{key} of {attack} is {given!r}, not one of {', '.join(choices)}")
        return str(given)
    if isinstance(default, tuple):
        return tuple(_number(key, part, whole=True) for part in str(given).split(","))
    return _number(key, given, whole=isinstance(default, int) and key not in REAL)


def _number(key: str, given: Any, *, whole: bool) -> Any:
    """A number, or a fraction as text: "8/255"."""
    kind = int if whole else float
    above, slash, below = str(given).partition("/")
    try:
        number = kind(above) / kind(below) if slash and not whole else kind(str(given))
    except (ValueError, ZeroDivisionError):
        accepted = "a whole number" if whole else "a number or a fraction such as 8/255"
        raise InputError(f"{key} is {given!r}, not {accepted}") from None
    if not math.isfinite(number):
        raise InputError(f"{key} is {given!r}; it must be finite")
    return number


def _check(threat: Threat, classes: int) -> None:
    """Refuse sizes and numbers of classes that have no meaning."""
    size, values = threat.epsilon, threat.parameters
    if size is not None and size < 0:
        raise InputError(f"eps is {size:g}; it must be 0 or more")
    if size is not None and size > 1 and threat.norm == "Linf":
        raise InputError(f"eps is {size:g} in pixels of [0, 1]; is {size:g}/255 meant?")
    for name in ("steps", "n_queries", "n_restarts"):
        if values.get(name, 1) < 1:
            raise InputError(f"{name} is {values[name]}; at least 1 is needed")
    needed = NEEDED.get(threat.attack, 3 if values.get("loss") == "dlr" else 2)
    if classes < needed:
        raise InputError(f"{threat.attack} needs {needed} classes; the network has {classes}")
    if not 2 <= values.get("n_classes", classes) <= classes:
        raise InputError(f"n_classes is {values['n_classes']}; the network has {classes} classes")


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
