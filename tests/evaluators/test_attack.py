"""Attacks of torchattacks by name: closed forms, saturation, the path, the ball, randomness."""

from functools import partial

import numpy as np
import pytest
import torch
import torchattacks

from sdd_eval.arrays import Array, Arrays
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.attack_run import attack_seed, under_attack
from sdd_eval.evaluators.adversarial.threat import Threat, names, threat_of
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import (
    AttackedNetwork,
    Part,
    check_predictions,
    parts_of,
    seeded,
    worst_case,
)
from sdd_eval.evaluators.gradients import LossGradient, margin_gradient


@pytest.fixture
def linear(linear_network):
    """Return a linear network of two classes, and images labelled by its predictions."""
    torch.manual_seed(3)
    weight = torch.randn(2, 3 * 6 * 6)
    pixels = np.random.default_rng(0).integers(80, 176, (60, 3, 6, 6), dtype=np.uint8)
    model = linear_network(weight)
    with torch.no_grad():
        logits = model(torch.from_numpy(pixels).float() / 255)
    labels = logits.argmax(dim=1).numpy()
    margins = (logits.max(1).values - logits.min(1).values) / (weight[0] - weight[1]).abs().sum()
    return model, ArrayImages("inner", pixels, labels, "inner", "made here"), margins.numpy()


def survivors(evaluator, subject, temperature=1.0):
    return evaluator.collect(subject).where(temperature=temperature)["survives"]


@pytest.mark.parametrize("algorithm", ["FGSM", "PGD", "BIM", "APGD", "MIFGSM"])
def test_robust_accuracy_of_a_linear_network_equals_the_closed_form(algorithm, linear, subject_of):
    model, data, margins = linear
    epsilon = float(np.sort(margins)[20:22].mean())  # between two images' distances
    steps = None if algorithm == "FGSM" else 40
    result = survivors(Attack(algorithm, epsilon, steps), subject_of(model, data, classes=2))
    np.testing.assert_array_equal(result, margins > epsilon)


def test_misclassified_clean_images_are_not_attacked_and_not_counted(linear, subject_of):
    model, data, _ = linear
    flipped = data.labels.copy()
    flipped[:10] = 1 - flipped[:10]
    wrong = ArrayImages("wrong", data.images, flipped, "wrong", "made here")
    arrays = Attack("FGSM", eps=1e-6).collect(subject_of(model, wrong, classes=2))
    arrays = arrays.where(temperature=1.0)
    np.testing.assert_array_equal(arrays["survives"], np.arange(60) >= 10)
    assert not arrays["change"][:10].any()
    assert arrays["change"][10:].all()


def test_a_scaled_network_is_attacked_as_well_as_the_unscaled_one(network, subject_of, images_of):
    data, result, plain = images_of(100), {}, {}
    for scale in (1.0, 100.0):
        model = network(scale=scale)
        pixels = next(data.batches(100)).float() / 255
        labels = model(pixels).argmax(1)
        labelled = ArrayImages("own", data.images, labels.numpy(), "own", "made here")
        evaluator = Attack("BIM", eps="4/255", alpha="1/255")
        arrays = evaluator.collect(subject_of(model, labelled))
        assert arrays.facts["cross_entropy"]
        assert not arrays.where(gradient="stable", temperature=1.0)["zero_gradient"].any()
        result[scale] = arrays.where(temperature=1.0)["survives"].mean()
        attacked = torchattacks.BIM(model, eps=4 / 255, alpha=1 / 255)(pixels, labels)
        plain[scale] = float((model(attacked).argmax(1) == labels).float().mean())
    zeros = arrays.where(gradient="float32", temperature=1.0)["zero_gradient"]
    assert zeros.sum() > 20
    assert result[100.0] <= result[1.0] + 0.03
    assert plain[100.0] > result[100.0] + 0.05  # torchattacks as it is believes the network robust


def test_the_scaled_variant_attacks_logits_divided_by_the_fitted_temperature(
    network, subject_of, images_of
):
    model, data = network(scale=3.0), images_of(60)
    arrays = Attack("PGD", eps="2/255").collect(subject_of(model, data))
    fitted = arrays.facts["temperature"]
    divided = AttackedNetwork(model, "cpu", fitted)
    again = Attack("PGD", eps="2/255").collect(subject_of(divided, data))
    survives = arrays.where(temperature="fitted")["survives"]
    np.testing.assert_array_equal(survives, again.where(temperature=1.0)["survives"])


