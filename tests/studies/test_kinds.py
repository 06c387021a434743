"""Which hyper-parameters a study tries, of which kinds of networks."""

from __future__ import annotations

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.records import encode
from sdd_eval.studies import builtin
from sdd_eval.studies.recipe_groups import varied
from sdd_eval.studies.schema import read_study

TWO_TABLES = """
[[train]]
sd_dropout = 0.1
[[train]]
sd_dropout = 1.0
[[evaluate]]
evaluator = "accuracy"
"""


def test_values_in_two_tables_are_as_much_a_choice_as_in_a_list(study_file, recipe):
    assert read_study(study_file(recipe + TWO_TABLES)).varied == ("sd_dropout",)


def test_each_kind_of_network_is_a_choice_of_its_own(study_file, recipe, capsys):
    study_file(f"""
name = "two"
{recipe}
[[train]]
method = ["ce", "ls"]
hidden_layers = 1
lr = [0.1, 0.0001]
[[train]]
[[evaluate]]
evaluator = "accuracy"
""")
    assert exit_code(["batch", "study.toml", "--limit", "20"]) == 0
    said = [line for line in capsys.readouterr().out.splitlines() if ": best of " in line]
    assert [line.split(":")[0] for line in said] == [
        f"{method} of small_cnn with 1 hidden layer on digits" for method in ("ce", "ls")
    ]
    assert all("best of 2 by accuracy on the test images is lr 0.1 (" in line for line in said)


@pytest.mark.parametrize("name", builtin.shipped_names())
def test_of_the_paper_s_studies_those_choose_that_try_values(name):
    tried = {
        "paper/miniature": ("direction", "weight_decay"),
        "paper/table-9": ("direction",),
        "paper/table-12": ("position",),
        "paper/table-14": ("sd_dropout", "drop_rate"),
    }
    study = read_study(builtin.study_file(name))
    assert study.varied == tried.get(name, ())
    assert study.varied_of_detectors == (("epochs",) if name == "paper/table-4" else ())
    assert study.varied == varied(encode(each.recipe) for each in study.trainings)
