"""Study files: how they are resolved, and the errors about invalid ones."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from PIL import Image

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.records import Recipe
from sdd_eval.studies.grid import checkpoint_name
from sdd_eval.studies.jobs import jobs_of
from sdd_eval.studies.ray_engine import _device
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.run import record_of
from sdd_eval.studies.study import warnings
from sdd_eval.studies.toml import line_of


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
    text = recipe + '[[train]]\nmilestones = {}\n[[evaluate]]\nevaluator = "accuracy"\n'
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


PAIR = "[[compare]]\nothers = [{ sd_dropout = 1.0 }]\n"
TYPOS = [
    ("seedz = [0]", "line 1: unknown key of a study 'seedz'; did you mean 'seeds'?"),
    ("[recipe]\nepoch = 3", "line 2: unknown field of a recipe 'epoch'; did you mean 'epochs'?"),
    ("[[train]]\n\nsd_droput = 1", "line 3: unknown field of a training 'sd_droput'; did you mean"),
    ("[[train]]\nmethod = 'cs'", "line 2: unknown method 'cs'"),
    ("[[train]]\nsmoothin = 0.1", "field of a training 'smoothin'; did you mean 'smoothing'?"),
    ("[[train]]\nmethod = 'ls'\nsmoothing = 2", "line 3: method ls: smoothing is 2.0; it must"),
    ("[[train]]\nseed = 1", "line 2: unknown field of a training 'seed'; did you mean 'seeds'?"),
    ("[[train]]\ndrop_rate = [0.1, '0.2']", "line 2: drop_rate is '0.2', not float"),
    ("[[train]]\ndrop_rate = 1.5", "line 2: drop_rate is 1.5; it must be 0 or more and below 1"),
    ("[[train]]\ndirection = 'bth'", "line 2: direction is 'bth', not one of both, forward"),
    (
        "[[train]]\nmethod_options = { smoothin = 1 }",
        "line 2: unknown option of method 'ce' 'smoothin'",
    ),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'acuracy'",
        "line 3: unknown evaluator 'acuracy'; did you mean 'accuracy'?",
    ),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'fgsm'\nsettings = { epsilonn = 1 }",
        "line 4: unknown setting of fgsm 'epsilonn'; did you mean 'epsilon'?",
    ),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'fgsm'\n[evaluate.settings]\nepsilon = 'big'",
        "line 5: settings of fgsm: epsilon is 'big', not float",
    ),
    ("[[train]]\nid = 'a'\n[[evaluate]]\nevaluator='odin'\nof = 'b'", "line 5: unknown id"),
    ("seeds = 'one'", "line 1: seeds is 'one', not int"),
    ("[recipe]\ndrop_rate = [0.1, 0.2]\n[[train]]", "line 1: [recipe] has a list of values"),
    ("[[compare]]\nbase = { sddd = 0 }\nothers = []", "line 2: unknown field of a recipe 'sddd'"),
    ("[families]\na = ['accurac.x']\n[[train]]", "line 2: unknown evaluator 'accurac.x'"),
    (
        "[families]\na = ['accuracy.acuracy']\n[[train]]",
        "line 2: unknown metric 'accuracy.acuracy'; did you mean 'accuracy.accuracy'?",
    ),
    ("[[train]]\n[[gate]]\nfail_if = 'accuracy.accuracy < 1'", "line 2: a gate needs a comparison"),
    (f"{PAIR}[[gate]]\nfail_if = 'accuracy'", "line 4: 'accuracy' is not a condition; write"),
    (
        f"{PAIR}[[gate]]\nfail_if = 'accuracy.acuracy < 1'",
        "line 4: unknown metric 'accuracy.acuracy'; did you mean 'accuracy.accuracy'?",
    ),
    (f"{PAIR}[[gate]]\nfail_if = 'a.b < 1'\nundecided = 'no'", "line 5: undecided is 'no', not"),
    (
        "[families]\na = ['calibration.accuracy']\n[[train]]",  # a metric of other evaluators
        "line 2: unknown metric 'calibration.accuracy'; did you mean 'calibration.bin_accuracy'?",
    ),
    ("name = '../up'\n[[train]]", "line 1: name '../up' is not a valid name"),
    ("seeds = [0]\n[[trian]]\nsd_dropout = 1\n[[trian]]", "line 2: unknown key of a study 'trian'"),
    ("[recipe]\n[familes]\na = []", "line 2: unknown key of a study 'familes'; did you mean"),
    ("[[train]]\nsd_dropout = inf", "line 2: sd_dropout is inf; it must be finite and 0 or more"),
    ("title = 'nothing'", "there is nothing to evaluate"),
    (
        "[[train]]\n\narch = ['resnet8', 'resnet81']",
        "line 3: unknown arch 'resnet81'; did you mean 'resnet8'?",
    ),
    (
        "[recipe]\narch = 'resnet18w16'\n[[train]]\nposition = ['layer2', 'layr3']",
        "line 4: unknown position 'layr3'; did you mean 'layer3'?",
    ),
    ("tables = [1, 99]", "line 1: tables is 99; it must be at most 14"),
    ("figures = 5", "line 1: figures is 5; it must be at most 4"),
    (
        "[[train]]\ndataset = 'digits'\n[small.names]\ndigitz = 'cifar10'",
        "line 4: unknown name in this study 'digitz'; did you mean 'digits'?",
    ),
    (
        "[[train]]\n[small.settings]\nfgmm = { epsilon = 0.1 }",
        "line 3: unknown evaluator 'fgmm'; did you mean 'fgsm'?",
    ),
    ("[[train]]\n[small]\nrecipe = { epoch = 1 }", "line 3: unknown field of a recipe 'epoch'"),
    ("[[train]]\n[[evaluate]]\nevaluator = 'odin'\nlimit = 0", "line 4: limit is 0; it must be"),
    ("[[train]\n", "is not TOML"),
    ("[[train]]\nseeds = [0, -1]", "line 2: seed is -1; it must be 0 or more"),
    ("[[train]]\ndataset = 'digitz'", "line 2: unknown data set 'digitz'; did you mean 'digits'?"),
    ("[[train]]\nstandardisation = 'digts'", "line 2: unknown standardisation 'digts'; did you"),
    ("[[train]]\nhidden_layers = 999", "line 2: hidden_layers is 999; it must be at most 100"),
    ("[recipe]\n\nlr = -1\n[[train]]\nepochs = 3", "line 3: lr is -1.0; it must be above 0"),
    ("[recipe]\ndataset = 'digitz'\n[[train]]", "line 2: unknown data set 'digitz'"),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'accuracy'\ndataset = 'cifar100_validation'",
        "line 4: cifar100_validation needs networks trained with `validation` images",
    ),
    ("checkpoints = ['gone']", "line 1: unknown checkpoint 'gone'"),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'accuracy'\n\ndataset = ['cifar100', 'nowhere']",
        "line 5: unknown data set 'nowhere'",
    ),
    ("[[train]]\n[[train-detector]]\nmin_size = 0", "line 3: min_size is 0; it must be 1 or more"),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'fgsm'\n[small]\n[small.settings]\n"
        "fgsm = { epsilon = -0.1 }",
        "line 6: --epsilon is -0.1; it must be 0 or more",
    ),
    (
        "[[train]]\n[[evaluate]]\nevaluator = 'fgsm'\n[small.settings.fgsm]\nepsilom = 0.1",
        "line 5: unknown setting of fgsm 'epsilom'; did you mean 'epsilon'?",
    ),
    ("[[train]]\n[small.recipe]\nepochs = 0", "epochs is 0; it must be 1 or more"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "message"), TYPOS)
def test_a_mistake_is_reported_with_its_line_and_a_suggestion(text, message, study_file, lookup):
    with pytest.raises(InputError) as error:
        read_study(study_file(text), lookup=lookup)
    assert message in str(error.value)


#: Settings of an evaluator, on line 7, with the words of the error.
SETTINGS = [
    ("fgsm", "epsilon = -0.1", "--epsilon is -0.1; it must be 0 or more"),
    ("fgsm", "curve = [0.1, -2]", "--curve has ε = -2; it must be 0 or more"),
    ("fgsm", "variants = []", "--variants is empty"),
    ("calibration", "bins = 0", "--bins is 0; it must be 1 or more"),
    ("calibration", "bins = 20_000", "it must be at most 10,000: with more bins than images"),
    ("corruption", "corruptions = ['fogg']", "unknown corruption 'fogg'; did you mean 'fog'?"),
    ("corruption", "corrupted = 'cifar100_c'", "cifar100_c corrupts cifar100, not digits"),
    ("corruption", "baseline = ['nowhere']", "unknown checkpoint 'nowhere'"),
    ("selective", "corrupted = 'digits_cc'", "unknown corrupted set 'digits_cc'"),
    ("ood", "detectors = ['msp', 'knnn']", "unknown detector 'knnn'; did you mean 'knn'?"),
    ("ood", "detectors = []", "--detectors is empty; name one or more, each once"),
    ("ood", "temperature = 0", "--temperature is 0.0; it must be above 0"),
    ("odin", "outliers = ['unifrom']", "unknown data set 'unifrom'; did you mean 'uniform'?"),
    ("mask-variance", "drop-rate = 1", "--drop-rate is 1.0; it must be 0 or more and below 1"),
    ("attack", "name = 'PGDD'", "unknown attack 'PGDD'; did you mean 'PGD'?"),
    ("attack", "parameters = ['stepz=3']", "unknown parameter of PGD 'stepz'; did you mean"),
    ("attack", "transfer-from = 'nowhere'", "--transfer-from needs --audit"),
    ("odin", "validation-set = 'digits'", "--validation-set is 'digits'; leave it out, or set it"),
    ("odin", "training = 'cifar1000'", "unknown data set 'cifar1000'; did you mean 'cifar100'?"),
    ("accuracy", "level = 2", "--level is 2.0; it must be between 0 and 1"),
    ("accuracy", "intervals = { resamples = 0 }", "--resamples is 0; it must be 1 or more"),
    ("accuracy", "resamples = 10_000_000", "--resamples is 10000000; it must be at most 1,000,000"),
]


@pytest.mark.parametrize(("evaluator", "setting", "message"), SETTINGS)
def test_a_wrong_setting_is_reported_before_training(
    evaluator, setting, message, study_file, here, capsys
):
    text = "[recipe]\ndataset = 'digits'\n[[train]]\n[[evaluate]]\n"
    study_file(f"{text}evaluator = '{evaluator}'\n[evaluate.settings]\n{setting}\n")
    errors = []
    for flags in ([], ["--dry-run"]):
        assert exit_code(["batch", "study.toml", *flags]) == 2
        errors.append(capsys.readouterr().err)
    assert errors[0] == errors[1]
    assert errors[0].startswith("sdd-eval: study.toml, line 7: ")
    assert message in errors[0]
    assert errors[0].count("\n") == 1
    assert [path.name for path in here.iterdir()] == ["study.toml"]


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


def test_a_study_of_too_many_trainings_is_refused_at_once(study_file, recipe):
    values = ", ".join(map(str, range(1, 200)))
    grid = "".join(
        f"{name} = [{values}]\n" for name in ("epochs", "batch_size", "lr", "validation")
    )
    text = f"{recipe}[[train]]\n{grid}[[evaluate]]\nevaluator = 'accuracy'\n"
    with pytest.raises(InputError, match=r"1,568,239,201 combinations; it must have at most"):
        read_study(study_file(text.replace("epochs = 1\n", "", 1)))


def test_a_mistake_is_one_line_and_exit_code_two(study_file, capsys):
    study_file("[[train]]\nsd_droput = 1\n")
    assert exit_code(["batch", "study.toml"]) == 2
    message = capsys.readouterr().err
    assert message.count("\n") == 1
    assert "study.toml, line 2" in message


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (
            ["--address", "10.0.0.1:6379"],
            "it needs --engine ray",
        ),
        (
            ["--engine", "ray", "--device", "cuda:1"],
            "use auto, cpu or cuda",
        ),
    ],
)
def test_flags_that_need_or_exclude_a_cluster_are_refused(flags, message, study_file, capsys):
    study_file('[[train]]\n[[evaluate]]\nevaluator = "accuracy"\n')
    assert exit_code(["batch", "study.toml", "--dry-run", *flags]) == 2
    assert message in capsys.readouterr().err


def test_jobs_use_the_devices_of_the_cluster_and_not_of_this_machine():
    def cluster(**resources):
        return SimpleNamespace(cluster_resources=lambda: resources)

    assert _device(cluster(CPU=8.0, GPU=4.0), "auto") == "cuda"
    assert _device(cluster(CPU=8.0), "auto") == "cpu"
    assert _device(cluster(GPU=1.0), "cpu") == "cpu"
    with pytest.raises(InputError, match="no node of the Ray cluster has a GPU"):
        _device(cluster(CPU=8.0), "cuda")


def test_the_error_about_an_unknown_study_lists_the_known_ones(here, capsys):
    assert exit_code(["batch", "paper/table-99"]) == 2
    assert "did you mean 'paper/table-" in capsys.readouterr().err


def test_line_numbers_are_right_after_multi_line_arrays_strings_and_comments():
    text = (
        'a = [\n 1, # ]\n 2,\n]\nb = """\nno = key\n[no]\n"""\n[[t]]\n[t.u]\nc = 1\n[[t]]\nc = 2\n'
    )
    lines = {
        **{("a",): 1, ("b",): 5, ("t", 0): 9, ("t", 0, "u"): 10, ("t", 0, "u", "c"): 11},
        **{("t", 1): 12, ("t", 1, "c"): 13, ("t", 1, "other"): 12, ("other",): 1, ("a", 1): 1},
    }
    assert {path: line_of(path, text) for path in lines} == lines


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
