"""What a study chooses, and whether the test images had a part in it."""

from __future__ import annotations

from sdd_eval.cli import exit_code

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


def test_with_held_out_images_the_choice_is_made_on_those(study_file, capsys):
    study_file(STUDY.format(epochs=2, validation=200))
    assert exit_code(["batch", "study.toml"]) == 0
    said = capsys.readouterr().out
    assert "best of 2 by accuracy on the validation images is lr 0.1 (" in said
    assert "no fair result" not in said


def test_without_them_it_is_called_a_choice_on_the_test_set(study_file, capsys):
    study_file(STUDY.format(epochs=1, validation=0))
    assert exit_code(["batch", "study.toml"]) == 0
    said = capsys.readouterr().out
    assert "best of 2 by accuracy on the test images is lr 0.1 (" in said
    assert said.count("no fair result") == 2


def test_a_study_that_varies_nothing_chooses_nothing(tiny, capsys):
    assert exit_code(["batch", "study.toml", "--limit", "20"]) == 0
    assert "best of" not in capsys.readouterr().out
