"""The audit: closed forms, flags of masked gradients, and checkpoints that are refused."""

import dataclasses
import json
from dataclasses import dataclass

import numpy as np
import pytest
import torch

from sdd_eval.arrays import Array, Arrays
from sdd_eval.cli import exit_code
from sdd_eval.data.images import ArrayImages
from sdd_eval.errors import InputError
from sdd_eval.evaluation import Request, evaluate, evaluate_checkpoint
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.evaluators.adversarial.attack_run import AttackSuite
from sdd_eval.evaluators.adversarial.audit import ATTACKS, FLAGS, Audit
from sdd_eval.evaluators.adversarial.threat import EPSILONS
from sdd_eval.evaluators.adversarial.torchattacks_wrapper import AttackedNetwork
from sdd_eval.evaluators.evaluator import score
from sdd_eval.records import ModelSpec
from sdd_eval.report.tables.audits import reasons_against_robust
from sdd_eval.store import read_run

SMALL = Audit(steps=12, restarts=2, queries=30)
SPEC = ModelSpec("tiny", 2, (0.5,) * 3, (0.25,) * 3, 6)


@dataclass(frozen=True)
class Other:
    """A checkpoint to transfer from."""

    model: torch.nn.Module
    spec: ModelSpec = SPEC
    name: str = "other"
    weights_sha256: str = "other"

    def network(self, device):
        return self.model


@pytest.fixture
def linear(linear_network):
    """Return a linear network and images at L∞ distances of 0 to 6/255, labelled by it."""
    torch.manual_seed(3)
    weight = torch.randn(2, 3 * 6 * 6)
    difference = (weight[0] - weight[1]).numpy()
    random = np.random.default_rng(0)
    pixels = random.uniform(100, 156, (80, 108))
    norm = np.abs(difference).sum()
    wanted = random.uniform(-6, 6, 80)  # signed distances, in 1/255
    pixels += ((wanted * norm - pixels @ difference) / norm)[:, None] * np.sign(difference)
    images = pixels.round().clip(0, 255).astype(np.uint8).reshape(80, 3, 6, 6)
    model = linear_network(weight)
    margins = images.reshape(80, 108).astype(np.float64) / 255 @ difference / norm
    labels = (margins < 0).astype(np.int64)
    return model, ArrayImages("inner", images, labels, "inner", "made here"), np.abs(margins)


def rows_of(metric, measurements, temperature=1.0, **at):
    """The values of a metric at each size."""
    return [
        measurement.value
        for measurement in measurements
        if measurement.metric == metric
        and {"temperature": temperature, **at}.items() <= dict(measurement.at).items()
    ]


#: Attacks of an audit whose result is known in closed form, at a temperature.
AT_BOTH = (("fgsm",), ("fgsm", "fitted"), ("pgd_ce",), ("pgd_ce", "fitted"), ("pgd_margin",))


def survives(arrays, attack, temperature=1.0):
    return arrays.where(attack=attack, temperature=temperature)["survives"]


def flags(measurements):
    return {
        measurement.at["flag"]: measurement.value
        for measurement in measurements
        if measurement.metric == "audit_flag"
    }


def test_the_worst_case_of_a_linear_network_equals_the_closed_form(linear, subject_of):
    model, data, distances = linear
    arrays = SMALL.collect(subject_of(model, data, classes=2))
    expected = distances[:, None] > np.array(EPSILONS)
    clear = np.abs(distances[:, None] - np.array(EPSILONS)) > 1e-5
    for attack in AT_BOTH:
        agrees = survives(arrays, *attack) == expected
        assert agrees[clear].all(), attack
    assert (survives(arrays, "square") >= survives(arrays, "pgd_ce"))[clear].all()
    measurements = score(SMALL, arrays)
    for temperature in (1.0, "fitted"):
        worst = rows_of("audit_worst_case", measurements, temperature)
        np.testing.assert_allclose(worst, expected.mean(axis=0), atol=1 / 80)
        assert worst == sorted(worst, reverse=True)
        assert 0.9 > worst[2] > worst[4] > 0
    assert flags(measurements) == dict.fromkeys(FLAGS.keys() - {"transfer_beats_white_box"}, 0.0)


