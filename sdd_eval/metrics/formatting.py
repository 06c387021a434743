"""Format metric values for the terminal, tables and sentences, according to the registry.

A metric shown in percent has no percent sign in tables, as the heading has it; its differences are
"points".
"""

from __future__ import annotations

import functools
import math
import re
import unicodedata
from typing import TYPE_CHECKING, Any

from sdd_eval.metrics.registry import Metric

if TYPE_CHECKING:
    from sdd_eval.statistics.seeds import SeedSummary

MISSING = "—"


def _by_character(characters: str, replacements: str) -> dict[str, str]:
    return dict(zip(characters, replacements.split(), strict=True))


#: LaTeX code for characters that LaTeX reserves, writes as commands, or has in few fonts.
_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': "{''}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
    **_by_character("–—…−³“”‘’", r"-- --- \ldots{} $-$ $^3$ “ ” ‘ ’"),
    **_by_character("ÐðÞþĐđĦħŊŋŦŧĸ", "D d Th th D d H h N n T t k"),
}
#: Letters that need font encoding T1.
_WITH_T1 = "ĄąĘęĮįŲųĿŀŉ"
_MATHS = {
    **_by_character("±×·≥≤∞↑↓†", "pm times cdot geq leq infty uparrow downarrow dagger"),
    **_by_character("→←≈≠ℓ«»√", "to leftarrow approx neq ell ll gg surd"),
    **_by_character(
        "αβγδεζηθικλ", "alpha beta gamma delta varepsilon zeta eta theta iota kappa lambda"
    ),
    **_by_character(
        "μνξπρςστυφχψω", "mu nu xi pi rho varsigma sigma tau upsilon varphi chi psi omega"
    ),
    **_by_character("ΓΔΘΛΞΠΣΥΦΨΩ", "Gamma Delta Theta Lambda Xi Pi Sigma Upsilon Phi Psi Omega"),
}
_ESCAPES |= {character: rf"$\{command}$" for character, command in _MATHS.items()}


def format_number(metric: Metric, value: float | None, *, sign: bool = False) -> str:
    """Return a value without its unit; "—" if there is none. With `sign`, add a plus sign.

    >>> from sdd_eval.metrics.registry import metric
    >>> format_number(metric("accuracy"), 0.9712), format_number(metric("ece"), -0.01, sign=True)
    ('97.1', '−0.010')
    >>> format_number(metric("mask_variance"), 2e-7), format_number(metric("bin_count"), 1200.0)
    ('2.0e-07', '1,200')
    """
    if value is None or math.isnan(value):
        return MISSING
    shown = 100 * value if metric.percent else value
    rounded = round(shown, metric.digits) + 0.0 if math.isfinite(shown) else shown  # no "−0.0"
    tiny = shown != 0 and rounded == 0 and math.isinf(metric.highest) and metric.digits > 0
    kind = ".1e" if tiny else f",.{metric.digits}f"
    text = f"{shown if tiny else rounded:{'+' if sign else ''}{kind}}"
    return f"−{text[1:]}" if text.startswith("-") else text


def format_value(metric: Metric, value: float | None) -> str:
    """Return a value with a percent sign if its metric has one.

    >>> from sdd_eval.metrics.registry import metric
    >>> format_value(metric("accuracy"), 0.9712), format_value(metric("nll"), 0.25)
    ('97.1 %', '0.250')
    """
    return _with(format_number(metric, value), " %" if metric.percent else "")


def format_mean(metric: Metric, summary: SeedSummary, *, unit: bool = False) -> str:
    """Return mean ± standard deviation over seeds; `unit` adds the percent sign.

    >>> from sdd_eval.metrics.registry import metric
    >>> from sdd_eval.statistics.seeds import SeedSummary
    >>> format_mean(metric("accuracy"), SeedSummary(0.9712, 0.0023, 3), unit=True)
    '97.1 ± 0.2 %'
    >>> format_mean(metric("ece"), SeedSummary(0.0432, float("nan"), 1))
    '0.043'
    """
    text = format_number(metric, summary.mean)
    if not math.isnan(summary.std):
        text += f" ± {format_number(metric, summary.std)}"
    return _with(text, " %" if unit and metric.percent else "")


