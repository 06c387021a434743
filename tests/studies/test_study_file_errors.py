"""Invalid study files: one line that names the line of the mistake and a suggestion."""

from __future__ import annotations

import pytest

from sdd_eval.cli import exit_code
from sdd_eval.errors import InputError
from sdd_eval.studies.resolve import read_study
from sdd_eval.studies.toml import line_of

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
