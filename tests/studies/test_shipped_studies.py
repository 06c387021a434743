"""The studies that come with the package: the paper's own protocol, and the same in small."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import sdd_eval
from sdd_eval.paper import paper_numbers
from sdd_eval.paper.cell_query import matches_recipe, query_for
from sdd_eval.paper.comparison import deviations
from sdd_eval.records import encode
from sdd_eval.studies.builtin import shipped_names, study_file
from sdd_eval.studies.schema import read_study

TABLES = [name for name in shipped_names() if "table-" in name]
README = Path(sdd_eval.__file__).parent.parent / "README.md"


@pytest.mark.parametrize("name", TABLES)
def test_a_table_s_study_trains_every_cell_by_the_paper_s_protocol(name):
    study = read_study(study_file(name))
    recipes = {t.name: encode(t.recipe) for t in study.trainings}
    recipes |= {d.name: encode(d.meant[0]) for d in study.detectors}
    measured = {(e.checkpoint, e.evaluator) for e in study.evaluations}
    for number in paper_numbers():
        if number.table not in study.tables:
            continue
        asked = query_for(number)
        own = {
            n: r
            for n, r in recipes.items()
            if matches_recipe(asked, r) and not deviations(asked, r, ())
        }
        assert {r["seed"] for r in own.values()} == {0, 1, 2}, number
        if asked.evaluator == "history":  # seen in training, at epochs that were asked for
            assert all(number.at["epoch"] in r["probe_epochs"] for r in own.values()), number
        else:
            assert {(n, asked.evaluator) for n in own} <= measured, number


@pytest.mark.parametrize("name", shipped_names())
def test_every_study_has_a_small_size_on_what_ships_with_the_package(name):
    study = read_study(study_file(name), small=True)
    assert {t.recipe.dataset for t in study.trainings} == {"digits"}
    assert max(t.recipe.epochs for t in study.trainings) <= (200 if study.tables == (8,) else 5)
    assert {t.recipe.seed for t in study.trainings} == {0}
    full = read_study(study_file(name))
    meant = {encode_once(r) for t in study.trainings for r in t.meant}
    assert meant == {encode_once(t.recipe) for t in full.trainings if t.recipe.seed == 0}
    assert {d.recipe.dataset for d in study.detectors} <= {"digit_scenes"}
    meant = {encode_once(r) for d in study.detectors for r in d.meant}
    assert meant == {encode_once(r) for d in full.detectors for r in d.meant if r["seed"] == 0}


def encode_once(recipe):
    return repr(sorted(encode(recipe).items()))


def test_table_14_is_said_to_choose_on_the_test_set():
    from sdd_eval.studies.study import warnings

    assert "chosen on the test set" in warnings(read_study(study_file("paper/table-14")))[0]
    assert warnings(read_study(study_file("paper/table-1"))) == ()


@pytest.mark.skipif(not README.exists(), reason="the README is not installed")
def test_the_readmes_study_is_a_study(tmp_path):
    (text,) = re.findall(r"```toml\n(name = .*?)```", README.read_text(), flags=re.DOTALL)
    (tmp_path / "weights.toml").write_text(text)
    study = read_study(tmp_path / "weights.toml")
    assert (len(study.trainings), len(study.evaluations)) == (15, 45)
