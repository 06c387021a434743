"""What stands beside the numbers of an attack and of an audit: temperature, gradients, checks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from numpy.typing import NDArray

from sdd_eval.evaluators.temperature import fitted_words
from sdd_eval.records import Measurement

#: What logits are divided by: as arrays end, and as `at` says it.
TEMPERATURES: Mapping[str, float | str] = {"one": 1.0, "fitted": "fitted"}
GRADIENTS = {
    "": "gradient formed at the logits in float64 without 1 − p",
    "_float32": "gradient in plain float32, which saturates",
}
WITHOUT_SATURATION = (
    f"{GRADIENTS['']}, divided per image and pass by its largest magnitude, then float32"
)


def checks(
    metric: str, at: Mapping[str, Any], name: str, arrays: Mapping[str, NDArray[Any]]
) -> Iterator[Measurement]:
    """Images without gradient, and predictions that the attack's path changes, at a temperature."""
    told = divided(name, arrays)
    for suffix, how in GRADIENTS.items():
        zeros = float(arrays[f"zero_gradient{suffix}_{name}"].sum())
        here = {**at, "gradient": suffix.removeprefix("_") or "stable"}
        text = (
            "clean images whose gradient of the cross-entropy with the true labels is zero in "
            f"every pixel; {how}; {told}"
        )
        yield Measurement(f"{metric}_zero_gradients", zeros, "images", here, text)
    ties = float(arrays[f"path_differs_{name}"].sum())
    text = (
        "clean images that the attack's own path predicts otherwise than the network; all have top "
        f"two logits within 1e-4, any other would have been an error; {told}"
    )
    yield Measurement(f"{metric}_path_ties", ties, "images", at, text)


def divided(name: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """The temperature in words."""
    if name == "one":
        return "logits divided by T = 1"
    words = fitted_words(float(arrays["temperature"][0]), "held_out" in arrays)
    return f"logits divided by {words}"