def test_images_transfer_between_networks_with_the_same_hyperplane(linear, subject_of):
    model, data, distances = linear
    audit = dataclasses.replace(SMALL, transfer_from="other")
    subject = subject_of(model, data, classes=2, networks={"other": Other(model)})
    arrays = audit.collect(subject)
    clear = np.abs(distances[:, None] - np.array(EPSILONS)) > 1e-5
    np.testing.assert_array_equal(
        survives(arrays, "transfer")[clear], survives(arrays, "pgd_ce")[clear]
    )
    measurements = score(audit, arrays)
    assert flags(measurements) == dict.fromkeys(FLAGS, 0.0)
    assert rows_of("n_both_correct", measurements) == [80.0]
    assert rows_of("audit_worst_case_both_right", measurements) == rows_of(
        "audit_worst_case", measurements
    )
    assert reasons_against_robust(measurements, measurements, EPSILONS[2])  # no gain over itself


def test_images_transferred_from_another_hyperplane_are_those_of_the_other_network(
    linear, linear_network, subject_of
):
    model, data, _ = linear
    opposite = linear_network(-model[1].weight.data)  # its adversary pushes to the right side
    audit = dataclasses.replace(SMALL, transfer_from="other")
    subject = subject_of(model, data, classes=2, networks={"other": Other(opposite)})
    arrays = audit.collect(subject)
    assert survives(arrays, "transfer").all()
    assert not arrays["right_compared"].any()
    measurements = score(audit, arrays)
    assert rows_of("n_both_correct", measurements) == [0.0]
    assert rows_of("audit_worst_case_both_right", measurements) == []
    assert reasons_against_robust(measurements, measurements, EPSILONS[2])


class Ring(torch.nn.Module):
    """A network that is wrong only in a narrow range of the mean pixel, which large steps cross."""

    def forward(self, pixels):
        above = (pixels.flatten(1).mean(dim=1) - 0.5) * 255
        return torch.stack([torch.zeros_like(above), 1 - ((above - 0.3) / 0.2) ** 2], dim=1)


def test_an_image_misclassified_in_a_smaller_ball_is_misclassified_in_a_larger_one(subject_of):
    grey = np.full((20, 3, 6, 6), 127, dtype=np.uint8)
    grey[:, :, ::2] = 128  # a mean of exactly one half
    data = ArrayImages("grey", grey, np.zeros(20, np.int64), "grey", "made here")
    arrays = Audit(steps=3, restarts=1, queries=1).collect(subject_of(Ring(), data, classes=2))
    assert not survives(arrays, "pgd_ce").any()
    assert survives(arrays, "fgsm")[:, -1].all()  # one step of a size is of that size


def test_the_margin_attack_climbs_the_margin_and_not_the_cross_entropy(
    linear_network, subject_of, images_of
):
    torch.manual_seed(0)
    weight = 0.01 * torch.randn(3, 108)
    model = linear_network(weight)
    pixels, epsilon = torch.full((1, 3, 6, 6), 0.5), 8 / 255
    label, second, _ = model(pixels)[0].argsort(descending=True).tolist()
    path = AttackedNetwork(model, "cpu")
    battery = AttackSuite(subject_of(model, images_of(1)), Audit(), {}, None, 0)
    moved = {
        loss: battery._pgd(path, epsilon, loss, 1)[0].run(pixels, torch.tensor([label]))
        for loss in ("margin", "ce")
    }
    corner = pixels + epsilon * (weight[second] - weight[label]).sign().view(1, 3, 6, 6)
    near = {loss: float((item - corner).abs().max()) for loss, item in moved.items()}
    assert near["margin"] < 1e-6 < near["ce"]


