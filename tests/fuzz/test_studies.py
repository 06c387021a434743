"""Study files with generated mistakes are refused before anything is trained."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

STUDY = Path(__file__).with_name("small.toml").read_text()

#: Values that a key may wrongly have.
BAD = (
    *(-1, 0, -0.5, 1e300, 10**20, True, "", "x", "a/b", "unifrom", "PGDD", "../up", "cifar100"),
    *([], [[]], ["x"], [1, "x"], {}, {"x": 1}, [{"x": 1}], "nan", "x" * 300, "\t", "ä"),
)
#: Names that a key may wrongly have.
KEYS = ("x", "", "seed", "lr", "epochs", "epsilon", "bins", "outliers", "detectors", "limit", "Δ")
EVALUATORS = ("accuracy", "calibration", "fgsm", "attack", "corruption", "ood", "selective", "odin")


def places(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path of every value in nested tables and lists."""
    items = content.items() if isinstance(content, dict) else enumerate(content)
    result = []
    for key, value in items:
        result.append((*path, key))
        if isinstance(value, dict | list):
            result += places(value, (*path, key))
    return result


def toml(value: Any) -> str:
    """Return a value in TOML; tables are inline."""
    if isinstance(value, dict):
        pairs = (f"{json.dumps(key)} = {toml(item)}" for key, item in value.items())
        return "{ " + ", ".join(pairs) + " }"
    if isinstance(value, list):
        return "[" + ", ".join(map(toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)


def written(study: dict[str, Any]) -> str:
    """Return a study file with one line a key."""
    return "".join(f"{json.dumps(key)} = {toml(value)}\n" for key, value in study.items())


@st.composite
def studies(draw: st.DrawFn) -> str:
    """Draw a study with one or two mistakes, or text that is no study."""
    if draw(st.integers(0, 9)) == 0:
        text = draw(st.sampled_from((STUDY, "", "\ufeff" + STUDY, "[", "name = ", "\0", "x" * 99)))
        position = draw(st.integers(0, len(text)))
        return text[:position] + draw(st.text(max_size=3)) + text[position:]
    study = copy.deepcopy(tomllib.loads(STUDY))
    for _ in range(draw(st.integers(1, 2))):
        *parents, key = draw(st.sampled_from(places(study)))
        table: Any = study
        for parent in parents:
            table = table[parent]
        kind = draw(st.integers(0, 4))
        if kind == 0:
            table.pop(key)
        elif kind == 1 and isinstance(table, dict):
            table[draw(st.sampled_from(KEYS))] = draw(st.sampled_from(BAD))
        elif kind == 2:
            name = draw(st.sampled_from(EVALUATORS))
            setting = {draw(st.sampled_from(KEYS)): draw(st.sampled_from(BAD))}
            study["evaluate"] = [{"evaluator": name, "settings": setting}]
            break
        else:
            table[key] = draw(st.sampled_from(BAD))
    return written(study)


def check(project: Any, text: str) -> None:
    """List the jobs of a study, and run it if it is refused: both must say the same."""
    file = project.folder / "drawn.toml"
    try:
        file.write_text(text, encoding="utf-8", errors="surrogatepass")
        listed = project.check(["batch", "drawn.toml", "--dry-run", "--threads", "1"])
        if listed.code == 2:
            started = project.check(["batch", "drawn.toml", "--threads", "1"])
            assert (started.code, started.err) == (listed.code, listed.err)
    finally:
        file.unlink()
        project.restore()


def cases(project: Any, examples: int) -> None:
    """Check generated studies."""

    @settings(
        max_examples=examples,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )
    @given(studies())
    def run(text: str) -> None:
        check(project, text)

    run()


def test_mistakes_in_a_study_are_refused_in_one_line(project):
    cases(project, 50)


@pytest.mark.slow
def test_many_mistakes_in_a_study_are_refused_in_one_line(project):
    cases(project, 300)
