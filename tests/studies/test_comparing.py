"""The table [[compare]] of a study file: its pairs of checkpoints, and their comparison."""

from __future__ import annotations

import json

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.comparison.store import load_comparisons
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe, encode
from sdd_eval.studies.builtin import builtin_names, study_file
from sdd_eval.studies.comparisons import pairings_of
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.study import Comparison, Training

COMPARED = """
[[compare]]
base = { sd_dropout = 0.0 }
others = [{ sd_dropout = 0.1 }]
"""


def training(name: str, **fields) -> Training:
    recipe = Recipe(**fields)
    return Training(name, recipe, encode(recipe), (encode(recipe),))


def named(trainings, base, *others):
    result = pairings_of([Comparison(base, others)], trainings)
    return [("".join(pair.base), "".join(pair.other)) for pair in result]


def test_a_pair_differs_only_in_the_named_fields_and_has_all_seeds():
    trainings = [
        training(f"{method[0]}{weight:g}{seed}", method=method, sd_dropout=weight, seed=seed)
        for method in ("ce", "ls")
        for weight in (0.0, 1.0)
        for seed in (1, 0)
    ]
    assert named(trainings, {"sd_dropout": 0.0}, {"sd_dropout": 1.0}) == [
        ("c00c01", "c10c11"),
        ("l00l01", "l10l11"),
    ]
    assert named(trainings, {"sd_dropout": 0.0, "seed": 1}, {"sd_dropout": 1.0, "seed": 0}) == [
        ("c01", "c10"),
        ("l01", "l10"),
    ]


def test_fields_named_only_by_the_base_are_matched_if_possible():
    plain = training("a", drop_rate=0.5, sd_dropout=1.0)
    trainings = [
        plain,
        training("b", drop_rate=0.5, sd_dropout=2.0),
        training("c", drop_rate=0.3, sd_dropout=2.0),
        training("d", drop_rate=0.3, sd_dropout=5.0),
    ]
    base = {"sd_dropout": 1.0, "drop_rate": 0.5}
    assert named(trainings, base, {"sd_dropout": 2.0}) == [("a", "b")]
    assert named(trainings, base, {"sd_dropout": 5.0}) == [("a", "d")]


def test_a_method_has_its_own_settings():
    trainings = [
        training("a"),
        training("b", method="ls", method_options={"smoothing": 0.1}),
        training("c", method="cs_kd", lr=0.2),
    ]
    assert named(trainings, {"method": "ce"}, {"method": "ls"}) == [("a", "b")]
    assert named(trainings, {"method": "ce"}, {"method": "cs-kd"}) == []


@pytest.mark.parametrize("small", [False, True])
def test_every_comparison_of_a_built_in_study_has_pairs(small):
    for name in builtin_names():
        study = read_study(study_file(name), small=small)
        assert bool(pairings_of(study.compare, study.trainings)) == bool(study.compare), name


def test_comparisons_without_a_matching_training_are_reported_with_their_line(tiny):
    tiny.write_text(tiny.read_text() + COMPARED.replace("0.1", "7.0"))
    with pytest.raises(InputError, match=r"line \d+: no training with sd_dropout = 7.0 equals"):
        read_study(tiny)


def test_a_study_ends_with_its_planned_comparisons(tiny, here, capsys):
    tiny.write_text(tiny.read_text() + COMPARED)
    assert exit_code(["batch", "study.toml"]) == 0
    assert "reports/tiny/comparisons/planned.csv" in capsys.readouterr().out
    study = here / "reports/tiny"
    ((stored,), broken) = load_comparisons(study)
    assert (stored.planned, stored.outdated, broken) == (True, "", [])
    (pair,) = stored.pairs
    assert (len(pair.base), len(pair.others)) == (1, 1)
    assert "sdd0.1" in pair.others[0]
    page = (study / "index.html").read_text()
    assert "Comparison planned in the study&#39;s file" in page
    assert f"{pair.others[0]} compared with {pair.base[0]}." in page
    files = [study / "comparisons/planned.json", study / "index.html"]
    before = [path.stat().st_mtime_ns for path in files]
    assert exit_code(["batch", "study.toml"]) == 0
    assert [path.stat().st_mtime_ns for path in files] == before
    capsys.readouterr()
    assert exit_code(["compare", "--study", "tiny", "--no-figures"]) == 0
    assert "family headline: 1 tests" in capsys.readouterr().out
    (run,) = study.glob(f"runs/{pair.base[0]}/accuracy-*.json")
    run.unlink()
    ((stored,), _) = load_comparisons(study)
    assert f"{pair.base[0]}/{run.name} was added, removed or changed" in stored.outdated


@pytest.mark.usefixtures("only_svg")
def test_a_family_without_compared_numbers_is_reported(tiny, capsys):
    families = '[families]\nheadline = ["accuracy.accuracy", "corruption.mca"]\n'
    tiny.write_text(tiny.read_text() + COMPARED + families)
    output = "note: family headline: no compared number matches corruption.mca"
    for command in (["batch", "study.toml"], ["compare", "--study", "tiny", "--no-figures"]):
        assert exit_code(command) == 0
        assert [
            line for line in capsys.readouterr().out.splitlines() if "note: family" in line
        ] == [output]


@pytest.mark.usefixtures("one_figure")
def test_a_comparison_that_cannot_be_written_does_not_lose_the_report(tiny, here, capsys):
    tiny.write_text(tiny.read_text() + COMPARED)
    (here / "reports/tiny/comparisons/planned.json").mkdir(parents=True)
    assert exit_code(["batch", "study.toml"]) == 1
    output = capsys.readouterr().out
    assert "1 of 5 jobs failed or were not run:\n  compare: cannot write" in output
    assert (here / "reports/tiny/index.html").is_file()


@pytest.mark.usefixtures("one_figure")
def test_the_gate_of_a_study_decides_the_exit_code_of_batch_and_compare(tiny, capsys):
    text, compare = tiny.read_text(), ["compare", "--study", "tiny", "--no-figures"]
    for condition, undecided, code in (
        ("accuracy.accuracy < base - 0.9", "", 0),
        ("accuracy.accuracy < base + 0.9", "", 1),
        ("accuracy.accuracy > base", "", 3),
        ("accuracy.accuracy > base", "undecided = 'pass'", 0),
    ):
        tiny.write_text(f"{text}{COMPARED}[[gate]]\nfail_if = '{condition}'\n{undecided}\n")
        assert exit_code(["batch", "study.toml"]) == code
        assert condition in capsys.readouterr().out
        assert exit_code(compare) == code
    assert exit_code([*compare, "--fail-if", "accuracy.accuracy < 0"]) == 0


def test_the_error_about_a_study_without_pairs_names_the_remedy(tiny, here, capsys):
    folder = here / "reports/tiny"
    folder.mkdir(parents=True)
    (folder / "study.json").write_text(json.dumps({"pairs": []}))
    assert exit_code(["compare", "--study", "tiny"]) == 2
    assert "put [[compare]] into its file" in capsys.readouterr().err
