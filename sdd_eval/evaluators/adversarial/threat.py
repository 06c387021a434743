"""Threat models: an attack, its parameters, its norm and its size, in the pixel range [0, 1].

Attacks and parameters are those of torchattacks, read from the signatures of the installed version.
Two names are special: `AutoAttack` is the standard version of Croce and Hein (2020), and
`torchattacks-autoattack` is the weaker attack that torchattacks calls AutoAttack.
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from sdd_eval.arrays import Arrays
from sdd_eval.errors import InputError, unknown_name
from sdd_eval.evaluators.temperature import fitted_words, temperature_text
from sdd_eval.statistics.statistic import Quantity, Statistic, counts

AUTOATTACK = "AutoAttack"
ENSEMBLE = "torchattacks-autoattack"
#: Attacks that need other attacks or training data, which no flag can pass.
WRAPPERS = ("MultiAttack", "LGV")
#: Parameters that the user cannot set.
RESERVED = ("model", "seed", "verbose")
#: Norms other than L∞ of attacks that have no parameter `norm`.
NORMS = {
    **dict.fromkeys(("PGDL2", "PGDRSL2", "CW", "DeepFool", "EADEN"), "L2"),
    "EADL1": "L1",
    **dict.fromkeys(("SparseFool", "OnePixel", "Pixle", "JSMA"), "L0"),
    **dict.fromkeys(("VANILA", "GN"), "none"),
}
#: Accepted values of text parameters, by name or by attack and name.
CHOICES: Mapping[str, tuple[str, ...]] = {
    "norm": ("Linf", "L2"),
    "loss": ("ce", "dlr", "margin"),
    "APGD loss": ("ce", "dlr"),
    "Square loss": ("ce", "margin"),
    "version": ("standard", "plus", "rand"),
    "noise_type": ("guassian", "uniform"),  # as torchattacks spells it
    "kernel_name": ("gaussian", "linear", "uniform"),
}
#: Parameters with an integer default that accept any number.
REAL = ("c", "kappa", "scale", "lam", "nsig")
#: Counts; if one of them is 0, an attack returns NaN or the clean images.
COUNTED = (
    *("steps", "n_queries", "n_restarts", "restarts", "eot_iter", "max_iterations", "pixels"),
    *("binary_search_steps", "nb_sample", "nb_iter", "popsize", "inf_batch", "N", "m"),
    *("len_kernel", "num_iter_set", "noise_batch_size", "batch_max"),
)
#: Parameters that set the size of the ball.
SIZES = ("eps", "max_epsilon")
#: AutoAttack targets the nine classes with the largest logits, other than the label.
TARGETED_CLASSES = 10
#: Minimum number of classes: some losses use the four largest logits, and some attacks pick a
#: target among the first ten classes.
FEWEST_CLASSES = {AUTOATTACK: 4, ENSEMBLE: 4, "APGDT": 4, "JSMA": 10}

#: Attacks whose kernels require three channels.
THREE_CHANNELS = ("TIFGSM", "PIFGSM", "PIFGSMPP")
#: Why the images of an attack may leave its ball or the box in torchattacks 3.5.
FAULTS = dict.fromkeys(
    ("EADL1", "EADEN"),
    "it takes a gradient step on the clean images themselves, which leaves [0, 1] where gradients "
    "are large",
)

#: The protocol of numbers measured before an attack.
CLEAN = {"definition": "clean images, accuracy against the true labels"}
#: A value of the axis `temperature`: a temperature, or that it was fitted to the network.
Temperature = float | Literal["fitted"]
TEMPERATURES: tuple[Temperature, ...] = (1.0, "fitted")
#: How a gradient is computed, by its value on the axis `gradient`.
GRADIENTS = {
    "stable": "gradient formed at the logits in float64 without 1 − p",
    "float32": "gradient in plain float32, which saturates",
}
WITHOUT_SATURATION = (
    f"{GRADIENTS['stable']}, divided per image and pass by its largest magnitude, then float32"
)
#: Tolerance when checking that an attacked image lies in its ball.
ROUNDING = 1e-6
#: Radii of the balls of an audit, L∞ in the pixel range [0, 1], increasing.
EPSILONS = tuple(size / 255 for size in (0.25, 0.5, 1, 2, 4, 8))
#: Attacks of an audit that depend on the temperature; the others use only margins.
BY_CROSS_ENTROPY = ("fgsm", "pgd_ce")


@dataclass(frozen=True)
class Threat:
    """An attack with the values of all its parameters, except the seed."""

    attack: str
    norm: str
    """Linf, L2, L1, L0 or none."""
    parameters: Mapping[str, Any]
    restarts: int = 1

    @property
    def epsilon(self) -> float | None:
        """The radius of the ball; None if the attack minimises the perturbation instead."""
        sizes = [self.parameters[name] for name in SIZES if name in self.parameters]
        return float(sizes[0]) if sizes else None

    @property
    def at(self) -> dict[str, Any]:
        """The axes of the attack's numbers."""
        size = {} if self.epsilon is None else {"epsilon": self.epsilon}
        others = {k: v for k, v in self.parameters.items() if k not in (*SIZES, "steps", "norm")}
        steps = {"steps": self.parameters["steps"]} if "steps" in self.parameters else {}
        parameters = " ".join(f"{name}={_shown(value)}" for name, value in others.items())
        return {
            "attack": self.attack,
            "norm": self.norm,
            **size,
            **steps,
            "restarts": self.restarts,
            **({"parameters": parameters} if parameters else {}),
        }


