import csv
import dataclasses
import json

import numpy as np
import pytest
import torch

import sdd_eval
from sdd_eval import store
from sdd_eval.errors import InputError
from sdd_eval.records import Card, Recipe
from sdd_eval.training.objective import Objective
from sdd_eval.training.train import train


@pytest.fixture(scope="module")
def trained(data, tmp_path_factory):
    """Return folder and card of a finished checkpoint."""
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    recipe = Recipe(dataset="tiny", arch="small_cnn", epochs=4, batch_size=20, lr=0.05)
    recipe = dataclasses.replace(recipe, sd_dropout=0.1)
    return folder, train(
        recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=1
    )


def started(data, recipe, folder, **options):
    return train(
        recipe,
        folder.parent,
        name=folder.name,
        data=lambda: data,
        device="cpu",
        threads=1,
        **options,
    )


def test_digits_are_trained_with_the_defaults(tmp_path):
    recipe = Recipe(dataset="digits", images_per_class=4, batch_size=20, epochs=1)
    card = train(recipe, tmp_path, device="cpu", threads=1)
    assert card.model.arch == "resnet18"
    assert len(card.model.mean) == 1
    assert card.provenance.standardisation == "digits"


def test_a_small_network_learns_the_tiny_set(trained):
    _, card = trained
    assert card.metrics["accuracy"] > 0.9
    assert card.metrics["train_accuracy"] > 0.9


def test_the_folder_contains_only_card_weights_and_history(trained):
    folder, card = trained
    names = sorted(path.name for path in folder.iterdir())
    assert names == ["card.json", "history.csv", "weights.safetensors"]
    assert store.read_record(folder / "card.json", Card) == card


def test_the_history_has_one_row_per_epoch_with_all_loss_terms(trained):
    folder, card = trained
    with (folder / "history.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2", "3", "4"]
    assert [float(row["lr"]) for row in rows] == pytest.approx([0.05, 0.05, 0.005, 0.0005])
    last = {name: float(value) for name, value in rows[-1].items()}
    assert last["loss"] == pytest.approx(last["ce"] + 0.1 * last["sd_dropout"], rel=1e-4)
    assert last["ce"] == pytest.approx(card.metrics["ce"], rel=1e-4)


def test_the_card_records_software_and_data_of_the_training(trained):
    _, card = trained
    provenance = card.provenance
    assert provenance.devices == ("cpu",)
    assert provenance.threads == 1
    assert provenance.reproducible.startswith("bit for bit")
    assert (provenance.dataset, provenance.data_origin) == ("tiny", "made here")
    assert provenance.training_images == 96
    assert provenance.standardisation == "tiny"  # grey images have constants of their own
    assert provenance.images_per_second > 0
    assert provenance.torch == torch.__version__


def test_a_loaded_checkpoint_has_the_accuracy_of_its_card_and_is_frozen(trained, data):
    folder, card = trained
    network = sdd_eval.load(folder)
    (pixels,) = data.test.batches(60)
    right = network(pixels.float() / 255).argmax(1).numpy() == data.test.labels
    assert right.mean() == pytest.approx(card.metrics["accuracy"])
    assert not network.training
    assert not any(parameter.requires_grad for parameter in network.parameters())


def test_a_finished_checkpoint_is_not_trained_again(trained):
    folder, card = trained

    def never():
        raise AssertionError("the images were read")

    assert train(card.recipe, folder.parent, name=folder.name, data=never, device="cpu") == card


def test_weights_depend_on_recipe_and_seed(trained, data, tmp_path):
    _, card = trained
    torch.manual_seed(123)
    again = started(data, card.recipe, tmp_path / "again")
    assert again.weights_sha256 == card.weights_sha256
    other = started(data, dataclasses.replace(card.recipe, seed=1), tmp_path / "other")
    assert other.weights_sha256 != card.weights_sha256


def test_training_restores_random_state_and_threads(trained, data, tmp_path):
    _, card = trained
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    threads = torch.get_num_threads()
    train(
        dataclasses.replace(card.recipe, epochs=1),
        tmp_path,
        name="tiny",
        data=lambda: data,
        device="cpu",
        threads=threads + 1,
    )
    assert torch.equal(torch.rand(3), expected)
    assert torch.get_num_threads() == threads


def test_the_error_about_another_recipe_names_the_fields(trained, data):
    folder, card = trained
    other = dataclasses.replace(card.recipe, lr=0.2, sd_dropout=1.0)
    with pytest.raises(InputError, match="contains another recipe") as caught:
        started(data, other, folder)
    assert "lr is 0.05 there, 0.2 here" in str(caught.value)
    assert "sd_dropout is 0.1 there, 1.0 here" in str(caught.value)
    assert "--overwrite" in str(caught.value)
    sdd_eval.load(folder)  # nothing is lost


