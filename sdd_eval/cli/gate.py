"""The gate of `compare` and `batch`: conditions as flags, and their results in several formats."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree

from sdd_eval import comparison, studies
from sdd_eval.cli.terminal import table
from sdd_eval.store import write_bytes

#: Exit code by decision.
EXIT_CODES = {"pass": 0, "fail": 1, "undecided": 3}
_ANNOTATIONS = {"pass": "notice", "fail": "error", "undecided": "warning"}


@dataclass(frozen=True)
class GateFlags:
    """Conditions under which compared networks fail."""

    fail_if: tuple[str, ...] = ()
    """Conditions, one per flag: EVALUATOR.METRIC, then <, <=, > or >=, then a number or base ± a
    number, e.g. "calibration.ece > base + 0.01". Each is decided by its 95 % interval. The exit
    code is 1 if one holds, 3 if one is undecided. Default without checkpoints: those of the study
    file."""
    undecided: Literal["pass", "fail"] | None = None
    """Treat undecided conditions as passed or failed; default: exit code 3."""
    json: bool = False
    """Print only the results of the conditions, as JSON."""
    junit: Path | None = None
    """Write the results to a file in JUnit XML format."""
    format: Literal["text", "github"] = "text"
    """github: also print an annotation for each condition, as GitHub Actions workflow commands."""


def judged(
    study: Path, pairs: Sequence[comparison.PairComparison], gates: Sequence[studies.Gate]
) -> list[comparison.GateResult]:
    """Decide each condition for the second side of each pair."""
    results = []
    for pair in pairs:
        runs = [comparison.load_runs(study, name) for name in pair.others]
        results += [
            comparison.judge(
                comparison.parse_condition(text), pair, runs, gate.undecided or "undecided"
            )
            for gate in gates
            for text in gate.fail_if
        ]
    return results


def exit_code(results: Sequence[comparison.GateResult]) -> int:
    """Return the exit code; a failed condition takes precedence over an undecided one."""
    outcomes = {result.outcome for result in results}
    return next((EXIT_CODES[name] for name in ("fail", "undecided") if name in outcomes), 0)


def write(results: Sequence[comparison.GateResult], flags: GateFlags) -> str:
    """Write the JUnit file if requested, and return the text to print."""
    if flags.junit is not None:
        write_bytes(flags.junit, junit(results))
    if flags.json:
        return json.dumps([asdict(result) for result in results], indent=1, ensure_ascii=False)
    lines = list(github_commands(results)) if flags.format == "github" else []
    return "\n".join([gate_table(results), *lines])


def gate_table(results: Sequence[comparison.GateResult]) -> str:
    """Return the results as a table."""
    rows = [(r.decision, " ".join(r.side), r.condition, explanation(r)) for r in results]
    return table(rows, ("gate", "network", "fails if", ""))


def explanation(result: comparison.GateResult) -> str:
    """Return the number, its interval, and what would decide the condition."""
    what = "difference " if result.relative else ""
    sign = "+" if result.relative else ""
    if result.low is None or result.high is None:
        return f"{what}{result.value:{sign}.4g}, without an interval: {result.reason}"
    text = f"{what}{result.value:{sign}.4g} [{result.low:{sign}.4g}, {result.high:{sign}.4g}]"
    if result.decision != "undecided":
        return f"{text}, {result.n:,} {result.unit}"
    if result.needed is None:
        return f"{text}; it equals the threshold, so no number of {result.unit} would decide it"
    return f"{text}; about {result.needed:,} {result.unit} would decide it, there are {result.n:,}"


def github_commands(results: Sequence[comparison.GateResult]) -> Iterator[str]:
    """Yield a GitHub Actions workflow command for each result."""
    for result in results:
        title = f"{result.decision}: {result.condition}"
        message = f"{' '.join(result.side)}: {explanation(result)}"
        command = _ANNOTATIONS[result.decision]
        yield f"::{command} title={_escaped(title, property_=True)}::{_escaped(message)}"


def _escaped(text: str, *, property_: bool = False) -> str:
    """Escape text for a workflow command."""
    pairs = [("%", "%25"), ("\r", "%0D"), ("\n", "%0A")]
    pairs += [(":", "%3A"), (",", "%2C")] if property_ else []
    for character, code in pairs:
        text = text.replace(character, code)
    return text


def junit(results: Sequence[comparison.GateResult]) -> bytes:
    """Return the results as a JUnit test suite; an undecided condition is an error."""
    count = {decision: sum(r.decision == decision for r in results) for decision in EXIT_CODES}
    numbers = {"tests": len(results), "failures": count["fail"], "errors": count["undecided"]}
    attributes = {name: str(number) for name, number in numbers.items()}
    suite = ElementTree.Element("testsuite", {"name": "sdd-eval gate", **attributes})
    for result in results:
        names = {"classname": " ".join(result.side), "name": result.condition}
        case = ElementTree.SubElement(suite, "testcase", names)
        if result.decision != "pass":
            kind = "failure" if result.decision == "fail" else "error"
            ElementTree.SubElement(case, kind, {"message": explanation(result)})
    ElementTree.indent(suite)
    document: bytes = ElementTree.tostring(suite, encoding="utf-8", xml_declaration=True)
    return document
