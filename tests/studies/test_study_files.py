"""Study files: the trainings and evaluations that they are resolved to, and their labels."""

from __future__ import annotations

import pytest
from PIL import Image

from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.studies.grid import checkpoint_name
from sdd_eval.studies.jobs import jobs_of
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import record_of
from sdd_eval.studies.study import warnings


def test_lists_form_a_grid_and_seeds_are_run_in_turn(study_file, recipe):
    path = study_file(
        f"""
seeds = [0, 1]
{recipe}
[[train]]
sd_dropout = [0.5, 2.0]
drop_rate = [0.1, 0.3, 0.7]
"""
        + '[[evaluate]]\nevaluator = "accuracy"\n'
    )
    study = read_study(path)
    combined = [(t.recipe.seed, t.recipe.sd_dropout, t.recipe.drop_rate) for t in study.trainings]
    assert combined == [(s, w, d) for s in (0, 1) for w in (0.5, 2.0) for d in (0.1, 0.3, 0.7)]
    assert len({t.name for t in study.trainings}) == 12
    assert [e.checkpoint for e in study.evaluations] == [t.name for t in study.trainings]
    assert study.varied == ("sd_dropout", "drop_rate")


@pytest.mark.parametrize("table", ["[[train]]", "[small.recipe]", "[[compare]]\n[compare.base]"])
def test_a_renamed_field_is_read_under_its_former_name_with_a_warning(study_file, recipe, table):
    text = (
        f"{recipe}\n[[train]]\nsd_dropout = [0.0, 1.0]\n"
        + {
            "[[train]]": "drop = 0.3",
            "[small.recipe]": "[small]\nrecipe = { drop = 0.3 }",
            "[[compare]]\n[compare.base]": "drop_rate = 0.3\n[[compare]]\n"
            "base = { drop = 0.3, sd_dropout = 0.0 }\nothers = [{ sd_dropout = 1.0 }]",
        }[table]
    )
    path = study_file(text + '\n[[evaluate]]\nevaluator = "accuracy"\n')
    with pytest.warns(DeprecationWarning, match=r"line \d+: drop is now called drop_rate"):
        study = read_study(path, small=table.startswith("[small"))
    assert {training.recipe.drop_rate for training in study.trainings} == {0.3}


def test_milestones_are_one_value_and_a_list_of_them_a_grid(study_file, recipe):
    text = recipe + '[[train]]\nepochs = 6\nmilestones = {}\n[[evaluate]]\nevaluator = "accuracy"\n'
    (one,) = read_study(study_file(text.format("[3, 5]"))).trainings
    assert one.recipe.milestones == (3, 5)
    two = read_study(study_file(text.format("[[3, 5], [4]]"))).trainings
    assert [t.recipe.milestones for t in two] == [(3, 5), (4,)]


def test_a_checkpoint_listed_twice_is_trained_once(study_file, recipe):
    text = recipe + "[[train]]\n[[train]]\nsd_dropout = [0, 1.0]\n"
    study = read_study(study_file(text + '[[evaluate]]\nevaluator = "accuracy"\n'))
    assert len(study.trainings) == 2
    assert len(study.evaluations) == 2


def test_evaluations_may_be_limited_to_some_trainings(study_file, recipe):
    path = study_file(
        recipe
        + """
[[train]]
id = "plain"
[[train]]
sd_dropout = 1.0
[[evaluate]]
evaluator = ["accuracy", "calibration"]
[[evaluate]]
evaluator = "fgsm"
of = "plain"
settings = { epsilon = 0.1, variants = ["pixel"] }
"""
    )
    study = read_study(path)
    plain, other = (t.name for t in study.trainings)
    requested = [(e.checkpoint, e.evaluator) for e in study.evaluations]
    assert requested == [
        *((plain, "accuracy"), (plain, "calibration"), (plain, "fgsm")),
        *((other, "accuracy"), (other, "calibration")),
    ]
    assert study.evaluations[2].settings == {"epsilon": 0.1, "variants": ["pixel"]}


def test_an_optional_evaluation_is_left_out_with_a_note_where_a_data_set_is_absent(
    study_file, recipe, lookup
):
    table = """
[[train]]
[[evaluate]]
evaluator = ["odin", "mask_variance"]
optional = OPTIONAL
settings = { outliers = ["uniform", "my_scenes"] }
[[evaluate]]
evaluator = "accuracy"
"""
    path = study_file(recipe + table.replace("OPTIONAL", "true"))
    study = read_study(path, lookup=lookup)
    assert [one.evaluator for one in study.evaluations] == ["accuracy"]
    assert study.notes == (
        "odin is left out: without my_scenes",
        "mask_variance is left out: without my_scenes",
    )
    images = lookup.data_root / "my_scenes"
    images.mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(images / "one.png")
    present = read_study(path, lookup=lookup)
    assert [one.evaluator for one in present.evaluations] == ["odin", "mask_variance", "accuracy"]
    assert present.notes == ()
    (images / "one.png").unlink()
    images.rmdir()
    with pytest.raises(InputError, match="my_scenes"):
        read_study(study_file(recipe + table.replace("OPTIONAL", "false")), lookup=lookup)