def test_an_attack_sees_logits_divided_by_the_temperature(network):
    model, pixels = network(), torch.rand(3, 3, 6, 6)
    torch.testing.assert_close(AttackedNetwork(model, "cpu", 4.0)(pixels), model(pixels) / 4)


def test_an_attack_without_gradients_has_no_scaled_variant(
    network, subject_of, images_of, value_of
):
    evaluator = Attack("Square", parameters=("n_queries=30",))
    arrays = evaluator.collect(subject_of(network(), images_of(20)))
    assert arrays.coordinates("temperature") == [1.0]
    result = evaluator.score(arrays)
    assert (
        value_of(result, "attack_accuracy", temperature=1.0)
        == arrays.where(temperature=1.0)["survives"].mean()
    )
    assert not any(item.at.get("temperature") == "fitted" for item in result)


QUICK = {
    "Square": ["n_queries=20"],
    "OnePixel": ["steps=2", "popsize=4"],
    "Pixle": ["restarts=2", "max_iterations=2"],
    "EADL1": ["max_iterations=10", "binary_search_steps=2"],
    "EADEN": ["max_iterations=10", "binary_search_steps=2"],
    "SPSA": ["nb_sample=8"],
    "DeepFool": ["steps=5"],
    "SparseFool": ["steps=2"],
    "VMIFGSM": ["steps=3"],
    "VNIFGSM": ["steps=3"],
}


@pytest.mark.filterwarnings("ignore:__array__ implementation")
@pytest.mark.parametrize("name", [name for name in names() if name != "AutoAttack"])
def test_every_named_attack_stays_inside_its_ball_and_the_pixel_range(
    name, network, subject_of, images_of
):
    threat = threat_of(name, {}, QUICK.get(name, []), classes=10)
    subject = subject_of(network(10), images_of(4, 10), classes=10)
    result = Arrays([Array("right", np.arange(4) > 0)], temperature=2.0)
    with torch.no_grad():
        logits = subject.model(next(subject.pixels())).numpy()
    results = under_attack(subject, threat, logits, result).where(temperature=1.0)
    assert not results["survives"][0]
    if threat.norm == "Linf":
        assert results["change"].max() <= threat.epsilon + 1e-6


def test_global_random_states_are_restored_and_the_seed_determines_the_attack(
    network, subject_of, images_of
):
    model, data = network(), images_of(30)
    before = torch.get_rng_state(), np.random.get_state()[1].copy()
    threat = threat_of("PGD", {"eps": "8/255", "steps": 1}, classes=4)
    pixels, labels = next(data.batches(30)).float() / 255, torch.from_numpy(data.labels)

    def moved(seed, batch=0):
        path = AttackedNetwork(model, "cpu")
        (part,) = parts_of(threat, path, 4, partial(attack_seed, seed, batch), LossGradient())
        return part.run(pixels, labels)

    assert torch.equal(moved(0), moved(0))
    assert not torch.equal(moved(0), moved(1))
    assert not torch.equal(moved(0), moved(0, batch=1))
    assert torch.equal(torch.get_rng_state(), before[0])
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])
    with pytest.raises(ValueError, match="stop"), seeded(1, "cpu"):
        raise ValueError("stop")
    np.testing.assert_array_equal(np.random.get_state()[1], before[1])


def test_restarts_attack_the_remaining_images_from_other_starting_points(
    network, subject_of, images_of
):
    threat = threat_of("PGD", {"steps": 1}, restarts=3, classes=4)
    path, seed_of = AttackedNetwork(network(), "cpu"), partial(attack_seed, 0, 0)
    parts = parts_of(threat, path, 4, seed_of, LossGradient())
    pixels, labels = torch.rand(5, 3, 6, 6), torch.zeros(5, dtype=torch.long)
    first, second, third = (part.run(pixels, labels) for part in parts)
    assert not torch.equal(first, second)
    assert not torch.equal(second, third)


class Constant(torch.nn.Module):
    """A network that predicts class 0 until the pixels reach a threshold."""

    def forward(self, pixels):
        last = pixels.flatten(1).amax(dim=1)
        return torch.stack([torch.full_like(last, 0.5), last], dim=1)


def adding(amount, epsilon=1.0, seen=None):
    def run(pixels, labels):
        if seen is not None:
            seen.append(len(pixels))
        return pixels + amount

    return Part(Threat("adding", "Linf", {"eps": epsilon}), run)


