"""The judged claims as text, as a table, as LaTeX and as JSON values."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sdd_eval.metrics.formatting import (
    MISSING,
    escaped,
    format_difference,
    format_interval,
    format_mean,
    format_number,
    format_p_value,
)
from sdd_eval.metrics.registry import Metric, metric
from sdd_eval.paper.claims import Claim
from sdd_eval.paper.evidence import Contrast, Kind
from sdd_eval.paper.verdicts import Judgement, Verdict, distance
from sdd_eval.records import encode
from sdd_eval.statistics.seeds import MIN_SEEDS, summarize_seeds

if TYPE_CHECKING:
    import pandas

#: Before the name of a baseline.
_AGAINST = "against "
#: How a page colours each verdict: in favour of the claim, against it, or neither.
KINDS: Mapping[Verdict, str] = {
    "shown": "good",
    "shown against the paper's baseline only": "none",
    "explained by lower confidence": "none",
    "contradicted": "bad",
    "not shown": "none",
    "not tested here": "none",
}


@dataclass(frozen=True)
class Measured:
    """A study's measurements for a claim, as text."""

    study: str
    setting: str
    metric: str
    values: str
    seeds: str
    difference: str
    interval: str
    detectable: str
    verdict: Verdict
    kind: str
    reason: str
    contrasts: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class ClaimRow:
    """A claim and its studies' measurements, as text; `verdict` is the decisive one."""

    claim: Claim
    printed: str
    verdict: Verdict
    kind: str
    measured: tuple[Measured, ...]
    command: str


def claim_rows(judged: Sequence[Judgement], decisive: Sequence[Judgement]) -> list[ClaimRow]:
    """Return a row per claim, with its deciding study first."""
    rows = []
    for one in decisive:
        of_claim = [each for each in judged if each.claim.id == one.claim.id and each.evidence]
        measured = tuple(map(_measured, sorted(of_claim, key=distance)))
        command = "" if measured else one.claim.command
        kind = KINDS[one.verdict]
        rows.append(
            ClaimRow(one.claim, printed_text(one.claim), one.verdict, kind, measured, command)
        )
    return rows


def printed_text(claim: Claim) -> str:
    """Return the paper's numbers of a claim, such as "74.8 → 77.0 %"; "—" without any.

    Numbers that contradict the claim are marked.
    """
    base, other = claim.paper_values
    if other is None:
        return MISSING
    entry = metric(other.metric)
    last = format_number(entry, other.value)
    text = last + _unit(entry)
    if base is not None:
        text = _between(entry, format_number(entry, base.value), last)
    opposite = claim.printed_difference * claim.sign < 0
    return f"{text} (the opposite)" if opposite else text


def reason(judgement: Judgement) -> str:
    """Return the reason for a verdict in words; empty if the numbers speak for themselves."""
    evidence = judgement.evidence
    if evidence is None:
        return f"run {judgement.claim.command}"
    parts = []
    if judgement.verdict == "not shown":
        parts.append(seeds_text(judgement))
    for what, names in failures(judgement).items():
        titles = []
        for name, title in titles_of(judgement, names).items():
            text = " and ".join(map(_difference_text, judgement.measured(name)))
            titles.append(f"{title} ({text})" if text else title)
        parts += [f"{what} {listed(titles)}"] if titles else []
    return "; ".join(parts)


def failures(judgement: Judgement) -> dict[str, list[str]]:
    """Return the names in which the difference is gone, those in which it is reversed, and others.

    The others were not checked. Of a claim that is not shown, only reversals are worth telling, and
    of one that is contradicted, the checks in which it holds.
    """
    if judgement.verdict == "not shown":
        return {"reversed": [*judgement.reversed]}
    if judgement.verdict == "contradicted":
        return {"holds": [*judgement.held]}
    gone = [name for name in judgement.gone if name not in judgement.reversed]
    return {
        "gone": gone,
        "reversed": [*judgement.reversed],
        "not checked:": [*judgement.missing],
    }


