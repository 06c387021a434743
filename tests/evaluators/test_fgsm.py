"""FGSM in its three variants, against closed forms, a literal formula and torchattacks."""

import numpy as np
import pytest
import torch
import torchattacks

from sdd_eval.errors import InputError
from sdd_eval.evaluators.adversarial.fgsm import Fgsm, FgsmAttack
from sdd_eval.evaluators.adversarial.fgsm_attack import Attacker, Space, check_inside
from sdd_eval.records import ModelSpec

MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010)


@pytest.fixture
def pixels(images_of):
    return next(images_of(30).batches(30)).float() / 255


@pytest.fixture
def space():
    return Space(MEAN, STD, "cpu")


def attacked(model, pixels, labels, epsilons, space, variant="pixel"):
    """Return the images (sizes, n, …) of an attack, and which have a gradient of zero."""
    attack = FgsmAttack(variant, "stable", 1.0)
    attacker = Attacker(model, {attack: epsilons}, space, {1.0: 1.0})
    ((_, *images_and_zeros),) = attacker.attacked(pixels, labels)
    return images_and_zeros


def column(values):
    return torch.tensor(values).view(-1, 1, 1)


def predicted(arrays, variant, gradient="stable"):
    return arrays.where(variant=variant, gradient=gradient, temperature=1.0)["predicted"]


def test_on_a_linear_model_of_two_classes_the_step_is_along_the_sign_of_w_j_minus_w_y(
    linear_network, pixels, space
):
    torch.manual_seed(1)
    weight = torch.randn(2, 3 * 6 * 6)
    inner = pixels * 0.5 + 0.25  # away from the clip
    labels = torch.arange(30) % 2
    moved, no_gradient = attacked(linear_network(weight), inner, labels, [0.1], space)
    direction = (weight[1 - labels] - weight[labels]).sign().view(30, 3, 6, 6)
    torch.testing.assert_close(moved[0], inner + 0.1 * direction)
    assert not no_gradient.any()


def test_adversarial_images_of_an_unsaturated_network_equal_those_of_torchattacks(
    network, pixels, space
):
    model, labels = network(scale=0.2), torch.arange(30) % 4
    epsilons = (0.01, 0.05, 0.2)
    ours, _ = attacked(model, pixels, labels, epsilons, space)
    for measurements, epsilon in zip(ours, epsilons, strict=True):
        assert torch.equal(measurements, torchattacks.FGSM(model, eps=epsilon)(pixels, labels))


def test_the_standardised_variant_is_fgsm_in_that_space_clipped_to_the_pixel_range(
    network, pixels, space
):
    model, labels = network(scale=0.2), torch.arange(30) % 4
    (ours,), _ = attacked(model, pixels, labels, [0.2], space, "standardised")
    mean, std = column(MEAN), column(STD)
    standardised = ((pixels - mean) / std).requires_grad_()
    loss = torch.nn.functional.cross_entropy(model(standardised * std + mean), labels)
    (gradient,) = torch.autograd.grad(loss, standardised)
    stepped = standardised + 0.2 * gradient.sign()
    expected = torch.maximum(torch.minimum(stepped, (1 - mean) / std), -mean / std) * std + mean
    assert ((ours - expected).abs() < 1e-6).float().mean() > 0.999  # but for rounded zeros


def test_the_authors_variant_equals_the_formula_of_its_protocol(
    network, pixels, subject_of, images_of
):
    model, data = network(), images_of(30)
    arrays = Fgsm(variants=("authors",), curve=(0.05,)).collect(subject_of(model, data))
    mean, std = column(MEAN), column(STD)
    x = ((pixels - mean) / std).requires_grad_()
    logits = model(x * std + mean)
    (g,) = torch.autograd.grad(torch.nn.functional.cross_entropy(logits, logits.argmax(1)), x)
    x = x.detach()
    for index, epsilon in enumerate((0.2, 0.05)):
        stepped = torch.clip(x + epsilon * torch.sign(g), 0, 1)
        attacked = x + torch.clip(stepped - x, -epsilon, epsilon)
        expected = model(attacked * std + mean).argmax(dim=1).numpy()
        np.testing.assert_array_equal(
            predicted(arrays, "authors")[:, index], expected, str(epsilon)
        )
        if index == 0:
            np.testing.assert_array_equal(
                predicted(arrays, "authors", "float32")[:, index], expected
            )


def test_the_authors_step_moves_values_as_their_clip_in_standardised_space_does(space):
    values = column(MEAN) + column(STD) * torch.tensor([-1.0, 0.05, 0.5, 0.9, 2.0])
    measurements = space.step("authors", values[None], torch.ones(1, 3, 1, 5), [0.2])[0]
    steps = ((measurements - values) / column(STD))[0, :, 0]
    # Below 0 up, above 1 down, whatever the gradient; between, along it as far as 1.
    expected = torch.tensor([0.2, 0.2, 0.2, 0.1, -0.2]).expand(3, 5)
    torch.testing.assert_close(steps, expected, atol=1e-5, rtol=0)