def test_overwrite_replaces_another_recipe_but_resumes_the_same(data, recipe, tmp_path):
    folder = tmp_path / "tiny"
    recipe = dataclasses.replace(recipe, epochs=1)
    first = started(data, recipe, folder)
    assert started(data, recipe, folder, overwrite=True) == first
    other = started(data, dataclasses.replace(recipe, seed=9), folder, overwrite=True)
    assert other.weights_sha256 != first.weights_sha256
    assert other == sdd_eval.checkpoints.read_card(folder)


def test_damaged_weights_are_refused_and_overwrite_trains_them_again(data, recipe, tmp_path):
    folder = tmp_path / "tiny"
    recipe = dataclasses.replace(recipe, epochs=1)
    first = started(data, recipe, folder)
    weights = folder / "weights.safetensors"
    weights.write_bytes(weights.read_bytes()[:-5])
    with pytest.raises(InputError, match="truncated or changed"):
        started(data, recipe, folder)
    again = started(data, recipe, folder, overwrite=True)
    assert again.weights_sha256 == first.weights_sha256


def test_two_processes_do_not_train_the_same_checkpoint(data, recipe, tmp_path):
    folder = tmp_path / "tiny"
    with (
        store.locked(folder, "training"),
        pytest.raises(InputError, match="another process is training"),
    ):
        started(data, recipe, folder)


def test_a_file_in_place_of_the_folder_is_refused(data, recipe, tmp_path):
    (tmp_path / "tiny").write_text("in the way")
    with pytest.raises(InputError, match="cannot write"):
        started(data, recipe, tmp_path / "tiny")


def test_a_batch_larger_than_the_data_is_refused(data, recipe, tmp_path):
    with pytest.raises(InputError, match="batch_size is 97, but tiny has only 96"):
        started(data, dataclasses.replace(recipe, batch_size=97), tmp_path / "tiny")


def test_a_class_with_one_image_is_refused_if_the_method_needs_partners(data, recipe, tmp_path):
    labels = np.where(np.arange(96) == 5, 3, data.train.labels)
    names = ("plain", "bright above", "striped", "lonely")
    train = dataclasses.replace(data.train, labels=labels, class_names=names)
    lonely = dataclasses.replace(data, train=train)
    cs_kd = dataclasses.replace(recipe, method="cs_kd", epochs=1)
    with pytest.raises(InputError, match="class 'lonely' of tiny has one training image"):
        started(lonely, cs_kd, tmp_path / "cs_kd")
    assert started(lonely, dataclasses.replace(recipe, epochs=1), tmp_path / "ce")


def test_the_error_about_memory_suggests_a_batch_size_and_leaves_the_epoch_before(
    data, recipe, tmp_path, monkeypatch
):
    steps, forward = [], Objective.forward

    def exhausted(self, *args):
        steps.append(1)
        if len(steps) == 8:  # 5 steps an epoch
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")
        return forward(self, *args)

    with monkeypatch.context() as patch:
        patch.setattr(Objective, "forward", exhausted)
        with pytest.raises(
            InputError, match="too little memory for batch_size 20; try 10"
        ) as caught:
            started(data, recipe, tmp_path / "tiny")
    assert "\n" not in str(caught.value)
    assert torch.load(tmp_path / "tiny" / "state.pt", weights_only=True)["epoch"] == 1


def test_a_batch_of_one_image_under_batch_norm_gives_a_clear_error(data, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, arch="resnet18w16", batch_size=95)
    with pytest.raises(InputError, match="the last batch holds one image"):
        started(data, recipe, tmp_path / "tiny")


def test_an_unknown_network_or_position_or_device_is_refused(data, recipe, tmp_path):
    folder = tmp_path / "tiny"
    with pytest.raises(InputError, match="unknown arch 'small_cn'; did you mean 'small_cnn'"):
        started(data, dataclasses.replace(recipe, arch="small_cn"), folder)
    with pytest.raises(InputError, match="unknown position 'layer9'"):
        started(data, dataclasses.replace(recipe, position="layer9"), folder)
    with pytest.raises(InputError, match="--device is 'abacus', not auto"):
        train(recipe, folder.parent, name=folder.name, data=lambda: data, device="abacus")
    with pytest.raises(InputError, match="threads is 0"):
        train(recipe, folder.parent, name=folder.name, data=lambda: data, device="cpu", threads=0)


def test_test_images_of_another_shape_or_with_more_classes_are_refused(data, recipe, tmp_path):
    wide = dataclasses.replace(data.test, images=data.test.images.repeat(2, 2).repeat(2, 3))
    with pytest.raises(InputError, match="test images are 1 × 16 px, training images 1 × 8 px"):
        started(dataclasses.replace(data, test=wide), recipe, tmp_path / "tiny")
    strange = dataclasses.replace(data.test, labels=data.test.labels + 1)
    with pytest.raises(InputError, match="the test images have 4 classes, the training images 3"):
        started(dataclasses.replace(data, test=strange), recipe, tmp_path / "tiny")


def test_a_training_without_test_images_has_no_accuracy(data, recipe, tmp_path):
    alone = dataclasses.replace(data, test=None)
    card = started(alone, dataclasses.replace(recipe, epochs=1), tmp_path / "tiny")
    assert "accuracy" not in card.metrics
    assert card.provenance.test_images == 0