def titles_of(judgement: Judgement, names: Iterable[str]) -> dict[str, str]:
    """Return the titles of baselines and checks by name."""
    checks = judgement.claim.checks
    return {name: _title("check" if name in checks else "baseline", name) for name in names}


def _title(kind: Kind, name: str) -> str:
    return f"{_AGAINST}{name}" if kind == "baseline" else name


def listed(titles: Iterable[str]) -> str:
    """Return titles joined by commas; of several baselines in a row, the first has "against".

    >>> listed(["under PGD", "against label smoothing", "against R-Drop"])
    'under PGD, against label smoothing, R-Drop'
    """
    words: list[str] = []
    previous = ""
    for title in titles:
        both = title.startswith(_AGAINST) and previous.startswith(_AGAINST)
        words.append(title.removeprefix(_AGAINST) if both else title)
        previous = title
    return ", ".join(words)


def seeds_text(judgement: Judgement) -> str:
    """Return the seeds that would decide, after the p-value if the interval excludes 0."""
    assert judgement.evidence is not None
    seeds = judgement.evidence.main.seeds
    if seeds < MIN_SEEDS:
        return f"{seeds} of at least {MIN_SEEDS} seeds a side"
    printed = judgement.claim.printed_difference * judgement.claim.sign > 0
    what = "the printed" if printed else "the measured"
    needed = judgement.seeds_needed
    if needed is None:
        return f"no number of seeds detects {what} difference"
    unit = "repetitions" if judgement.evidence.scale == "timed now" else "seeds"
    many = f"these {unit}" if needed <= seeds else f"{needed:,} {unit} a side"
    change = judgement.difference
    unclear = change.low > 0 or change.high < 0
    adjusted = f"adjusted p = {format_p_value(change.adjusted)}; " if unclear else ""
    return f"{adjusted}{many} detect {what} difference with a power of 80 %"


def _measured(judgement: Judgement) -> Measured:
    evidence = judgement.evidence
    assert evidence is not None
    main, entry = evidence.main, metric(evidence.main.metric)
    change = judgement.difference
    return Measured(
        study=f"{evidence.scale}: {evidence.study}",
        setting=evidence.setting,
        metric=entry.title,
        values=_values_text(main),
        seeds=_seeds(main),
        difference=format_difference(entry, change.value),
        interval=format_interval(entry, change.low, change.high, sign=True),
        detectable=format_difference(entry, judgement.detectable, sign=False),
        verdict=judgement.verdict,
        kind=KINDS[judgement.verdict],
        reason=reason(judgement),
        contrasts=tuple(
            (_title(one.kind, one.name), f"{_values_text(one)}; {_difference_text(one)}")
            for one in evidence.contrasts[1:]
        ),
    )


def _seeds(contrast: Contrast) -> str:
    """Return the number of networks of each side, only once if they are equal.

    >>> from sdd_eval.paper.evidence import Side
    >>> one, two = Side("", ("a",), (1.0,)), Side("", ("b", "c"), (1.0, 2.0))
    >>> _seeds(Contrast("claim", "", "accuracy", one, two))
    '1 and 2'
    """
    first, second = len(contrast.base.values), len(contrast.other.values)
    return str(first) if first == second else f"{first} and {second}"


def _values_text(contrast: Contrast) -> str:
    entry = metric(contrast.metric)
    means = [
        format_mean(entry, summarize_seeds(one.values)) for one in (contrast.base, contrast.other)
    ]
    return _between(entry, *means)


def _difference_text(contrast: Contrast) -> str:
    """Return a contrast's difference with its interval."""
    entry, change = metric(contrast.metric), contrast.difference
    interval = format_interval(entry, change.low, change.high, sign=True)
    text = format_number(entry, change.value, sign=True)
    return text if interval == MISSING else f"{text}, {interval}"


def _between(entry: Metric, first: str, second: str) -> str:
    return f"{first} → {second}{_unit(entry)}"


def _unit(entry: Metric) -> str:
    return " %" if entry.percent else ""


def claims_frame(judged: Sequence[Judgement]) -> pandas.DataFrame:
    """Return a row per claim and study: plain numbers, rates as fractions."""
    import pandas

    rows = [_flat(record) for one in judged for record in [judgement_record(one)]]
    frame: pandas.DataFrame = pandas.DataFrame(rows)
    return frame


