"""Further augmentation, Mixup and CutMix, accumulated gradients, and starts from checkpoints."""

import dataclasses

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from sdd_eval import plugins
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.records import ModelSpec, Recipe
from sdd_eval.training.data.augmentation import augment_further
from sdd_eval.training.data.batches import AugmentedViews, epoch_batches, training_set
from sdd_eval.training.data.mixing import mixed_batches
from sdd_eval.training.distributed.processes import Processes
from sdd_eval.training.methods.ce import CrossEntropy
from sdd_eval.training.methods.distillation_losses import cross_entropy, nll
from sdd_eval.training.methods.method import Batch, Step
from sdd_eval.training.optimiser import plan_epoch
from sdd_eval.training.recipe import method_of, validated
from sdd_eval.training.train import train

AUGMENTED = {"auto_augment": "rand_augment", "random_erasing": 0.5}
#: Methods that learn from class probabilities.
MIXING = ("ce", "ls", "byot", "dml", "dropout", "r_drop", "confidence_penalty")


def trained(recipe, data, folder, **options):
    return train(
        recipe, folder.parent, name=folder.name, data=lambda: data,
        device="cpu", threads=1, **options,
    )  # fmt: skip


def weights(folder):
    return load_file(folder / "weights.safetensors")


class Interrupter:
    """Progress that is interrupted in the third epoch."""

    epochs = 0

    def start(self, label, total):
        pass

    def advance(self, units=1, note=""):
        if self.epochs == 2:
            raise KeyboardInterrupt
        self.epochs += bool(note)


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_augment": "rand_augment", "random_erasing": 0.5, "augmentation": "crop"},
        {"auto_augment": "trivial_augment", "mixup": 0.2, "cutmix": 1.0},
        {"accumulate": 2, "schedule": "cosine", "ema_decay": 0.5},
    ],
)
def test_a_training_resumed_after_an_epoch_ends_in_the_same_weights(
    settings, recipe, data, tmp_path
):
    recipe = dataclasses.replace(recipe, **settings)
    trained(recipe, data, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        trained(recipe, data, tmp_path / "resumed", progress=Interrupter())
    assert (tmp_path / "resumed" / "state.pt").exists()
    trained(recipe, data, tmp_path / "resumed")
    one, other = (tmp_path / name / "weights.safetensors" for name in ("whole", "resumed"))
    assert one.read_bytes() == other.read_bytes()


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("policy", ["rand_augment", "trivial_augment", "none"])
def test_each_image_is_augmented_by_its_own_seed_and_no_other_random_state(policy, channels):
    recipe = Recipe(auto_augment=policy, random_erasing=0.5)
    image = torch.randint(256, (channels, 16, 16), dtype=torch.uint8)
    before = torch.get_rng_state()
    results = [augment_further(image, recipe, seed) for seed in (*range(40), 7)]
    assert torch.equal(torch.get_rng_state(), before)
    assert all(one.shape == image.shape and one.dtype == torch.uint8 for one in results)
    assert torch.equal(results[-1], results[7])
    assert len({one.numpy().tobytes() for one in results}) > 15


def test_random_erasing_blackens_rectangles_with_its_probability():
    image = torch.full((1, 32, 32), 255, dtype=torch.uint8)
    recipe = Recipe(random_erasing=0.25)
    shares = [(augment_further(image, recipe, seed) == 0).float().mean() for seed in range(400)]
    erased = [float(share) for share in shares if share > 0]
    assert 0.15 < len(erased) / 400 < 0.35
    assert min(erased) > 0.01
    assert max(erased) < 0.36


def test_processes_augment_their_rows_as_a_single_process(data):
    recipe = Recipe(batch_size=21, augmentation="crop", **AUGMENTED)
    images = training_set(data.train, torch.device("cpu"))
    whole = list(epoch_batches(images, recipe, CrossEntropy(), 0))
    parts = [
        list(epoch_batches(images, recipe, CrossEntropy(), 0, Processes("cpu", rank, 2).rows))
        for rank in range(2)
    ]
    for batch, *shares in zip(whole, *parts, strict=True):
        assert torch.equal(torch.cat([share.pixels for share in shares]), batch.pixels)
        assert torch.equal(torch.cat([share.indices for share in shares]), batch.indices)


def test_indices_are_those_of_the_images_in_the_training_set(data):
    images = training_set(data.train, torch.device("cpu"))
    recipe = Recipe(batch_size=21, augmentation="none")
    for batch in epoch_batches(images, recipe, CrossEntropy(), 3):
        rows = batch.indices.numpy()
        assert np.array_equal(data.train.labels[rows], batch.labels.numpy())
        assert np.allclose(data.train.images[rows] / 255, batch.pixels.numpy(), atol=1e-6)
        assert batch.epoch == 3


def test_streamed_images_are_augmented_further(data):
    plain = Recipe(augmentation="none")
    augmented = dataclasses.replace(plain, **AUGMENTED)
    one, other = (
        AugmentedViews(data.train, recipe, 0, 1)[[(row, None) for row in range(20)]]
        for recipe in (plain, augmented)
    )
    assert one.shape == other.shape
    assert sum(not torch.equal(a, b) for a, b in zip(one[0], other[0], strict=True)) > 10


@pytest.fixture
def batch():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.rand(6, 1, 8, 8, generator=generator)
    return Batch((pixels,), torch.arange(6) % 3)


def mixed(batch, **settings):
    (result,) = mixed_batches(iter([batch]), Recipe(**settings), 3)
    return result


def test_mixup_mixes_images_and_labels_by_the_same_weight(batch):
    result = mixed(batch, mixup=1.0)
    weight = float(result.probabilities[0].max())
    hard = torch.nn.functional.one_hot(batch.labels, 3).float()
    candidates = [w * hard + (1 - w) * hard.roll(1, 0) for w in (weight, 1 - weight)]
    (share,) = (
        w for w, c in zip((weight, 1 - weight), candidates, strict=True)
        if torch.allclose(c, result.probabilities)
    )  # fmt: skip
    expected = share * batch.pixels + (1 - share) * batch.pixels.roll(1, 0)
    assert torch.allclose(result.pixels, expected)
    assert torch.equal(result.labels, batch.labels)


def test_cutmix_takes_each_pixel_from_one_of_two_images_in_the_share_of_the_labels(batch):
    result = mixed(batch, cutmix=1.0)
    from_other = (result.pixels != batch.pixels).any(dim=1)
    assert torch.equal(
        torch.where(from_other[:, None], batch.pixels.roll(1, 0), batch.pixels), result.pixels
    )
    share = from_other[0].float().mean()
    own = result.probabilities[torch.arange(6), batch.labels]
    assert torch.allclose(1 - own, share.expand(6), atol=1e-6)


def test_with_both_each_batch_has_one_of_them(batch):
    batches = mixed_batches(iter([batch] * 40), Recipe(mixup=1.0, cutmix=1.0), 3)
    cut = [bool(((one.pixels == batch.pixels) | (one.pixels == batch.pixels.roll(1, 0))).all())
           for one in batches]  # fmt: skip
    assert 8 < sum(cut) < 32


def test_without_mixing_the_batches_are_the_same_objects(batch):
    (result,) = mixed_batches(iter([batch]), Recipe(), 3)
    assert result is batch
    assert result.targets is batch.labels


@pytest.mark.parametrize("name", MIXING)
def test_the_loss_of_hard_probabilities_is_that_of_the_labels(name, batch):
    spec = ModelSpec("small_cnn", 3, (0.4,), (0.25,), 8)
    method = method_of(Recipe(method=name))
    network = build(spec).train()
    parts = method.parts(network)
    losses = []
    for probabilities in (None, torch.nn.functional.one_hot(batch.labels, 3).float()):
        given = dataclasses.replace(batch, probabilities=probabilities)
        step = Step(network, parts, given, torch.Generator().manual_seed(1))
        losses.append(method.losses(step).total.item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)


def test_methods_that_do_not_take_probabilities_are_refused_with_the_reason():
    for name in set(plugins.names("methods")) - set(MIXING):
        with pytest.raises(InputError, match=r"mixup: method .*; choose one of .*ce"):
            validated(Recipe(method=name, mixup=0.2))
    with pytest.raises(InputError, match="a mixed image has two classes"):
        validated(Recipe(method="cs_kd", mixup=0.2, cutmix=1.0))
    for name in MIXING:
        assert validated(Recipe(method=name, cutmix=1.0))


def test_mixing_in_several_processes_is_refused_with_the_reason():
    with pytest.raises(InputError, match=r"of which each of 2 processes has a part"):
        Processes("cpu", 1, 2).check_count(Recipe(mixup=0.2))


def test_log_likelihoods_of_labels_and_of_probabilities_agree():
    log_p = torch.randn(5, 4).log_softmax(dim=1)
    labels = torch.tensor([0, 3, 2, 1, 1])
    hard = torch.nn.functional.one_hot(labels, 4).float()
    assert nll(log_p, labels).item() == pytest.approx(nll(log_p, hard).item(), rel=1e-6)
    assert nll(log_p, hard).item() == pytest.approx(cross_entropy(log_p, hard).item(), rel=1e-6)


def test_the_plan_of_an_epoch_has_shares_of_images_and_a_rate_at_each_update():
    plan = plan_epoch(Recipe(batch_size=4, accumulate=2, lr=0.1), 0, 18)
    assert [p.rate for p in plan] == [None, 0.1, None, 0.1, 0.1]
    assert [p.share for p in plan] == [0.5, 0.5, 0.5, 0.5, 1.0]
    plan = plan_epoch(Recipe(batch_size=4, accumulate=3, lr=0.1), 0, 18)
    assert [p.share for p in plan[3:]] == pytest.approx([4 / 6, 2 / 6])


def test_accumulated_batches_train_as_one_batch_of_all_their_images(data, recipe, tmp_path):
    """Of a network without batch norm, whose statistics would be those of the parts."""
    code = tmp_path / "plain.py"
    code.write_text(
        "from torch import nn\n"
        "def net(classes, **options):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), "
        "nn.Linear(16, classes))\n"
    )
    shared = dataclasses.replace(
        recipe, arch=f"{code}:net", sd_dropout=0.0, augmentation="none", clip_norm=1.0
    )
    for name, size, accumulate in (("one", 40, 1), ("parts", 10, 4)):
        changed = dataclasses.replace(shared, batch_size=size, accumulate=accumulate)
        trained(changed, data, tmp_path / name, trust_code=True)
    for name, tensor in weights(tmp_path / "one").items():
        torch.testing.assert_close(weights(tmp_path / "parts")[name], tensor, rtol=1e-4, atol=1e-5)


def with_classes(data, classes):
    parts = {
        part: ArrayImages("other", images.images, images.labels % classes, images.fingerprint, "")
        for part, images in (("train", data.train), ("test", data.test))
    }
    return dataclasses.replace(data, **parts)


def test_a_training_starts_from_the_weights_of_another_checkpoint(recipe, data, tmp_path):
    first = trained(recipe, data, tmp_path / "first")
    further = dataclasses.replace(recipe, start_from="first", epochs=1, lr=1e-9, weight_decay=0.0)
    card = trained(further, data, tmp_path / "second")
    assert card.recipe.start_from == "first"
    assert card.recipe.start_sha256 == first.weights_sha256
    for name, tensor in weights(tmp_path / "first").items():
        if "running" not in name and "tracked" not in name:
            torch.testing.assert_close(
                weights(tmp_path / "second")[name], tensor, atol=1e-6, rtol=0
            )
    assert trained(further, data, tmp_path / "second") == card


def test_a_head_of_other_classes_keeps_its_initial_weights(recipe, data, tmp_path):
    trained(recipe, data, tmp_path / "first")
    further = dataclasses.replace(
        recipe, start_from=str(tmp_path / "first"), epochs=1, lr=1e-9, weight_decay=0.0
    )
    trained(further, with_classes(data, 2), tmp_path / "second")
    one, two = weights(tmp_path / "first"), weights(tmp_path / "second")
    assert len(two["classifier.weight"]) == 2
    name = next(name for name in one if name.startswith("backbone") and one[name].ndim == 4)
    torch.testing.assert_close(one[name], two[name], atol=1e-6, rtol=0)


def test_a_start_from_other_weights_of_that_name_is_another_recipe(recipe, data, tmp_path):
    trained(recipe, data, tmp_path / "first")
    further = dataclasses.replace(recipe, start_from="first", epochs=1)
    trained(further, data, tmp_path / "second")
    trained(dataclasses.replace(recipe, seed=1), data, tmp_path / "first", overwrite=True)
    with pytest.raises(InputError, match="another recipe: start_sha256 is"):
        trained(further, data, tmp_path / "second")


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"start_from": "absent"}, "unknown checkpoint 'absent'"),
        ({"start_from": "first", "arch": "resnet8"}, "first is a small_cnn, and arch is resnet8"),
        ({"augment_operations": 3}, "augment_operations is for auto_augment rand_augment"),
        ({"augment_magnitude": 31, "auto_augment": "rand_augment"}, "defines 31 strengths"),
        ({"random_erasing": 1.5}, "random_erasing is 1.5"),
        ({"accumulate": 0}, "accumulate is 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(settings, message, recipe, data, tmp_path):
    trained(dataclasses.replace(recipe, epochs=1), data, tmp_path / "first")
    with pytest.raises(InputError, match=message):
        trained(dataclasses.replace(recipe, **settings), data, tmp_path / "second")
    assert not (tmp_path / "second").exists()