def test_the_authors_step_moves_36_percent_of_normal_values_against_the_gradient(space):
    torch.manual_seed(0)
    values = 1.25 * torch.randn(1, 3, 200, 200)
    signs = torch.randint(0, 2, values.shape) * 2.0 - 1
    pixels = values * space.std + space.mean
    step = space.step("authors", pixels, signs, [0.2])[0] - pixels
    assert float((step.sign() == -signs).float().mean()) == pytest.approx(0.36, abs=0.01)


def test_a_scaled_network_is_attacked_as_well_as_the_unscaled_one(
    network, subject_of, images_of, value_of
):
    data = images_of(200)
    accuracies, zeros = {}, {}
    for scale in (1.0, 100.0):
        model = network(scale=scale)
        logits = model(next(data.batches(200)).float() / 255)
        labelled = type(data)(data.name, data.images, logits.argmax(1).numpy(), "f", "made here")
        evaluator = Fgsm(curve=())
        measurements = evaluator.score(evaluator.collect(subject_of(model, labelled)))
        for gradient in ("stable", "float32"):
            at = {"variant": "authors", "gradient": gradient, "temperature": 1.0}
            accuracies[gradient, scale] = value_of(measurements, "fgsm_accuracy", **at)
            zeros[gradient, scale] = value_of(measurements, "fgsm_zero_gradients", **at)
    assert zeros["stable", 1.0] == zeros["stable", 100.0] == 0
    assert zeros["float32", 100.0] > 60
    assert accuracies["stable", 100.0] <= accuracies["stable", 1.0] + 0.05
    assert accuracies["float32", 100.0] > accuracies["stable", 100.0]


def test_every_variant_reports_its_controls_and_its_temperature_scaled_attack(
    network, subject_of, images_of
):
    evaluator = Fgsm(curve=(0.05, 0.2))
    measurements = evaluator.score(evaluator.collect(subject_of(network(), images_of(40))))
    names = [(measurement.metric, measurement.at["variant"]) for measurement in measurements]
    for variant, gradients in (("authors", 2), ("standardised", 1), ("pixel", 1)):
        assert names.count(("fgsm_right_before", variant)) == 1
        assert names.count(("fgsm_random_sign_accuracy", variant)) == 1
        assert names.count(("fgsm_flipped_to_right", variant)) == 2 * gradients
        assert names.count(("fgsm_zero_gradients", variant)) == 2 * gradients
    accuracies = [
        measurement.at for measurement in measurements if measurement.metric == "fgsm_accuracy"
    ]
    plain = [dict(at) for at in accuracies if at["temperature"] == 1.0]
    fitted = [{**at, "temperature": 1.0} for at in accuracies if at["temperature"] == "fitted"]
    assert plain == fitted
    assert len(plain) == 2 + 1 + 2 + 2
    assert measurements[0].at["variant"] == "authors"


def test_accuracy_after_the_attack_includes_images_that_become_correct(
    network, subject_of, images_of, value_of
):
    evaluator = Fgsm(curve=(), variants=("authors",))
    arrays = evaluator.collect(subject_of(network(), images_of(200)))
    measurements = evaluator.score(arrays)
    at = {"gradient": "stable", "temperature": 1.0}
    labels, before = arrays["labels"], arrays["predicted"]
    after = predicted(arrays, "authors")[:, 0]
    lost = ((before == labels) & (after != labels)).mean()
    right_after = value_of(measurements, "fgsm_accuracy", **at)
    flipped = value_of(measurements, "fgsm_flipped_to_right", **at)
    assert flipped > 0
    assert right_after == pytest.approx(
        value_of(measurements, "fgsm_right_before") - lost + flipped, abs=1e-12
    )


def test_a_step_of_zero_changes_no_prediction(network, subject_of, images_of):
    arrays = Fgsm(epsilon=0.0, curve=()).collect(subject_of(network(), images_of(40)))
    for entry in arrays.entries:
        if entry.name == "predicted":
            np.testing.assert_array_equal(entry.read().reshape(-1), arrays["predicted"], entry.at)


def test_results_do_not_depend_on_the_batch_size(network, subject_of, images_of, contents):
    data = images_of(40)
    whole = Fgsm().collect(subject_of(network(), data, batch_size=64))
    parts = Fgsm().collect(subject_of(network(), data, batch_size=7))
    assert list(contents(whole)) == list(contents(parts))
    for name, values in contents(whole).items():
        assert (values == contents(parts)[name]).mean() > 0.99, name
    random = [item.where(variant="pixel", gradient="random") for item in (whole, parts)]
    np.testing.assert_array_equal(*(item["predicted"] for item in random))


