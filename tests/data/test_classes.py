"""Class names of data sets and networks: labels by name, and warnings where they differ."""

import re

import numpy as np
import pytest
import torch
from PIL import Image

from sdd_eval.cli import exit_code
from sdd_eval.data import catalogue
from sdd_eval.data.classes import in_network_order, numeric_order
from sdd_eval.data.images import from_arrays
from sdd_eval.errors import InputError
from sdd_eval.evaluation import evaluate


class Brightness(torch.nn.Module):
    """Predicts the class whose grey level, of as many as there are classes, is nearest."""

    def __init__(self, levels):
        super().__init__()
        self.register_buffer("levels", torch.tensor(levels) / 255)

    def forward(self, x):
        return -100 * (x.mean((1, 2, 3))[:, None] - self.levels).abs()


def write_grey(folder, levels, count=3):
    for name, level in levels.items():
        (folder / name).mkdir(parents=True)
        for number in range(count):
            image = Image.fromarray(np.full((8, 8), level, np.uint8))
            image.save(folder / name / f"{number}.png")
    return folder


def accuracy(run):
    return next(number.value for number in run.measurements if number.metric == "accuracy")


def of_classes(*names, labels=(0, 1, 1)):
    return from_arrays(np.zeros((3, 4, 4), np.uint8), np.array(labels), class_names=names)


def test_equal_names_are_unchanged_without_a_warning():
    images = of_classes("cat", "dog")
    assert in_network_order(images, ("cat", "dog"), 2) == (images, ())
    assert in_network_order(of_classes(), ("cat", "dog"), 2)[1] == ()


def test_labels_are_by_name_where_the_network_has_all_names():
    matched, warnings = in_network_order(of_classes("cat", "dog"), ("dog", "emu", "cat"), 3)
    assert matched.labels.tolist() == [2, 0, 0]
    assert matched.class_names == ("dog", "emu", "cat")
    assert matched.fingerprint != of_classes("cat", "dog").fingerprint
    assert "has 2 of the network's 3 classes" in warnings[0]
    same, warnings = in_network_order(of_classes("cat", "dog"), ("dog", "cat"), 2)
    assert (same.labels.tolist(), warnings) == ([1, 0, 0], ())


def test_other_names_or_another_number_of_classes_are_a_warning():
    images, (text,) = in_network_order(of_classes("cat", "dog"), ("cat", "plane"), 2)
    assert "class 1 is 'dog' in the data set and 'plane' in the network" in text
    assert images.labels.tolist() == [0, 1, 1]
    _, (text,) = in_network_order(of_classes("cat", "dog"), (), 10)
    assert "has 2 classes, but the network predicts 10" in text


def test_folders_named_by_numbers_are_in_text_order_with_a_warning(tmp_path):
    levels = {str(number): 10 + 20 * number for number in range(12)}
    folder = write_grey(tmp_path / "numbered", levels)
    images = catalogue.load_images(str(folder), tmp_path)
    assert images.class_names[:4] == ("0", "1", "10", "11")
    network = Brightness(list(levels.values()))
    run = evaluate(network, "accuracy", data=str(folder), root=tmp_path)
    assert accuracy(run) == pytest.approx(2 / 12)  # 0 and 1 alone are in their places
    (warning,) = run.provenance.warnings
    assert "ordered as text, as in torchvision: 0, 1, 10, 11 …" in warning
    names = numeric_order(images)
    run = evaluate(network, "accuracy", data=str(folder), root=tmp_path, class_names=names)
    assert accuracy(run) == 1
    assert run.provenance.warnings is None


def test_numeric_order_needs_numbers():
    with pytest.raises(InputError, match=r"needs .* by numbers, but arrays has .* 'dog'"):
        numeric_order(of_classes("1", "dog"))


def test_a_data_set_of_other_classes_is_reported_in_terminal_run_table_and_page(
    tmp_path, monkeypatch, capsys
):
    from sdd_eval import training
    from sdd_eval.records import Recipe

    monkeypatch.chdir(tmp_path)
    folder = write_grey(tmp_path / "animals", {f"kind {k}": 20 * k for k in range(10)})
    recipe = Recipe(dataset="digits", arch="small_cnn", epochs=1, standardisation="digits")
    card = training.train(recipe, "checkpoints", name="net")
    assert card.provenance.class_names == tuple("0123456789")
    assert exit_code(["accuracy", "net", "--dataset", str(folder)]) == 0
    captured = capsys.readouterr()
    expected = "class 0 is 'kind 0' in the data set and '0' in the network"
    assert expected in captured.err
    assert "animals (user's folder, 10 classes)" in captured.out
    words = ["evaluate", "net", "--dataset", str(folder), "--evaluators", "accuracy"]
    assert exit_code([*words, "--study", "suite"]) == 0
    assert f"warning: the classes of animals are not those of the network: {expected}" in (
        capsys.readouterr().out
    )
    assert exit_code(["report", "default"]) == 0
    assert expected in (tmp_path / "reports/default/results.csv").read_text()
    page = (tmp_path / "reports/default/index.html").read_text()
    assert "the classes of animals are not those of the network" in page


