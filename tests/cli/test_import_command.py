"""`sdd-eval import`: external weights become a checkpoint for every command."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import sdd_eval
from sdd_eval import plugins, store
from sdd_eval.checkpoints import importing as importing_module
from sdd_eval.checkpoints import load, read_card
from sdd_eval.cli import exit_code
from sdd_eval.data.catalogue import load_images
from sdd_eval.data.standardisation import channel_statistics
from sdd_eval.models.build import build
from sdd_eval.models.preprocessing import Preprocessing
from sdd_eval.provenance import Resizing
from sdd_eval.records import Card, ModelSpec

TRAINED = "digits-small_cnn-ce-seed0"


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A folder with a checkpoint trained on the digits for two epochs."""
    folder = tmp_path_factory.mktemp("trained")
    flags = "train --dataset digits --arch small_cnn --epochs 2 --standardisation digits"
    assert exit_code([*flags.split(), "--augmentation", "none", "--checkpoints", str(folder)]) == 0
    return folder / TRAINED


@pytest.fixture
def here(tmp_path, monkeypatch, trained):
    """Set up a working folder with `theirs.pt`: trained weights as saved by another library."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SDD_EVAL_DATA", str(tmp_path / "data"))
    state = {
        "module." + name.removeprefix("backbone.").replace("classifier.", "fc."): tensor
        for name, tensor in load(trained).state_dict().items()
    }
    torch.save({"epoch": 2, "state_dict": state}, tmp_path / "theirs.pt")
    return tmp_path


def importing(name, *more):
    flags = f"import {name} --arch small_cnn --weights theirs.pt --dataset digits"
    return exit_code([*flags.split(), *map(str, more)])


def test_an_imported_network_is_the_one_that_was_trained(here, trained, capsys):
    assert importing("mine") == 0
    output = capsys.readouterr().out
    ours, theirs = read_card("checkpoints/mine"), read_card(trained)
    pixels = torch.rand(5, 1, 8, 8)
    assert torch.equal(sdd_eval.load("checkpoints/mine")(pixels), load(trained)(pixels))
    assert ours.model == theirs.model
    assert ours.recipe is None
    assert ours.metrics["accuracy"] == theirs.metrics["accuracy"]
    assert ours.provenance.imported == "theirs.pt"
    assert str(here) not in (here / "checkpoints/mine/card.json").read_text()
    mean, std = channel_statistics(load_images("digits", here, "train"))
    assert f"mean {mean[0]:.4f}  std {std[0]:.4f}  (true, of the training images" in output
    assert f"accuracy {100 * theirs.metrics['accuracy']:.2f} % on 797 images" in output
    assert "theirs.pt, state_dict" in output


@pytest.mark.usefixtures("here", "one_figure")
def test_every_evaluator_and_the_report_accept_an_imported_network(trained, capsys):
    assert importing("mine") == 0
    assert exit_code(["accuracy", str(trained), "--limit", "20"]) == 0
    for name in sorted({*plugins.names("evaluators")} - {"detection"}):
        assert exit_code([name, "mine", "--limit", "20"]) == 0, name
    assert exit_code(["report"]) == 0
    page = capsys.readouterr().out
    results = Path("reports/default/results.csv").read_text().splitlines()
    header = results[0].split(",")
    column = {name: header.index(name) for name in ("checkpoint", "group", "method", "arch")}
    (cells, *_) = [row.split(",") for row in results if ",mine," in f",{row},"]
    result = {name: cells[index] for name, index in column.items()}
    assert result == {"checkpoint": "mine", "group": "mine", "method": "", "arch": "small_cnn"}
    assert "mine" in page
    html = Path("reports/default/index.html").read_text()
    assert html.count("mine") > 3


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("off", "code"), [(0.0, 0), (0.49, 0), (-0.49, 0), (0.51, 1), (-2, 1)])
def test_an_accuracy_more_than_half_a_point_from_the_expected_one_exits_with_1(
    trained, off, code, capsys
):
    accuracy = 100 * read_card(trained).metrics["accuracy"]
    assert importing("mine", "--expect", accuracy + off) == code
    output = capsys.readouterr().out
    assert ("--mean and --std" in output) == bool(code)
    assert (read_card("checkpoints/mine").metrics["accuracy"] * 100) == accuracy


@pytest.mark.usefixtures("here")
def test_a_wrong_standardisation_shows_in_the_accuracy(trained, capsys):
    accuracy = 100 * read_card(trained).metrics["accuracy"]
    wrong = ("--mean", "0.9", "--std", "0.05", "--expect", accuracy)
    assert importing("mine", *wrong) == 1
    assert "points off" in capsys.readouterr().out


@pytest.mark.usefixtures("here")
def test_repeating_an_import_keeps_the_checkpoint_and_a_different_one_is_refused(capsys):
    assert importing("mine") == 0
    before = Path("checkpoints/mine/card.json").read_text()
    assert importing("mine") == 0
    assert Path("checkpoints/mine/card.json").read_text() == before
    capsys.readouterr()
    assert importing("mine", "--mean", "0.3", "--std", "0.4") == 2
    assert (
        "contains another checkpoint; choose another name or --overwrite" in capsys.readouterr().err
    )
    assert importing("mine", "--mean", "0.3", "--std", "0.4", "--overwrite") == 0
    assert read_card("checkpoints/mine").model.mean == (0.3,)


@pytest.mark.usefixtures("here")
def test_an_interrupted_import_is_repeated_and_other_files_remain():
    folder = Path("checkpoints/mine")
    folder.mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"half")
    assert importing("mine") == 0
    other = Path("checkpoints/other")
    other.mkdir()
    (other / "notes.txt").write_text("mine")
    assert importing("other") == 2
    assert (other / "notes.txt").read_text() == "mine"


@pytest.mark.usefixtures("here")
def test_importing_for_a_missing_data_set_states_what_is_needed(capsys):
    flags = ["import", "mine", "--arch", "small_cnn", "--weights", "theirs.pt", "--classes", "10"]
    assert exit_code(flags) == 2
    assert "without --dataset, give --image-size, --mean, --std" in (capsys.readouterr().err)
    assert exit_code([*flags, "--image-size", "8", "--mean", "0.3", "--std", "0.4"]) == 0
    assert "accuracy not measured" in capsys.readouterr().out
    assert read_card("checkpoints/mine").dataset is None
    assert exit_code(["accuracy", "mine"]) == 2
    assert "names no data set; set --dataset" in capsys.readouterr().err
    assert exit_code(["accuracy", "mine", "--dataset", "digits", "--limit", "20"]) == 0


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("flags", "output"),
    [
        ("", "sdd-eval import NAME --arch ARCH --weights FILE --dataset SET"),
        ("mine --arch small_cnn", "--weights FILE"),
        ("mine --arch small_cn --weights theirs.pt --dataset digits", "did you mean 'small_cnn'"),
        ("mine --arch small_cnn --weights no.pt --dataset digits", "cannot read no.pt"),
        ("mine --arch small_cnn --weights theirs.pt --dataset digitz", "did you mean 'digits'"),
        ("mine --arch small_cnn --weights theirs.pt --dataset uniform", "has no labels"),
        ("mine --arch small_cnn --weights theirs.pt --dataset cifar100", "data get cifar100"),
        ("mine --arch resnet8 --weights theirs.pt --dataset digits", "theirs.pt does not fit arch"),
        ("mine --arch small_cnn --weights theirs.pt --dataset digits --mean 0.3", "go together"),
        ("mine --arch small_cnn --weights theirs.pt --dataset digits --expect 0.8", "in percent"),
        ("mine --arch small_cnn --weights theirs.pt --dataset digits --classes 9", "more classes"),
        ("mine --arch small_cnn --weights theirs.pt --dataset digits --classes 11", "(10, 96)"),
        (
            "../up --arch small_cnn --weights theirs.pt --dataset digits",
            "not a valid name",
        ),
        ("mine --arch small_cnn --weights theirs.pt --dataset digits --weights-key x", "no such"),
        (
            "mine --arch small_cnn --weights theirs.pt --dataset digits --mean 127 --std 64",
            "--mean is 127, but pixels are in [0, 1]; divide --mean and --std by 255",
        ),
        (
            "mine --arch small_cnn --weights theirs.pt --dataset digits --options depth 3",
            "'small_cnn' and its options {'depth': 3}",
        ),
    ],
)
def test_a_mistake_is_one_line_that_names_it_and_leaves_no_checkpoint(flags, output, here, capsys):
    assert exit_code(["import", *flags.split()]) == 2
    error = capsys.readouterr().err
    assert output in error
    assert error.count("\n") == 1
    assert not list(here.glob("checkpoints/*/card.json"))


def test_options_reach_the_network_as_numbers(here):
    network = build(ModelSpec("small_cnn", 10, (0.3,), (0.4,), 8, {"width": 8}))
    torch.save(network.state_dict(), here / "narrow.pt")
    flags = "import mine --arch small_cnn --weights narrow.pt --dataset digits --options width 8"
    assert exit_code(flags.split()) == 0
    assert read_card("checkpoints/mine").model.options == {"width": 8}


def test_a_factory_is_announced_and_its_card_needs_trust_code(here, capsys):
    (here / "net.py").write_text(
        "from torch import nn\n\n\ndef net(num_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 12), nn.Linear(12, num_classes))\n"
    )
    state = {f"{n}.{p}": torch.randn(s) for n, s in ((1, (12, 64)), (2, (10, 12))) for p in
             ("weight",)} | {"1.bias": torch.zeros(12), "2.bias": torch.zeros(10)}  # fmt: skip
    torch.save(state, here / "own.pt")
    flags = "import mine --arch net.py:net --weights own.pt --dataset digits"
    assert exit_code(flags.split()) == 2
    output = capsys.readouterr()
    assert "give --trust-code" in output.err
    assert "running" not in output.out
    assert exit_code([*flags.split(), "--trust-code"]) == 0
    assert "running the code of net.py:net" in capsys.readouterr().out
    assert exit_code(["accuracy", "mine"]) == 2
    assert "give --trust-code" in capsys.readouterr().err
    assert exit_code(["accuracy", "mine", "--trust-code"]) == 0
    network = sdd_eval.load("checkpoints/mine", trust_code=True)
    assert torch.equal(network.classifier.weight, state["2.weight"])
    (here / "net.py").write_text("raise SystemExit('it ran')")
    assert exit_code(["accuracy", "mine", "--trust-code"]) == 2
    assert "has changed" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("last", "message"),
    [
        ("nn.Linear(64, 10), nn.Softmax(1)", "returns probabilities .* leave out its last softmax"),
        ("nn.Linear(64, 10), nn.Sigmoid()", "values of a sigmoid .* leave out its last sigmoid"),
        ("nn.BatchNorm1d(64, track_running_stats=False), nn.Linear(64, 10)", "of one image: .*"),
    ],
)
def test_a_network_that_gives_no_logits_of_one_image_is_not_imported(here, capsys, last, message):
    text = f"from torch import nn\n\n\ndef net():\n    return nn.Sequential(nn.Flatten(), {last})\n"
    (here / "net.py").write_text(text)
    torch.manual_seed(0)
    namespace = {}
    exec(text, namespace)
    torch.save(namespace["net"]().state_dict(), "own.pt")
    flags = "import mine --arch net.py:net --trust-code --weights own.pt --dataset digits"
    assert exit_code(flags.split()) == 2
    error = capsys.readouterr().err
    assert re.search(message, error)
    assert error.count("\n") == 1
    assert not Path("checkpoints/mine/card.json").exists()


def test_a_network_of_the_users_own_folder_of_images_is_evaluated_by_its_name(here, capsys):
    random = np.random.default_rng(0)
    for index in range(12):
        folder = here / "data" / "pets" / ("cat", "dog")[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 100, (40, 40, 3), dtype=np.uint8) + 120 * (index % 2)
        Image.fromarray(pixels.astype(np.uint8)).save(folder / f"{index}.png")
    spec = ModelSpec("torchvision:resnet18", 2, (0.5,) * 3, (0.2,) * 3, 32)
    torch.manual_seed(0)
    network = build(spec)
    torch.save(network.state_dict(), here / "pets.pt")
    flags = "import pets-net --arch torchvision:resnet18 --weights pets.pt --dataset pets"
    assert exit_code([*flags.split(), "--image-size", "32"]) == 0
    assert "of the test images of pets" in capsys.readouterr().out
    card = store.read_record(here / "checkpoints/pets-net/card.json", Card)
    assert (card.dataset, card.model.classes, card.model.image_size) == ("pets", 2, 32)
    for name in ("accuracy", "corruption"):
        assert exit_code([name, "pets-net", "--json"]) == 0
        run = json.loads(re.sub(r"^[^{]*", "", capsys.readouterr().out, count=1))
        assert run["n"] == 12
        assert "pets" in run["dataset"]


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(("mean", "std", "better"), [(0.9, 0.05, True), (None, None, False)])
def test_the_accuracy_with_the_statistics_of_the_images_stands_beside_that_with_the_library_s(
    trained, capsys, monkeypatch, mean, std, better
):
    model = read_card(trained).model
    constants = (model.mean, model.std) if mean is None else ((mean,), (std,))
    resized = Resizing(9, "bicubic")
    library = Preprocessing("the library's", *constants, image_size=8, resized=resized)
    monkeypatch.setattr(importing_module, "library_preprocessing", lambda arch: library)
    assert importing("mine") == 0
    output = capsys.readouterr().out
    assert (
        "(the library's)\nnote: the library's: for files resized with the short side to 9 pixels, "
        "bicubic, not a fixed size"
    ) in output
    card = read_card("checkpoints/mine")
    assert (card.model.mean, card.model.std) == constants
    shown = [float(a) for a in re.findall(r"^accuracy ([\d.]+) %", output, re.MULTILINE)]
    expected = [100 * known.metrics["accuracy"] for known in (card, read_card(trained))]
    assert shown == [round(percent, 2) for percent in expected]
    assert (shown[1] > shown[0]) == better
    assert "% with --mean 0.3070 --std 0.3762  (true, of the training images of digits)" in output
    assert ("warning: the accuracy is higher with --mean 0.3070 --std" in output) == better
    assert exit_code(["accuracy", "mine", "--json"]) == 0
    run = json.loads(re.sub(r"^[^{]*", "", capsys.readouterr().out, count=1))
    warned = "imported with --mean 0.3070 --std 0.3762, the network's accuracy was"
    assert [text.startswith(warned) for text in run["provenance"].get("warnings", [])] == (
        [True] if better else []
    )
    assert importing("mine", "--mean", "0.307", "--std", "0.3762", "--overwrite") == 0
    assert "the library's" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arch", "option", "value"),
    [("resnet8", "padding", "both"), ("densenet121", "newest", "first")],
)
def test_the_accuracy_with_an_option_that_weights_do_not_tell_is_printed_too(
    here, capsys, arch, option, value
):
    torch.manual_seed(0)
    spec = ModelSpec(arch, 10, (0.3,), (0.4,), 8, {option: value})
    network = build(spec).eval()
    images = load_images("digits", here, "test")
    with torch.no_grad():
        logits = network(next(images.batches(797)).float() / 255)
    # labels are those that the network with the option predicts
    Path("data").mkdir(exist_ok=True)
    pixels = next(images.batches(797)).numpy().transpose(0, 2, 3, 1)
    np.savez("data/own.npz", images=pixels, labels=logits.argmax(1).numpy())
    torch.save(network.state_dict(), "own.pt")
    flags = f"import mine --arch {arch} --weights own.pt --dataset data/own.npz --classes 10"
    flags += " --mean 0.3 --std 0.4"
    assert exit_code(flags.split()) == 0
    output = capsys.readouterr().out
    assert f"accuracy 100.00 % with --options {option} {value}\nwarning: the accuracy is" in output
    assert exit_code([*flags.split(), "--options", option, value, "--overwrite"]) == 0
    output = capsys.readouterr().out
    assert "accuracy 100.00 % on 797 images" in output
    assert "warning" not in output


@pytest.mark.usefixtures("here")
def test_an_average_beside_the_weights_is_printed_and_chosen_by_its_key(trained, capsys):
    state = load(trained).state_dict()
    other = {k: v * 0.5 if v.is_floating_point() else v for k, v in state.items()}
    torch.save({"state_dict": state, "state_dict_ema": other, "epoch": 2}, "averaged.pt")
    flags = "import {} --arch small_cnn --weights averaged.pt --dataset digits".format
    assert exit_code(flags("plain").split()) == 0
    output = capsys.readouterr().out
    assert "averaged.pt, state_dict\n" in output
    assert "the file also holds state_dict_ema, which fits: --weights-key state_dict_ema" in output
    assert exit_code([*flags("average").split(), "--weights-key", "state_dict_ema"]) == 0
    assert "averaged.pt, state_dict_ema\n" in capsys.readouterr().out
    assert read_card("checkpoints/average").provenance.imported_below == ("state_dict_ema",)
    weights = sdd_eval.load("checkpoints/average").classifier.weight
    assert torch.equal(weights, other["classifier.weight"])


@pytest.mark.usefixtures("here")
def test_an_overwritten_checkpoint_keeps_the_user_s_files_and_a_damaged_one_is_replaced():
    assert importing("mine") == 0
    (Path("checkpoints/mine") / "notes.txt").write_text("mine")
    Path("checkpoints/mine/card.json").write_text("{")
    assert importing("mine") == 2
    assert importing("mine", "--overwrite") == 0
    assert (Path("checkpoints/mine") / "notes.txt").read_text() == "mine"
    assert read_card("checkpoints/mine").model.arch == "small_cnn"


def test_weights_that_do_not_fit_are_refused_before_the_images_are_measured(here, monkeypatch):
    monkeypatch.setattr(
        "sdd_eval.checkpoints.importing.channel_statistics", lambda images: pytest.fail("measured")
    )
    flags = "import mine --arch resnet8 --weights theirs.pt --dataset digits"
    assert exit_code(flags.split()) == 2