@pytest.mark.parametrize(
    "options",
    [
        {"position": "layer1", "arch": "resnet8"},
        {"hidden_layers": 1},
        {"direction": "forward"},
        {"precision": "bf16", "channels_last": True},
    ],
)
def test_all_variants_of_a_recipe_can_be_trained_and_loaded(data, recipe, tmp_path, options):
    recipe = dataclasses.replace(recipe, epochs=1, batch_size=48, **options)
    card = started(data, recipe, tmp_path / "tiny")
    assert torch.tensor(list(card.metrics.values())).isfinite().all()
    assert sdd_eval.load(tmp_path / "tiny").spec == card.model


@pytest.mark.filterwarnings("ignore:Guards may run slower on Python 3.13.0:RuntimeWarning")
def test_compilation_does_not_change_names_or_weights(data, recipe, tmp_path, monkeypatch):
    compiled, compile_ = [], torch.compile

    def with_eager_kernels(
        function, dynamic
    ):  # the graph is captured as ever, no C compiler is needed
        compiled.append(function)
        return compile_(function, backend="eager", dynamic=dynamic)

    monkeypatch.setattr(torch, "compile", with_eager_kernels)
    recipe = dataclasses.replace(recipe, epochs=1)
    plain = started(data, recipe, tmp_path / "plain")
    card = started(data, dataclasses.replace(recipe, compile=True), tmp_path / "compiled")
    assert len(compiled) == 1
    assert card.metrics["loss"] == pytest.approx(plain.metrics["loss"], rel=1e-3)
    sdd_eval.load(tmp_path / "compiled")


def test_another_position_gives_other_weights(data, recipe, tmp_path):
    recipe = dataclasses.replace(recipe, arch="resnet8", epochs=1, batch_size=48)
    cards = [
        started(data, dataclasses.replace(recipe, position=position), tmp_path / position)
        for position in ("layer1", "layer2", "layer4")
    ]
    assert len({card.weights_sha256 for card in cards}) == 3


def test_the_error_about_a_non_finite_loss_names_step_and_term(data, recipe, tmp_path, monkeypatch):
    from sdd_eval.training import objective

    calls = []

    def spoiled(features, classifier, **options):
        calls.append(1)
        return features.mean() * (float("nan") if len(calls) == 8 else 1.0)  # 5 steps an epoch

    with monkeypatch.context() as patch:
        patch.setattr(objective, "sd_dropout_loss", spoiled)
        with pytest.raises(InputError, match="sd_dropout is not finite at step 3 of epoch 2"):
            started(data, recipe, tmp_path / "tiny")
    state = torch.load(tmp_path / "tiny" / "state.pt", weights_only=True)
    assert state["epoch"] == 1
    assert all(tensor.isfinite().all() for tensor in state["objective"].values())


def test_weights_that_are_not_finite_are_not_saved(data, recipe, tmp_path, monkeypatch):
    steps = []
    step = torch.optim.SGD.step

    def exploding(self, *args):
        step(self, *args)
        steps.append(1)
        if len(steps) == 10:  # the last of epoch 2: no loss of that epoch sees it
            with torch.no_grad():
                self.param_groups[0]["params"][0].fill_(float("inf"))

    with monkeypatch.context() as patch:
        patch.setattr(torch.optim.SGD, "step", exploding)
        with pytest.raises(InputError, match=r"not finite after epoch 2"):
            started(data, recipe, tmp_path / "tiny")
    assert torch.load(tmp_path / "tiny" / "state.pt", weights_only=True)["epoch"] == 1


def test_progress_counts_images_and_shows_the_loss(data, recipe, tmp_path):
    class Listener:
        total = done = 0
        notes = ()

        def start(self, label, total):
            self.label, self.total = label, total

        def advance(self, units=1, note=""):
            self.done += units
            self.notes += (note,) if note else ()

    listener = Listener()
    started(data, recipe, tmp_path / "tiny", progress=listener)
    assert listener.done == listener.total == 3 * 96
    assert listener.notes[-1].startswith("epoch 3/3, loss ")


def test_a_recipe_trains_on_the_digits_of_the_catalogue(tmp_path):
    recipe = Recipe(
        dataset="digits",
        arch="small_cnn",
        standardisation="digits",
        augmentation="none",
        epochs=3,
    )
    card = train(recipe, tmp_path, data_root=tmp_path / "data", device="cpu", threads=1)
    assert card.name == "digits-small_cnn-ce-seed0"
    assert card.metrics["accuracy"] > 0.85
    assert card.model.channels == 1
    assert json.loads((tmp_path / card.name / "card.json").read_text())["format"] == 1


def test_an_unknown_dataset_is_refused(tmp_path):
    with pytest.raises(InputError, match="digit"):
        train(Recipe(dataset="digit", arch="small_cnn"), tmp_path, data_root=tmp_path)