def test_each_attack_of_the_ensemble_gets_only_the_images_still_classified_correctly():
    pixels = torch.tensor([0.45, 0.35, 0.1, 0.45]).view(4, 1, 1, 1).expand(4, 1, 2, 2)
    labels, right = torch.zeros(4, dtype=torch.long), torch.tensor([True, True, True, False])
    seen = []
    parts = [adding(amount, seen=seen) for amount in (0.1, 0.2, 0.2)]
    outcome = worst_case(Constant(), parts, pixels, labels, right)
    assert seen == [3, 2, 1]
    assert outcome["survives"].tolist() == [False, False, True, False]
    assert outcome["broken_by"].tolist() == [1, 2, 0, 0]
    torch.testing.assert_close(outcome["change"], torch.tensor([0.1, 0.2, 0.2, 0.0]))
    seen.clear()
    worst_case(Constant(), [adding(0.5, seen=seen)] * 2, pixels, labels, right)
    assert seen == [3]


@pytest.mark.parametrize(("amount", "epsilon"), [(0.2, 0.1), (0.8, 1.0), (-0.5, 1.0)])
def test_an_attack_outside_its_ball_or_the_pixel_range_is_an_error(amount, epsilon):
    pixels, labels = torch.full((2, 1, 2, 2), 0.4), torch.zeros(2, dtype=torch.long)
    with pytest.raises(RuntimeError, match="2 images attacked by adding are outside their ball"):
        worst_case(Constant(), [adding(amount, epsilon)], pixels, labels, labels == 0)


def test_the_ball_of_an_l2_attack_is_an_l2_ball():
    pixels, labels = torch.full((1, 1, 2, 2), 0.4), torch.zeros(1, dtype=torch.long)
    parts = [Part(Threat("l2", "L2", {"eps": 0.1}), lambda pixels, labels: pixels + 0.049)]
    worst_case(Constant(), parts, pixels, labels, labels == 0)
    parts = [Part(Threat("l2", "L2", {"eps": 0.1}), lambda pixels, labels: pixels + 0.051)]
    with pytest.raises(RuntimeError, match="outside their ball or"):
        worst_case(Constant(), parts, pixels, labels, labels == 0)


def test_pixels_that_an_attack_sets_to_nan_keep_their_original_values():
    pixels, labels = torch.full((1, 1, 2, 2), 0.4), torch.zeros(1, dtype=torch.long)
    outcome = worst_case(Constant(), [adding(torch.nan)], pixels, labels, labels == 0)
    assert outcome["survives"].all()
    assert not outcome["change"].any()