def format_difference(metric: Metric, value: float | None, *, sign: bool = True) -> str:
    """Return a difference with its sign, in points if the metric is shown in percent.

    >>> from sdd_eval.metrics.registry import metric
    >>> format_difference(metric("accuracy"), -0.012), format_difference(metric("ece"), 0.01)
    ('−1.2 points', '+0.010')
    """
    return _with(format_number(metric, value, sign=sign), " points" if metric.percent else "")


def format_interval(
    metric: Metric, low: float | None, high: float | None, *, sign: bool = False
) -> str:
    """Return an interval without its unit; with `sign`, format it as that of a difference.

    >>> from sdd_eval.metrics.registry import metric
    >>> format_interval(metric("accuracy"), 0.4, 0.6)
    '40.0 to 60.0'
    """
    ends = [format_number(metric, end, sign=sign) for end in (low, high)]
    return MISSING if MISSING in ends else " to ".join(ends)


def format_p_value(p: float | None) -> str:
    """Return a p-value with three significant digits; "—" if there is none.

    >>> format_p_value(0.04217), format_p_value(2e-7), format_p_value(None)
    ('0.0422', '2e-07', '—')
    """
    return MISSING if p is None or math.isnan(p) else f"{p:.3g}"


def _with(text: str, unit: str) -> str:
    return text if text == MISSING else text + unit


def format_setting(value: Any) -> str:
    """Return the value of a setting as text; "—" for None, NaN and empty values.

    >>> format_setting((0.5, True)), format_setting({"epsilon": None}), format_setting([])
    ('0.5, yes', 'epsilon —', '—')
    """
    if hasattr(value, "tolist"):  # a NumPy array, whose comparisons are arrays
        value = value.tolist()
    if value is None or value == "" or value == [] or value != value:
        return "—"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list | tuple):
        return ", ".join(format_setting(item) for item in value)
    if isinstance(value, dict):
        return ", ".join(f"{name} {format_setting(item)}" for name, item in value.items()) or "—"
    return str(value)


def escaped(text: object) -> str:
    r"""Return text escaped for LaTeX; characters without an equivalent become "?".

    Text that starts with a bracket or a star is preceded by `{}`, because LaTeX would take it for
    an argument of the preceding `\\` or `\midrule`.

    >>> escaped("CE + SD-Dropout λ 0.1, 50 % of a_b")
    'CE + SD-Dropout $\\lambda$ 0.1, 50 \\% of a\\_b'
    """
    words = " ".join(unicodedata.normalize("NFC", str(text)).split())
    parts = re.split("(?<=-)(?=-)", words)  # LaTeX turns two hyphens into a dash
    plain = "{}".join("".join(map(_escape_character, part)) for part in parts)
    return f"{{}}{plain}" if plain.startswith(("[", "*")) else plain


@functools.cache
def _escape_character(character: str) -> str:
    """Escape one character for the fonts that LaTeX provides without extra packages.

    An accented letter that they lack is replaced by the base letter.
    """
    if character in _ESCAPES:
        return _ESCAPES[character]
    if " " <= character < "\x7f" or ("\xa1" <= character <= "\u017e" and character not in _WITH_T1):
        return character
    if unicodedata.combining(character):
        return ""
    simpler = unicodedata.normalize("NFKD", character)
    known = (_ESCAPES.get(one, one) for one in simpler if " " <= one < "\x7f")
    return "".join(known) or "?"


def format_verdict(entry: Metric, verdict: str) -> str:
    """Return the verdict of a test for readers: better or worse instead of higher or lower.

    >>> from sdd_eval.metrics.registry import metric
    >>> format_verdict(metric("ece"), "lower"), format_verdict(metric("ece"), "not distinguishable")
    ('better', 'no difference shown')
    """
    if verdict not in ("higher", "lower"):
        return "no difference shown" if verdict else "not tested"
    return verdict if not entry.better else "better" if verdict == entry.better else "worse"