def _flat(record: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record without nested values, whose names are joined by ";"."""
    kept = {name: value for name, value in record.items() if name != "contrasts"}
    return {n: "; ".join(v) if isinstance(v, list) else v for n, v in kept.items()}


def judgement_record(judgement: Judgement) -> dict[str, Any]:
    """Return a judgement as plain values; None where a number is missing."""
    claim, evidence = judgement.claim, judgement.evidence
    base, other = claim.paper_values
    record: dict[str, Any] = {
        **{name: getattr(claim, name) for name in ("id", "section", "group", "variant")},
        **{name: getattr(claim, name) for name in ("sentence", "where")},
        "refuted_by": claim.refuted_by,
        "direction": claim.direction,
        "verdict": judgement.verdict,
        "printed_base": claim.threshold if base is None else base.value,
        "printed_other": None if other is None else other.value,
        "study": evidence.study if evidence else None,
        "scale": evidence.scale if evidence else None,
        "setting": evidence.setting if evidence else None,
        **_contrast_record(evidence.main if evidence else None),
        "p_adjusted": _number(judgement.difference.adjusted),
        "tests": judgement.difference.family or None,
        "detectable": _number(judgement.detectable),
        "seeds_needed": judgement.seeds_needed,
        "gone": list(judgement.gone),
        "reversed": list(judgement.reversed),
        "missing": list(judgement.missing),
        "reason": reason(judgement),
        "command": claim.command,
        "contrasts": [
            {"kind": one.kind, "name": one.name, **_contrast_record(one)}
            for one in (evidence.contrasts[1:] if evidence else ())
        ],
    }
    encoded: dict[str, Any] = encode(record)
    return encoded


def _contrast_record(contrast: Contrast | None) -> dict[str, Any]:
    """Return the measurements of both sides and their difference; None where missing."""
    if contrast is None:
        return dict.fromkeys(_CONTRAST)
    change = contrast.difference
    first, second = (summarize_seeds(one.values) for one in (contrast.base, contrast.other))
    numbers = (first.mean, first.std, first.n, second.mean, second.std, second.n)
    values = (*numbers, change.value, change.low, change.high, change.p)
    texts = (contrast.metric, contrast.base.label, contrast.other.label)
    return dict(zip(_CONTRAST, (*texts, *map(_number, values)), strict=True))


#: The fields of a contrast's record.
_CONTRAST = (
    *("metric", "base", "other", "base_mean", "base_std", "base_n"),
    *("other_mean", "other_std", "other_n", "difference", "low", "high", "p"),
)


def _number(value: float) -> float | None:
    return None if math.isnan(value) else value


#: A row per claim; the table may be longer than a page.
_LATEX_HEAD = r"""% Verdicts of `sdd-eval paper claims`. Needs booktabs and longtable.
\begin{longtable}{p{.32\linewidth}p{.12\linewidth}p{.21\linewidth}p{.2\linewidth}}
\toprule
Claim & Printed & Measured & Verdict \\
\midrule
\endhead
"""


def claims_latex(rows: Sequence[ClaimRow]) -> str:
    """Return the claims that were tested as a LaTeX table, section by section."""
    lines = []
    section = ""
    for row in (row for row in rows if row.measured):
        if row.claim.section != section:
            section = row.claim.section
            lines.append(rf"\multicolumn{{4}}{{l}}{{\emph{{{escaped(section)}}}}} \\")
        for index, one in enumerate(row.measured):
            first = [row.claim.sentence, row.printed] if index == 0 else ["", ""]
            scale = one.study.partition(":")[0]
            verdict = f"{one.verdict} ({one.reason})" if one.reason else one.verdict
            cells = [*first, f"{scale}: {one.difference} ({one.interval})", verdict]
            lines.append(" & ".join(map(escaped, cells)) + r" \\")
    return _LATEX_HEAD + "\n".join([*lines, r"\bottomrule", r"\end{longtable}", ""])