def describe(threat: Threat, channels: int) -> str:
    """Describe the threat model: attack, norm, ε of each channel, and every parameter."""
    size = threat.epsilon
    if size is None:
        ball = f"{threat.norm}, no ball: a small change is looked for, whatever its size"
    elif threat.norm == "Linf":
        sizes = " ".join([f"{size:.4g}"] * channels)
        ball = f"L∞, ε = {size * 255:.4g}/255 in pixels of [0, 1] (per channel {sizes})"
    else:
        ball = f"{threat.norm}, ε = {size:.4g} over all pixels of [0, 1] and channels"
    parts = [f"{name} = {_shown(value)}" for name, value in threat.parameters.items()]
    starts = f"{threat.restarts} restart{'s' if threat.restarts > 1 else ''}"
    return f"{threat.attack}: {ball}; {', '.join([starts, *parts])}"


def names() -> list[str]:
    """Return the names of all attacks."""
    import torchattacks

    others = [name for name in torchattacks.__all__ if name not in (*WRAPPERS, AUTOATTACK)]
    return [AUTOATTACK, ENSEMBLE, *others]


def threat_of(
    name: str,
    common: Mapping[str, Any],
    parameters: Sequence[str] = (),
    *,
    restarts: int = 1,
    classes: int,
    channels: int = 3,
) -> Threat:
    """Return the threat model of an attack, with default values for parameters not given.

    Args:
        name: one of `names`, case-insensitive.
        common: values by parameter, numbers or text such as "8/255"; None selects the default.
        parameters: additional parameters, each as KEY=VALUE.
        restarts: how many times the attack is run on images that still survive.
        classes: number of classes of the network.
        channels: number of image channels.

    Raises:
        InputError: unknown attack or parameter, invalid value, or an attack that does not support
            such a network.
    """
    attack = _canonical(name)
    values = _defaults(attack, classes)
    given = {key: value for key, value in common.items() if value is not None}
    for item in parameters:
        key, equals, value = item.partition("=")
        if not equals:
            raise InputError(f"--parameters has {item!r}, which is not KEY=VALUE")
        if key in given:
            raise InputError(
                f"{key} is given twice, in --parameters or by its own flag; give it once"
            )
        given[key] = value
    for key, value in given.items():
        if key not in values:
            raise unknown_name(f"parameter of {attack}", key, values)
        values[key] = _value(attack, key, value, values[key])
    if restarts < 1:
        raise InputError(f"--restarts is {restarts}; it must be 1 or more")
    if restarts > 1 and attack == AUTOATTACK:
        raise InputError(f"--restarts is {restarts}; AutoAttack's standard version has 1")
    threat = Threat(attack, values.get("norm") or NORMS.get(attack, "Linf"), values, restarts)
    _check(threat, classes, channels)
    return threat


def _canonical(name: str) -> str:
    """Return an attack's name as torchattacks spells it."""
    canonical = {known.lower(): known for known in names()}
    if name.lower() not in canonical:
        if name in WRAPPERS:
            raise InputError(f"--name is {name}, which wraps other attacks; name one of these")
        raise unknown_name("attack", name, canonical.values())
    return canonical[name.lower()]