def test_an_import_in_numeric_order_matches_labels_by_name(tmp_path, monkeypatch, capsys):
    from safetensors.torch import save_file

    levels = {str(number): 10 + 20 * number for number in range(12)}
    write_grey(tmp_path / "numbered", levels)
    factory = tmp_path / "brightness.py"
    factory.write_text(
        "import torch\n"
        "class Brightness(torch.nn.Module):\n"
        "    def __init__(self):\n"
        "        super().__init__()\n"
        "        self.fc = torch.nn.Linear(1, 12)\n"
        "    def forward(self, x):\n"
        "        return self.fc(x.mean((1, 2, 3))[:, None])\n"
        "def make():\n"
        "    return Brightness()\n"
    )
    level = torch.tensor(list(levels.values())) / 255  # minus (x - level)², without x²
    weights = {"fc.weight": 2 * level[:, None], "fc.bias": -(level**2)}
    save_file(weights, tmp_path / "w.safetensors")
    monkeypatch.chdir(tmp_path)
    words = ["--arch", "brightness.py:make", "--weights", "w.safetensors", "--dataset", "numbered"]
    words += ["--mean", "0", "--std", "1", "--data-root", str(tmp_path), "--trust-code"]
    flags = ["--dataset", "numbered", "--data-root", str(tmp_path), "--trust-code"]
    assert exit_code(["import", "text", *words]) == 0
    assert "ordered as text" in capsys.readouterr().err
    assert exit_code(["accuracy", "text", *flags]) == 0
    assert "ordered as text" in capsys.readouterr().err
    assert exit_code(["import", "torch", *words, "--class-order", "text"]) == 0
    assert exit_code(["accuracy", "torch", *flags]) == 0
    assert "ordered as text" not in capsys.readouterr().err
    assert exit_code(["import", "numeric", *words, "--class-order", "numeric"]) == 0
    captured = capsys.readouterr()
    assert "accuracy 100.00 %" in captured.out
    assert captured.err.count("ordered as text") == 0
    assert exit_code(["accuracy", "numeric", *flags]) == 0
    assert re.search(r"^accuracy +100\.0 ", capsys.readouterr().out, re.MULTILINE)


def test_add_and_check_say_how_many_images_each_class_has(tmp_path, capsys):
    folder = write_grey(tmp_path / "mine", {"cat": 10, "dog": 20})
    (folder / "cat" / "0.png").unlink()
    linked = tmp_path / "linked"
    linked.mkdir()
    for name in ("cat", "dog"):
        (linked / name).symlink_to(folder / name)
    root = ["--data-root", str(tmp_path / "root")]
    assert exit_code(["data", "add", "pets", str(linked), *root]) == 0
    assert "2 classes: cat 2, dog 3" in capsys.readouterr().out
    assert exit_code(["data", "check", "pets", *root]) == 0
    assert "test classes  ok       2 classes: cat 2, dog 3" in capsys.readouterr().out


def test_check_names_an_absent_set_after_the_others(tmp_path, capsys):
    write_grey(tmp_path / "pets", {"cat": 10, "dog": 20})
    words = ["data", "check", "dtd", "pets", "--data-root", str(tmp_path)]
    assert exit_code(words) == 2
    captured = capsys.readouterr()
    assert "2 classes: cat 3, dog 3" in captured.out
    assert "dtd was not found" in captured.err


def test_corruptions_of_a_set_with_labels_by_name_have_these_labels(tmp_path):
    from sdd_eval.data.corruption.writer import write_corrupted

    write_grey(tmp_path / "pets", {"cat": 10, "dog": 20})
    original = catalogue.load_images("pets", tmp_path)
    images, _ = in_network_order(original, ("dog", "emu", "cat"), 3)
    rendered = catalogue.load_corrupted("", tmp_path, clean=images)
    assert rendered.cell("fog", 1).labels.tolist() == [2, 2, 2, 0, 0, 0]
    write_corrupted(original, tmp_path / "pets-C-regenerated", corruptions=("contrast",))
    stored = catalogue.load_corrupted("", tmp_path, clean=images)
    assert stored.cell("contrast", 1).labels.tolist() == [2, 2, 2, 0, 0, 0]
    assert stored.class_names == ("dog", "emu", "cat")


def test_numeric_order_needs_a_data_set(tmp_path, capsys):
    words = ["import", "net", "--arch", "small_cnn", "--weights", str(tmp_path / "w.safetensors")]
    words += ["--classes", "3", "--image-size", "8", "--class-order", "numeric"]
    assert exit_code(words) == 2
    assert "--class-order numeric needs --dataset" in capsys.readouterr().err


def test_a_card_without_class_names_has_those_of_its_data_set(tmp_path, monkeypatch, capsys):
    import json

    from sdd_eval import training
    from sdd_eval.records import Recipe

    monkeypatch.chdir(tmp_path)
    folder = write_grey(tmp_path / "animals", {f"kind {k}": 20 * k for k in range(10)})
    recipe = Recipe(dataset="digits", arch="small_cnn", epochs=1, standardisation="digits")
    training.train(recipe, "checkpoints", name="net")
    card = tmp_path / "checkpoints" / "net" / "card.json"
    stored = json.loads(card.read_text())
    del stored["provenance"]["class_names"]
    card.write_text(json.dumps(stored))
    assert exit_code(["accuracy", "net"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert exit_code(["accuracy", "net", "--dataset", str(folder)]) == 0
    expected = "class 0 is 'kind 0' in the data set and '0' in the network"
    assert expected in capsys.readouterr().err