def test_a_setting_that_names_a_checkpoint_may_name_the_id_of_trainings(study_file, recipe, lookup):
    path = study_file(
        "seeds = [0, 1]\nshort_names = true\n"
        + recipe
        + """
[[train]]
id = "plain"
[[train]]
sd_dropout = 1.0
id = "sdd"
[[train]]
sd_dropout = 1.0
method = "ls"
seeds = [5]
id = "other"
[[evaluate]]
evaluator = "attack"
of = ["sdd", "other"]
settings = { audit = true, transfer_from = "plain" }
"""
    )
    study = read_study(path, lookup=lookup)
    sources = {one.checkpoint: one.settings["transfer_from"] for one in study.evaluations}
    assert sources == {
        "digits-small_cnn-ce-sdd1-seed0": "digits-small_cnn-ce-seed0",
        "digits-small_cnn-ce-sdd1-seed1": "digits-small_cnn-ce-seed1",
        "digits-small_cnn-ls-sdd1-seed5": "digits-small_cnn-ce-seed0",
    }
    evaluations = [job for job in jobs_of(study) if job.label.startswith("attack")]
    assert all(f"train {sources[job.checkpoint]}" in job.needs for job in evaluations)


def test_the_small_study_replaces_names_and_epochs_and_records_the_originals(study_file):
    path = study_file("""
name = "t"
seeds = [0, 1, 2]
[[train]]
dataset = ["cifar100", "cifar10"]
sd_dropout = 1.0
[[evaluate]]
evaluator = "odin"
settings = { outliers = ["lsun_resize", "isun", "svhn"] }
[small]
seeds = [0]
recipe = { epochs = 1, standardisation = "digits" }
settings = { odin = { epsilon = 0.0 } }
[small.names]
cifar100 = "digits"
cifar10 = "digits"
resnet18 = "small_cnn"
lsun_resize = "uniform"
isun = "uniform"
svhn = "gaussian"
""")
    assert len(read_study(path).trainings) == 6
    study = read_study(path, small=True)
    (training,) = study.trainings
    assert study.name == "t-small"
    assert (training.recipe.dataset, training.recipe.arch, training.recipe.epochs) == (
        *("digits", "small_cnn", 1),
    )
    assert [(m["dataset"], m["arch"], m["epochs"]) for m in training.stands_for] == [
        *(("cifar100", "resnet18", 200), ("cifar10", "resnet18", 200)),
    ]
    assert study.evaluations[0].settings == {"outliers": ["uniform", "gaussian"], "epsilon": 0.0}
    assert "digits stands for cifar100" in warnings(study)[0]
    assert record_of(study).stands_for[training.name] == training.stands_for


def test_names_state_changed_settings_and_are_unique_to_a_recipe():
    assert checkpoint_name(Recipe()) == "cifar100-resnet18-ce-seed0"
    special = Recipe(sd_dropout=1.0, direction="forward", hidden_layers=1, seed=3)
    name = checkpoint_name(special)
    assert name == "cifar100-resnet18-ce-sdd1-directionforward-hiddenlayers1-seed3"
    assert checkpoint_name(Recipe(augmentation="none")) != checkpoint_name(Recipe())
    short, long = checkpoint_name(Recipe(epochs=15)), checkpoint_name(Recipe(epochs=16))
    assert len({short, long, checkpoint_name(Recipe())}) == 3


def test_a_selection_on_the_test_set_is_reported_as_such(study_file, recipe):
    end = '[[evaluate]]\nevaluator = "accuracy"\n'
    grid = study_file(recipe + "[[train]]\nsd_dropout = [0.1, 1.0]\n" + end)
    (message,) = warnings(read_study(grid))
    assert "selected on the test set" in message
    pair = study_file(recipe + "[[train]]\nsd_dropout = [0, 1.0]\n" + end)
    assert warnings(read_study(pair)) == ()


def test_a_setting_may_have_the_name_of_its_flag(study_file, recipe):
    text = recipe + "[[train]]\nsd-dropout = 1.0\nmethod = 'ls'\nsmoothing = [0.1, 0.2]\n"
    text += "[[evaluate]]\nevaluator = 'attack'\n[evaluate.settings]\nname = 'FGSM'\n"
    study = read_study(study_file(text + "validation-set = 'none'\nlevel = 0.9\n"))
    recipes = [training.recipe for training in study.trainings]
    assert [r.method_options["smoothing"] for r in recipes] == [0.1, 0.2]
    assert {r.sd_dropout for r in recipes} == {1.0}
    assert study.evaluations[0].settings == {
        "algorithm": "FGSM",
        "validation_set": "none",
        "intervals": {"level": 0.9},
    }


def test_a_study_file_may_begin_with_a_byte_order_mark(tiny):
    plain = read_study(tiny)
    tiny.write_bytes(b"\xef\xbb\xbf" + tiny.read_bytes())
    assert read_study(tiny) == plain


def test_labels_name_trainings_and_checkpoints_in_reports(study_file, recipe):
    text = f"""
checkpoints = ["imported"]
{recipe}
[[train]]
label = "Ours"
[[evaluate]]
evaluator = "accuracy"
[labels]
imported = "Theirs"
"""
    study = read_study(study_file(text))
    assert record_of(study).labels == {study.trainings[0].name: "Ours", "imported": "Theirs"}
    with pytest.raises(InputError, match=r"unknown checkpoint of the study 'imported2'"):
        read_study(study_file(text.replace("imported =", "imported2 =")))


def test_columns_of_latex_tables_are_metrics_and_labels(study_file, recipe):
    text = f"""
columns = ["accuracy", "Ours"]
{recipe}
[[train]]
label = "Ours"
[[evaluate]]
evaluator = "accuracy"
"""
    assert record_of(read_study(study_file(text))).columns == ("accuracy", "Ours")
    with pytest.raises(InputError, match=r"line 2: unknown metric, label or checkpoint 'acuracy'"):
        read_study(study_file(text.replace("accuracy", "acuracy", 1)))