class Divided(torch.nn.Module):
    """A network with other logits if a gradient is requested."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        logits = self.model(pixels)
        return -logits if pixels.requires_grad else logits


def test_different_predictions_in_the_attack_are_an_error(network, subject_of, images_of):
    with pytest.raises(RuntimeError, match="20 of 20 predictions of the attacked network"):
        Attack("FGSM").collect(subject_of(Divided(network()), images_of(20)))


def test_predictions_that_differ_within_a_rounding_error_are_counted():
    plain = np.array([[1.0, 1.00005, 0.0], [0.0, 1.0, 2.0]])
    path = np.array([[1.00005, 1.0, 0.0], [0.0, 1.0, 2.0]])
    assert check_predictions(path, plain).tolist() == [True, False]
    with pytest.raises(RuntimeError, match="1 of 2 predictions"):
        check_predictions(path, plain * 3)


def test_the_gradient_of_the_margin_equals_that_of_autograd():
    torch.manual_seed(0)
    logits = torch.randn(7, 5, requires_grad=True)
    labels = torch.arange(7) % 5
    others = logits.masked_fill(torch.nn.functional.one_hot(labels, 5).bool(), -torch.inf)
    margin = others.max(dim=1).values - logits[torch.arange(7), labels]
    (expected,) = torch.autograd.grad(margin.sum(), logits)
    assert torch.equal(margin_gradient(logits.detach(), labels), expected)


def test_every_number_names_its_threat_model(network, subject_of, images_of, value_of):
    evaluator = Attack("PGD", eps="8/255", steps=3, restarts=2, parameters=("random_start=false",))
    arrays = evaluator.collect(subject_of(network(), images_of(10)))
    result = evaluator.score(arrays)
    at = {"attack": "PGD", "norm": "Linf", "epsilon": 8 / 255, "steps": 3, "restarts": 2}
    (one,) = [
        item
        for item in result
        if item.metric == "attack_accuracy" and "fitted" in item.protocol.text
    ]
    assert at.items() <= dict(one.at).items()
    assert one.at["parameters"] == "alpha=0.00784314 random_start=False"
    for words in (
        *("L∞", "8/255", "per channel 0.03137 0.03137 0.03137", "2 restarts", "steps = 3"),
        *("true labels", "clipped to [0, 1]", "without 1 − p", "T, fitted", "seeds derived"),
    ):
        assert words in one.protocol.text
    assert one.fitted == {"T": f"{arrays.facts['temperature']:.4g}"}
    assert value_of(result, "attack_right_before") == arrays["right"].mean()
    assert {item.metric for item in result} == {
        *("attack_right_before", "attack_accuracy", "attack_largest_change"),
        *("attack_zero_gradients", "attack_path_ties"),
    }


def test_the_protocol_of_an_attack_names_its_own_loss(network, subject_of, images_of):
    evaluator = Attack("APGD", parameters=("loss=dlr",), steps=2)
    result = evaluator.score(evaluator.collect(subject_of(network(), images_of(10))))
    assert "the attack's own loss" in result[1].protocol.text


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "PDG"}, "unknown attack 'PDG'; did you mean 'PGD'"),
        ({"algorithm": "MultiAttack"}, "wraps other attacks"),
        ({"parameters": ("decya=1",), "algorithm": "MIFGSM"}, "did you mean 'decay'"),
        ({"parameters": ("decay",), "algorithm": "MIFGSM"}, "'decay', which is not KEY=VALUE"),
        ({"parameters": ("random_start=perhaps",)}, "'perhaps', not true or false"),
        ({"parameters": ("eps=1/255",), "eps": "2/255"}, "eps is given twice"),
        ({"parameters": ("norm=L3",), "algorithm": "APGD"}, "'L3', not one of Linf, L2"),
        ({"parameters": ("loss=margin",), "algorithm": "APGD"}, "'margin', not one of ce, dlr"),
        ({"parameters": ("x_dimensions=a,b",), "algorithm": "Pixle"}, "'a', not an integer"),
        ({"parameters": ("model=x",)}, "unknown parameter of PGD 'model'"),
        ({"eps": "8/0"}, "eps is '8/0', not a number or a fraction such as 8/255"),
        ({"eps": 8}, "eps is 8 in pixels of .0, 1.; do you mean 8/255"),
        ({"eps": -0.1}, "eps is -0.1; it must be 0 or more"),
        ({"eps": "nan"}, "eps is 'nan'; it must be finite"),
        ({"steps": 0}, "steps is 0; it must be 1 or more"),
        ({"algorithm": "SPSA", "parameters": ("nb_sample=0",)}, "nb_sample is 0; it must be 1 or"),
        ({"algorithm": "VMIFGSM", "parameters": ("N=0",)}, "N is 0; it must be 1 or more"),
        ({"steps": 5, "algorithm": "FGSM"}, "unknown parameter of FGSM 'steps'"),
        ({"restarts": 0}, "--restarts is 0"),
        ({"restarts": 2, "algorithm": "AutoAttack"}, "AutoAttack's standard version has 1"),
        ({"steps": 10, "algorithm": "AutoAttack"}, "unknown parameter of AutoAttack 'steps'"),
        ({"parameters": ("n_classes=9",), "algorithm": "FAB"}, "n_classes is 9; the network has 4"),
    ],
)
def test_invalid_settings_are_refused(settings, message, network, subject_of, images_of):
    with pytest.raises(InputError, match=message):
        Attack(**settings).collect(subject_of(network(), images_of(5)))


def test_losses_of_four_logits_need_four_classes(network, subject_of, images_of):
    subject = subject_of(network(3), images_of(5, 3), classes=3)
    for name in ("AutoAttack", "torchattacks-autoattack", "APGDT"):
        with pytest.raises(InputError, match=f"{name} needs 4 classes; the network has 3"):
            Attack(name).collect(subject)


def test_names_of_attacks_ignore_case_and_fractions_are_parsed():
    threat = threat_of("pgdl2", {"eps": "1/2", "steps": "7"}, ["alpha=1/10"], classes=4)
    assert (threat.attack, threat.norm, threat.epsilon) == ("PGDL2", "L2", 0.5)
    assert threat.parameters["steps"] == 7
    assert threat.parameters["alpha"] == 0.1
    assert threat_of("CW", {}, ["c=.5"], classes=4).epsilon is None
    assert "no ball" not in str(threat.at)


def test_the_network_is_freed_afterwards(network, subject_of, images_of):
    import gc
    import weakref

    model = network()
    Attack("PGD", steps=2).collect(subject_of(model, images_of(5)))
    gone = weakref.ref(model)
    del model
    gc.collect()
    assert gone() is None