class Rounded(torch.nn.Module):
    """A network with a quantised input: its gradients are zero."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, pixels):
        steps = 255
        return self.model((pixels * steps).round().detach() / steps + 0 * pixels)


def test_a_network_without_gradients_raises_the_flags(linear, subject_of):
    model, data, _ = linear
    audit = Audit(steps=3, restarts=1, queries=150, transfer_from="other")
    subject = subject_of(Rounded(model), data, classes=2, networks={"other": Other(model)})
    measurements = score(audit, audit.collect(subject))
    raised = flags(measurements)
    assert raised["zero_gradients"] == 1
    assert raised["square_beats_white_box"] == 1
    assert raised["transfer_beats_white_box"] == 1
    (flag,) = [item for item in measurements if item.at.get("flag") == "zero_gradients"]
    assert "80 images at T one" in flag.fitted["raised"]
    worst, transfer = (
        rows_of("audit_worst_case", measurements),
        rows_of("audit_accuracy", measurements, attack="transfer"),
    )
    assert all(item <= other for item, other in zip(worst, transfer, strict=True))


def arrays_of(audit, n=10, **left):
    """Return arrays in which each attack leaves a number of images correct, 5 by default."""
    attacks = [(a, 1.0) for a in audit.attacks] + [("fgsm", "fitted"), ("pgd_ce", "fitted")]
    arrays = [Array("right", np.arange(n) < 8), Array("right_compared", np.arange(n) < 6)]
    for attack, temperature in attacks:
        name = attack if temperature == 1.0 else f"{attack}_fitted"
        table = np.tile((np.arange(n) < left.get(name, 5))[:, None], (1, 6))
        at = {"attack": attack, "temperature": temperature}
        arrays.append(Array("survives", table, ("images", "epsilon"), at))
    for temperature in (1.0, "fitted"):
        at = {"temperature": temperature}
        arrays.append(Array("path_differs", np.zeros(n, bool), at=at))
        for gradient in ("stable", "float32"):
            zeros = np.zeros(n, bool)
            arrays.append(Array("zero_gradient", zeros, at={**at, "gradient": gradient}))
    return Arrays(arrays, temperature=2.0)


@pytest.mark.parametrize(
    ("left", "flag"),
    [
        ({"fgsm": 4}, "fgsm_beats_pgd"),
        ({"fgsm_fitted": 4}, "fgsm_beats_pgd"),
        ({"square": 4}, "square_beats_white_box"),
        ({"transfer": 4}, "transfer_beats_white_box"),
    ],
)
def test_each_flag_is_raised_by_its_own_attack_alone_and_comes_first(left, flag):
    audit = Audit(transfer_from="other")
    raised = flags(score(audit, arrays_of(audit, **left)))
    assert next(iter(raised)) == flag
    assert raised == {**dict.fromkeys(FLAGS, 0.0), flag: 1.0}


def test_fgsm_beats_pgd_only_if_it_beats_both_losses_together():
    audit = Audit(transfer_from="other")
    raised = flags(score(audit, arrays_of(audit, fgsm=4, fgsm_fitted=4, pgd_margin=4)))
    assert raised == dict.fromkeys(FLAGS, 0.0)


def test_zero_gradients_are_counted_for_correctly_classified_images():
    audit = Audit(transfer_from="other")
    arrays = arrays_of(audit)
    zeros = arrays.where(temperature="fitted", gradient="stable")["zero_gradient"]
    zeros[9] = True  # wrong before
    assert flags(score(audit, arrays))["zero_gradients"] == 0
    zeros[7] = True
    assert flags(score(audit, arrays))["zero_gradients"] == 1


def test_the_worst_case_is_over_attacks_image_by_image():
    audit = Audit(transfer_from="other")
    arrays = arrays_of(audit)
    survives(arrays, "square")[0] = False
    survives(arrays, "pgd_margin")[1] = False
    survives(arrays, "pgd_ce", "fitted")[2] = False
    measurements = score(audit, arrays)
    assert rows_of("audit_worst_case", measurements) == [0.3] * 6
    assert rows_of("audit_worst_case", measurements, "fitted") == [0.2] * 6
    assert rows_of("n_both_correct", measurements) == [6.0]
    assert rows_of("audit_worst_case_both_right", measurements) == [3 / 6] * 6
    attacks = {
        measurement.at["attack"]
        for measurement in measurements
        if measurement.metric == "audit_accuracy"
    }
    assert attacks == set(ATTACKS)
    places = [
        (measurement.metric, repr(sorted(measurement.at.items()))) for measurement in measurements
    ]
    assert len(places) == len(set(places))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"algorithm": "CW"}, "--name is CW, but --audit runs its own attacks"),
        ({"eps": "8/255"}, "--eps is 8/255, but --audit has its own radii"),
        ({"alpha": 0.1}, "--alpha is 0.1, but --audit"),
        ({"steps": 0}, "--steps is 0; it must be 1 or more"),
        (
            {"parameters": ("decay=1",)},
            "'decay=1'; with --audit the only parameter is n_queries=NUMBER",
        ),
        ({"audit": False, "transfer_from": "other"}, "--transfer-from needs --audit"),
    ],
)
def test_settings_that_the_audit_does_not_support_are_refused(
    settings, message, linear, subject_of
):
    model, data, _ = linear
    with pytest.raises(InputError, match=message):
        Attack(**{"audit": True, **settings}).collect(subject_of(model, data, classes=2))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (dataclasses.replace(SPEC, classes=3), "has classes 3, the audited network 2"),
        (dataclasses.replace(SPEC, mean=(0.5,)), "has channels 1, the audited network 3"),
        (dataclasses.replace(SPEC, image_size=8), "has image size 8, the audited network 6"),
    ],
)
def test_a_checkpoint_for_other_images_is_refused(spec, message, linear, subject_of):
    model, data, _ = linear
    subject = subject_of(model, data, classes=2, networks={"other": Other(model, spec)})
    with pytest.raises(InputError, match=message):
        Audit(transfer_from="other").collect(subject)


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """Two networks on digits, one epoch each."""
    root = tmp_path_factory.mktemp("root")
    flags = (
        "train --dataset digits --arch small_cnn --epochs 1 --standardisation digits --threads 1"
    )
    for seed in ("0", "1"):
        where = ["--checkpoints", str(root), "--augmentation", "none", "--seed", seed]
        assert exit_code([*flags.split(), *where, "--data-root", str(root)]) == 0
    return root


def test_the_flag_transfer_from_adds_transferred_images_to_the_audit(trained, tmp_path, capsys):
    name, other = "digits-small_cnn-ce-seed0", "digits-small_cnn-ce-seed1"
    command = f"attack {name} --audit --transfer-from {other} --limit 20 --steps 2 --restarts 1"
    where = ["--checkpoints", str(trained), "--reports", str(tmp_path), "--data-root", str(trained)]
    assert exit_code([*command.split(), "--parameters", "n_queries=3", *where]) == 0
    assert "audit_flag" in capsys.readouterr().out
    (path,) = tmp_path.glob("default/runs/*/attack-*.json")
    run = read_run(path)
    assert run.settings["transfer_from"] == other
    assert list(run.provenance.networks) == [other]
    folding = run.provenance.networks[other]["folding"]
    assert folding == {**run.provenance.folding, "difference": folding["difference"]}
    assert folding["folded"] > 0
    assert list(run.provenance.data) == ["digits"]
    assert run.n == len(run.arrays["right"]) == 20
    assert exit_code([*command.split(), "--transfer-from", "nobody", *where]) == 2
    assert "unknown checkpoint 'nobody'" in capsys.readouterr().err
    assert exit_code([*command.split(), "--transfer-from", name, *where]) == 2
    assert "has the audited weights" in capsys.readouterr().err


def test_another_comparison_checkpoint_under_the_same_name_is_another_run(trained, tmp_path):
    import shutil

    name, copy = trained / "digits-small_cnn-ce-seed0", tmp_path / "copies" / "other"
    evaluator = Attack(
        audit=True, steps=1, restarts=1, parameters=("n_queries=1",), transfer_from=str(copy)
    )
    request = Request(evaluator, tmp_path / "study", trained, limit=5)
    shutil.copytree(trained / "digits-small_cnn-ce-seed1", copy)
    first = evaluate_checkpoint(name, request)
    assert not evaluate_checkpoint(name, request).evaluated
    shutil.rmtree(copy)
    command = (
        "train --dataset digits --arch small_cnn --epochs 1 --standardisation digits --seed 2 "
        f"--augmentation none --name copy --checkpoints {tmp_path / 'new'} --data-root {trained}"
    )
    assert exit_code([*command.split(), "--threads", "1"]) == 0
    shutil.move(tmp_path / "new" / "copy", copy)
    card = copy / "card.json"  # the same name, other weights
    card.write_text(card.read_text().replace('"copy"', '"digits-small_cnn-ce-seed1"'))
    second = evaluate_checkpoint(name, request)
    assert second.evaluated
    assert second.path != first.path
    assert not evaluate_checkpoint(name, request).evaluated
    content = json.loads(card.read_text())
    content["model"]["mean"] = [0.9]  # the same weights, another network
    card.write_text(json.dumps(content))
    assert evaluate_checkpoint(name, request).evaluated


def test_an_audit_attacks_a_thousand_images_balanced_by_class(linear_network, images_of):
    model = linear_network(torch.zeros(2, 108))  # nothing is right but ties: attacks are quick
    data = images_of(2100, classes=2)
    evaluator = Attack(audit=True, steps=1, restarts=1, parameters=("n_queries=1",))
    run = evaluate(model, evaluator, data=data, spec=SPEC)
    assert (run.n, run.limit) == (1000, 1000)
    assert run.arrays["right"].mean() == 0.5
    assert evaluate(model, evaluator, data=data, spec=SPEC, limit=50).n == 50