def _defaults(attack: str, classes: int) -> dict[str, Any]:
    import torchattacks

    if attack == AUTOATTACK:  # the standard version fixes all other parameters
        return {"norm": "Linf", "eps": 8 / 255}
    kind = torchattacks.AutoAttack if attack == ENSEMBLE else getattr(torchattacks, attack)
    signature = inspect.signature(kind).parameters
    defaults = {key: value.default for key, value in signature.items() if key not in RESERVED}
    if "n_classes" in defaults:
        defaults["n_classes"] = min(TARGETED_CLASSES, classes)
    return defaults


def _value(attack: str, key: str, given: Any, default: Any) -> Any:
    """Return a value with the type of the parameter's default: bool, text, tuple or number."""
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
    kind = int if whole else float
    numerator, slash, denominator = str(given).partition("/")
    try:
        fraction = slash and not whole
        number = kind(numerator) / kind(denominator) if fraction else kind(str(given))
    except (ValueError, ZeroDivisionError):
        accepted = "an integer" if whole else "a number or a fraction such as 8/255"
        raise InputError(f"{key} is {given!r}, not {accepted}") from None
    if not math.isfinite(number):
        raise InputError(f"{key} is {given!r}; it must be finite")
    return number


def _check(threat: Threat, classes: int, channels: int) -> None:
    """Raise InputError for an invalid size or an invalid number of steps, classes or channels."""
    size, values = threat.epsilon, threat.parameters
    if size is not None and size < 0:
        raise InputError(f"eps is {size:g}; it must be 0 or more")
    if size is not None and size > 1 and threat.norm == "Linf":
        raise InputError(f"eps is {size:g} in pixels of [0, 1]; do you mean {size:g}/255?")
    for name in COUNTED:
        if values.get(name, 1) < 1:
            raise InputError(f"{name} is {values[name]}; it must be 1 or more")
    fewest = FEWEST_CLASSES.get(threat.attack, 3 if values.get("loss") == "dlr" else 2)
    if classes < fewest:
        raise InputError(f"{threat.attack} needs {fewest} classes; the network has {classes}")
    if threat.attack in THREE_CHANNELS and channels != 3:
        raise InputError(
            f"{threat.attack} of torchattacks works on three channels only, the images have "
            f"{channels}; use another attack, such as MIFGSM"
        )
    if not 2 <= values.get("n_classes", classes) <= classes:
        raise InputError(f"n_classes is {values['n_classes']}; the network has {classes} classes")


def _shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def checks(
    metric: str, at: Mapping[str, Any], temperature: Temperature, arrays: Arrays
) -> Statistic:
    """Return the counts of zero gradients and of changed predictions at one temperature.

    `arrays` are those at this temperature.
    """
    divisor = {"temperature": divided_by(temperature, arrays)}
    fitted = fitted_values(temperature, arrays)
    quantities, flags = [], []
    for gradient, how in GRADIENTS.items():
        axes = {**at, "gradient": gradient}
        protocol = {
            "definition": "clean images whose gradient of the cross-entropy with the true labels "
            "is zero in every pixel",
            "gradient": how,
            **divisor,
        }
        zeros = Quantity(f"{metric}_zero_gradients", "images", axes, protocol, fitted)
        quantities.append(zeros)
        flags.append(arrays.where(gradient=gradient)["zero_gradient"])
    protocol = {
        "definition": "clean images that the attack's own path predicts otherwise than the network",
        "ties": "all have top two logits within 1e-4, any other would have been an error",
        **divisor,
    }
    quantities.append(Quantity(f"{metric}_path_ties", "images", at, protocol, fitted))
    return counts(quantities, [*flags, arrays["path_differs"]])


def divided_by(temperature: Temperature, arrays: Arrays) -> str:
    """Return the temperature in words."""
    fitted = fitted_words("held_out" in arrays.facts)
    return f"logits divided by {fitted if temperature == 'fitted' else 'T = 1'}"


def fitted_values(temperature: Temperature, arrays: Arrays) -> dict[str, str]:
    """Return the temperature that was fitted to the network; empty at T = 1."""
    fitted = {"T": temperature_text(arrays.facts["temperature"])}
    return fitted if temperature == "fitted" else {}