def test_classes_are_stored_in_the_smallest_sufficient_type(network, subject_of, images_of):
    for classes, kind in ((4, np.uint8), (300, np.uint16)):
        subject = subject_of(network(classes), images_of(5, classes), classes=classes)
        arrays = Fgsm(curve=()).collect(subject)
        assert predicted(arrays, "pixel").dtype == kind
        assert {len(entry.read()) for entry in arrays.entries} == {5}


def test_grey_images_use_their_own_constants_as_the_protocol_states(network, subject_of, images_of):
    subject = subject_of(network(channels=1), images_of(20, channels=1))
    arrays = Fgsm().collect(subject)
    assert (arrays.facts["mean"], arrays.facts["std"]) == ([0.5], [0.25])
    for item in Fgsm().score(arrays):
        if item.at["variant"] != "pixel":
            assert item.at["constants"] == "own"
            if "step" in item.protocol.text:
                assert "constants: own" in item.protocol.text


def test_the_papers_constants_are_used_for_every_network(network, subject_of, images_of):
    data = images_of(10)
    arrays = Fgsm().collect(subject_of(network(), data))
    assert (arrays.facts["mean"], arrays.facts["std"]) == (list(MEAN), list(STD))
    own = Fgsm(constants="own")
    arrays = own.collect(subject_of(network(), data))
    assert (arrays.facts["mean"], arrays.facts["std"]) == ([0.5] * 3, [0.25] * 3)
    assert {item.at.get("constants", "own") for item in own.score(arrays)} == {"own"}
    large = ModelSpec("tiny", 4, (0.5,) * 3, (0.25,) * 3, 224)
    assert Fgsm()._constants(large) == ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def test_every_number_names_space_norm_size_clip_labels_gradient_and_temperature(
    network, subject_of, images_of
):
    measurements = Fgsm().score(Fgsm().collect(subject_of(network(), images_of(10))))
    (one,) = [
        measurement
        for measurement in measurements
        if measurement.metric == "fgsm_accuracy"
        and measurement.at["gradient"] == "float32"
        and measurement.at["temperature"] == "fitted"
    ]
    for words in (
        *("L∞", "ε = 0.2", "standardised space", "constants: paper", "0.04046", "clipped to"),
        *("own predictions", "float32", "fitted by NLL", "true labels"),
    ):
        assert words in one.protocol.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epsilon": -0.1}, "--epsilon is -0.1; it must be 0 or more"),
        ({"curve": (0.1, -1.0)}, "--curve has ε = -1"),
        ({"epsilon": float("nan")}, "--epsilon is nan; it must be finite and 0 or more"),
        ({"variants": ()}, "--variants is empty"),
        ({"variants": ("pixels",)}, "did you mean 'pixel'"),
        ({"constants": "owns"}, "did you mean 'own'"),
    ],
)
def test_invalid_settings_are_refused(settings, message, network, subject_of, images_of):
    with pytest.raises(InputError, match=message):
        Fgsm(**settings).collect(subject_of(network(), images_of(5)))


def test_a_network_that_gives_nan_is_refused(network, subject_of, images_of):
    model = network()
    model.body[-1].bias.data[0] = float("nan")
    with pytest.raises(InputError, match="5 of 20 logits are NaN"):
        Fgsm().collect(subject_of(model, images_of(5)))


@pytest.mark.parametrize("variant", ["authors", "standardised", "pixel"])
def test_an_attack_outside_its_ball_or_the_pixel_range_is_an_error(variant, pixels, space):
    honest = space.step(variant, pixels, torch.ones_like(pixels), [0.2])
    check_inside(variant, space.outside(variant, pixels, honest, [0.2]).numpy())
    beyond = pixels + 1.1 * space.sizes(variant, [0.2])
    for moved in (beyond, honest * torch.nan):
        one = torch.cat([moved[:, :1], honest[:, 1:]], dim=1)
        outside = space.outside(variant, pixels, one, [0.2])
        assert outside[0] > 0
        assert not outside[1:].any()
        with pytest.raises(RuntimeError, match=f"the {variant} attack left its box or ball"):
            check_inside(variant, outside.numpy())


def test_an_evaluation_with_an_attack_outside_its_ball_is_refused(
    network, images_of, subject_of, monkeypatch
):
    monkeypatch.setattr(Space, "step", lambda self, variant, pixels, *_: (pixels + 2)[None])
    with pytest.raises(RuntimeError, match="the authors attack left its box or ball"):
        Fgsm().collect(subject_of(network(), images_of(10)))


def test_progress_counts_clean_and_attacked_images(network, subject_of, images_of, listener):
    Fgsm().collect(subject_of(network(), images_of(20), batch_size=8, progress=listener))
    assert listener.pieces == [["clean images", 20, 20], ["attacked images", 20, 20]]


def test_the_network_stays_in_eval_mode_and_is_freed_afterwards(network, subject_of, images_of):
    import gc
    import weakref

    model = network()
    Fgsm().collect(subject_of(model, images_of(5)))
    assert not any(module.training for module in model.modules())
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
