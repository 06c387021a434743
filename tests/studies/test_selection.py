"""Model selection: the best of several values, on validation or test images."""

from __future__ import annotations

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.study import warnings

STUDY = """
name = "grid"
[recipe]
dataset = "digits"
arch = "small_cnn"
standardisation = "digits"
augmentation = "none"
epochs = {epochs}
validation = {validation}
[[train]]
lr = [0.1, 0.000001]
[[evaluate]]
evaluator = "accuracy"
"""


def test_with_validation_images_the_selection_is_made_on_those(study_file, capsys):
    study_file(STUDY.format(epochs=2, validation=200))
    assert exit_code(["batch", "study.toml"]) == 0
    output = capsys.readouterr().out
    assert "best of 2 by accuracy on the validation images is lr 0.1 (" in output
    assert "biased" not in output


def test_without_validation_images_it_is_called_a_selection_on_the_test_set(study_file, capsys):
    study_file(STUDY.format(epochs=1, validation=0))
    assert exit_code(["batch", "study.toml"]) == 0
    output = capsys.readouterr().out
    assert "best of 2 by accuracy on the test images is lr 0.1 (" in output
    assert output.count("biased") == 2


def test_a_study_without_varied_settings_has_no_selection(tiny, capsys):
    assert exit_code(["batch", "study.toml", "--limit", "20"]) == 0
    assert "best of" not in capsys.readouterr().out


BEFORE = """
[chosen]
lr = "the first by convention, the second for this test"
"""


def test_values_chosen_before_the_study_are_not_selected_in_it(study_file, capsys):
    path = study_file(STUDY.format(epochs=1, validation=0) + BEFORE)
    (line,) = warnings(read_study(path))
    assert line.startswith("lr was chosen before this study: the first by convention")
    assert exit_code(["batch", "study.toml"]) == 0
    output = capsys.readouterr().out
    assert "lr was chosen before this study" in output
    assert "best of" not in output
    assert "biased" not in output


def test_others_are_selected_for_each_chosen_value(study_file, capsys):
    grid = STUDY.replace("[[train]]", "[[train]]\nepochs = [1, 2]")
    path = study_file(grid.format(epochs=1, validation=0) + BEFORE)
    assert read_study(path).varied == ("epochs",)
    assert exit_code(["batch", "study.toml"]) == 0
    lines = [line for line in capsys.readouterr().out.splitlines() if "best of 2" in line]
    titles = [f"ce of small_cnn on digits, lr {lr}" for lr in ("0.1", "1e-06")]
    assert [line.split(": ")[0] for line in lines] == titles
    assert all("1 seed" in line for line in lines)


def test_an_unknown_chosen_hyper_parameter_is_refused(study_file):
    path = study_file(STUDY.format(epochs=1, validation=0) + '[chosen]\nwheight_decay = "x"\n')
    with pytest.raises(InputError, match=r"line \d+.*weight_decay"):
        read_study(path)


TWO_TABLES = """
[[train]]
sd_dropout = 0.1
[[train]]
sd_dropout = 1.0
[[evaluate]]
evaluator = "accuracy"
"""


def test_values_in_two_tables_are_a_selection_as_in_a_list(study_file, recipe):
    assert read_study(study_file(recipe + TWO_TABLES)).varied == ("sd_dropout",)


def test_each_kind_of_network_has_a_separate_selection(study_file, recipe, capsys):
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
    output = [line for line in capsys.readouterr().out.splitlines() if ": best of " in line]
    assert [line.split(":")[0] for line in output] == [
        f"{method} of small_cnn with 1 hidden layer on digits" for method in ("ce", "ls")
    ]
    assert all("best of 2 by accuracy on the test images is lr 0.1 (" in line for line in output)
