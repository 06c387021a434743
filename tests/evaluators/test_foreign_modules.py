"""Modules of every kind are evaluated or refused in one line, and handed back as they were."""

import copy
import warnings

import numpy as np
import pytest
import torch
from torch import nn

import sdd_eval
from sdd_eval.errors import InputError
from sdd_eval.evaluation.network_check import NetworkCheck
from sdd_eval.evaluators.adversarial.attack import Attack
from sdd_eval.records import ModelSpec

SIDE, CLASSES = 8, 4


class Plain(nn.Module):
    """A small network with batch norm."""

    def __init__(self, channels=3, **norm):
        super().__init__()
        self.conv = nn.Conv2d(channels, 8, 3)
        self.norm = nn.BatchNorm2d(8, **norm)
        self.last = nn.Linear(8, CLASSES)

    def forward(self, x):
        return self.last(self.norm(self.conv(x)).relu().mean((2, 3)))


class Wrapped(nn.Module):
    """A module around the network with another forward method."""

    def __init__(self, model, forward):
        super().__init__()
        self.model, self.given_forward = model, forward

    def forward(self, x):
        return self.given_forward(self.model, x)


@pytest.fixture(scope="module")
def plain():
    torch.manual_seed(0)
    model = Plain()
    for parameter in model.parameters():
        parameter.data.mul_(3)
    return model.eval()


@pytest.fixture(scope="module")
def arrays():
    images = np.random.default_rng(0).integers(0, 256, (20, 3, SIDE, SIDE), dtype=np.uint8)
    return images, np.arange(20) % CLASSES


@pytest.fixture
def expected(plain, arrays):
    return sdd_eval.evaluate(plain, "accuracy", data=arrays).arrays["logits"]


def exported(model):
    batch = torch.export.Dim("batch")
    example = (torch.rand(4, 3, SIDE, SIDE),)
    return torch.export.export(model, example, dynamic_shapes=({0: batch},)).module()


def statically_quantised(model):
    quantisation = torch.ao.quantization
    stages = [model.conv, nn.AdaptiveAvgPool2d(1), nn.Flatten(), model.last]
    network = nn.Sequential(quantisation.QuantStub(), *stages, quantisation.DeQuantStub()).eval()
    network.qconfig = quantisation.get_default_qconfig("fbgemm")
    quantisation.prepare(network, inplace=True)
    network(torch.rand(8, 3, SIDE, SIDE))
    return quantisation.convert(network)


def dynamically_quantised(model):
    return torch.ao.quantization.quantize_dynamic(model, {nn.Linear}, dtype=torch.qint8)


def without_gradients(model, pixels):
    with torch.no_grad():
        return model(pixels)


def made_under_inference_mode(model):
    with torch.inference_mode():
        return copy.deepcopy(model)


def changing_its_input(model, pixels):
    return model(pixels.sub_(0.5).mul_(2).add_(1).div_(2))


#: The same network in other forms: a function that makes it, and whether it gives gradients.
FORMS = {
    "scripted": (torch.jit.script, True),
    "traced": (lambda model: torch.jit.trace(model, torch.rand(2, 3, SIDE, SIDE)), True),
    "frozen": (lambda model: torch.jit.freeze(torch.jit.script(model)), True),
    "exported": (exported, True),
    "compiled": (torch.compile, True),
    "inference parameters": (made_under_inference_mode, True),
    "offset": (lambda m: Wrapped(m, lambda model, x: model(x) + 1e6), True),
    "in place": (lambda m: Wrapped(m, changing_its_input), True),
    "no_grad": (lambda m: Wrapped(m, without_gradients), False),
    "detached": (lambda m: Wrapped(m, lambda model, x: model(x).detach()), False),
    "inference mode": (lambda m: Wrapped(m, torch.inference_mode()(lambda f, x: f(x))), False),
    "dynamically quantised": (dynamically_quantised, False),
    "statically quantised": (statically_quantised, False),
}
#: How far logits are from the plain network's, where more than rounding differs.
DISTANCES = {"offset": 0.1, "dynamically quantised": 0.3, "statically quantised": np.inf}


def state_of(model):
    """Return modes, `requires_grad`, hooks and devices of a module's parts."""
    modules = list(model.modules())
    return (
        [getattr(module, "training", None) for module in modules],
        [parameter.requires_grad for parameter in model.parameters()],
        [len(getattr(module, "_forward_hooks", ())) for module in modules],
        [str(buffer.device) for buffer in model.buffers()],
    )


def quietly(function, *arguments, **more):
    """Call a function without torch's warnings of deprecated kinds of modules."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return function(*arguments, **more)


def evaluated(model, evaluator, data):
    return quietly(sdd_eval.evaluate, model, evaluator, data=data)


@pytest.fixture(params=FORMS)
def form(request, plain):
    make, gives_gradients = FORMS[request.param]
    return request.param, quietly(make, copy.deepcopy(plain)), gives_gradients


def test_logits_of_every_form_are_those_of_the_plain_network(form, arrays, expected):
    name, model, _ = form
    before = state_of(model)
    logits = evaluated(model, "accuracy", arrays).arrays["logits"]
    centred = [z - z.mean(axis=1, keepdims=True) for z in (logits, expected)]
    assert np.abs(centred[0] - centred[1]).max() < DISTANCES.get(name, 1e-4)
    assert state_of(model) == before


def test_attacks_run_on_every_form_or_are_refused_in_one_line(form, arrays):
    _, model, gives_gradients = form
    before, evaluator = state_of(model), Attack("FGSM", eps="2/255")
    if gives_gradients:
        assert evaluated(model, evaluator, arrays).measurements
    else:
        with pytest.raises(InputError, match="needs gradients of the logits") as error:
            evaluated(model, evaluator, arrays)
        assert "\n" not in str(error.value)
    assert state_of(model) == before


@pytest.mark.parametrize("make", [statically_quantised, FORMS["frozen"][0]])
def test_packed_weights_identify_the_network(make, plain, arrays):
    changed = copy.deepcopy(plain)
    changed.last.weight.data[0] += 1
    models = []
    for model in (plain, plain, changed):
        torch.manual_seed(0)
        models.append(quietly(make, copy.deepcopy(model)))
    first, again, other = [evaluated(m, "accuracy", arrays).weights_sha256 for m in models]
    assert first == again != other


class Dropped(Plain):
    """A network whose dropout stays active in eval mode."""

    def forward(self, x):
        features = self.norm(self.conv(x)).relu().mean((2, 3))
        return self.last(nn.functional.dropout(features, 0.5))


class AlwaysTraining(nn.Dropout):
    """A dropout layer that ignores eval mode."""

    def forward(self, x):
        return nn.functional.dropout(x, self.p)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (Dropped, r"from one pass to the next \(in its forward, outside of all modules\)"),
        (
            lambda: nn.Sequential(Plain(), AlwaysTraining(0.5)),
            r"from one pass to the next \(module 1 \(AlwaysTraining\)\)",
        ),
        (
            lambda: Plain(track_running_stats=False),
            r"other images of its batch \(module norm \(BatchNorm2d\)\); give it running stat",
        ),
        (
            lambda: quietly(torch.jit.script, Plain(track_running_stats=False)),
            "with the other images of its batch; give it running statistics",
        ),
    ],
)
@pytest.mark.parametrize("number", [1, 20])
def test_a_network_that_is_not_a_function_of_one_image_is_refused(make, message, number, arrays):
    torch.manual_seed(0)
    images, labels = arrays
    model = make()
    before = state_of(model)
    with pytest.raises(InputError, match=f"is not a function of one image.*{message}"):
        sdd_eval.evaluate(model, "accuracy", data=(images[:number], labels[:number]))
    assert state_of(model) == before


def softmax_of(model, pixels):
    return model(pixels).softmax(dim=1)


def test_probabilities_are_refused_or_their_log_is_taken(plain, arrays):
    model = Wrapped(plain, softmax_of)
    with pytest.raises(InputError, match=r"returns probabilities .*set --outputs probabilities"):
        sdd_eval.evaluate(model, "calibration", data=arrays)
    runs = [
        sdd_eval.evaluate(plain, "calibration", data=arrays),
        sdd_eval.evaluate(model, "calibration", data=arrays, outputs="probabilities"),
    ]
    for one, other in zip(*(run.measurements for run in runs), strict=True):
        assert (one.metric, one.at) == (other.metric, other.at)
        assert other.value == pytest.approx(one.value, abs=1e-4)
    assert [run.provenance.outputs for run in runs] == [None, "probabilities"]
    insisted = sdd_eval.evaluate(model, "calibration", data=arrays, outputs="logits")
    assert abs(insisted.measurements[0].value - runs[0].measurements[0].value) > 0.1


def test_outputs_of_a_sigmoid_carry_a_warning(plain, arrays):
    model = Wrapped(plain, lambda m, x: m(x).sigmoid())
    (warning,) = sdd_eval.evaluate(model, "accuracy", data=arrays).provenance.warnings
    assert warning.startswith("Wrapped returns only numbers from 0 to 1 that do not sum to 1")
    insisted = sdd_eval.evaluate(model, "accuracy", data=arrays, outputs="logits")
    assert insisted.provenance.warnings is None


@pytest.mark.parametrize("forward", ["small on some images", "zero"])
def test_logits_that_are_sometimes_from_0_to_1_carry_no_warning(plain, forward):
    images = np.full((64, 3, SIDE, SIDE), 255, np.uint8)
    images[np.linspace(0, 63, 4).astype(int)] = 100  # the images that every network is run on
    steps = torch.linspace(0.5, 1.5, CLASSES)
    outputs = {
        "small on some images": lambda m, x: x.mean((1, 2, 3))[:, None] * steps,
        "zero": lambda m, x: x.mean((1, 2, 3))[:, None] * steps * 0,
    }[forward]
    data = images, np.arange(64) % CLASSES
    run = sdd_eval.evaluate(Wrapped(plain, outputs), "accuracy", data=data)
    assert run.provenance.warnings is None


def test_a_network_quantised_by_batch_carries_a_warning(plain, arrays):
    model = quietly(dynamically_quantised, copy.deepcopy(plain))
    images, labels = arrays
    bright = np.concatenate([images[:-1], np.full_like(images[:1], 255)])
    (warning,) = evaluated(model, "accuracy", (bright, labels)).provenance.warnings
    assert warning == (
        "Plain scales activations by the largest of the batch, so its numbers depend on the batch "
        "size"
    )


def test_probabilities_of_zero_have_a_finite_log(arrays):
    def one_hot(_, pixels):
        return nn.functional.one_hot(torch.arange(len(pixels)) * 0, CLASSES).float()

    run = sdd_eval.evaluate(
        Wrapped(Plain(), one_hot), "accuracy", data=arrays, outputs="probabilities"
    )
    assert {m.metric: m.value for m in run.measurements}["accuracy"] == 0.25
    assert np.isfinite([m.value for m in run.measurements]).all()


def test_logits_are_not_taken_as_probabilities(plain, arrays):
    with pytest.raises(InputError, match=r"--outputs is probabilities, but .* leave it out"):
        sdd_eval.evaluate(plain, "accuracy", data=arrays, outputs="probabilities")
    with pytest.raises(InputError, match="did you mean 'probabilities'"):
        sdd_eval.evaluate(plain, "accuracy", data=arrays, outputs="probability")


@pytest.mark.parametrize(
    ("model", "more", "message"),
    [
        (Plain(channels=1), {}, "Plain does not accept images of 3 × 8 × 8"),
        (nn.Sequential(Plain(), nn.Unflatten(1, (2, 2))), {}, r"returns \(1, 2, 2\) for one image"),
        (Wrapped(Plain(), lambda m, x: m(x).argmax(1)[:, None]), {}, "returns torch.int64, not"),
        (Wrapped(Plain(), lambda m, x: {"logits": m(x)}), {}, "returns dict for one image"),
        (Wrapped(Plain(), lambda m, x: m(x).mean(0, keepdim=True)), {}, "not logits \\(4, classes"),
        (Plain().to("meta"), {}, "Plain is on the meta device"),
        (Plain(), {"device": "meta"}, "--device is meta"),
        (Plain(), {"spec": ModelSpec("p", 5, (0.0,) * 3, (1.0,) * 3, SIDE)}, "4 logits; its spec"),
        (
            nn.Sequential(nn.Conv2d(3, 8, 9), nn.AdaptiveAvgPool2d(1), nn.Flatten()),
            {"spec": ModelSpec("p", 8, (0.0,) * 3, (1.0,) * 3, SIDE)},
            "does not accept images of 3 × 8 × 8: Calculated padded input size",
        ),
    ],
)
def test_a_module_that_gives_no_logits_is_refused_and_restored(model, more, message, arrays):
    before = state_of(model)
    with pytest.raises(InputError, match=message) as error:
        sdd_eval.evaluate(model, "accuracy", data=arrays, **more)
    assert "\n" not in str(error.value)
    assert state_of(model) == before


def test_tensors_that_require_gradients_are_read_or_refused(plain, arrays):
    images, labels = arrays
    labels_with_gradients, images_with_gradients = (
        torch.from_numpy(values).float().requires_grad_() for values in (labels, images)
    )
    with pytest.raises(InputError, match="labels are float32"):
        sdd_eval.evaluate(plain, "accuracy", data=(images, labels_with_gradients))
    with pytest.raises(InputError, match="images of arrays are float32, not uint8"):
        sdd_eval.evaluate(plain, "accuracy", data=(images_with_gradients, labels))


@pytest.mark.parametrize("name", ["TIFGSM", "PIFGSM", "PIFGSMPP"])
def test_attacks_for_three_channels_are_refused_for_other_images(name, arrays):
    images, labels = arrays
    spec, data = ModelSpec("p", CLASSES, (0.0,), (1.0,), SIDE), (images[:, :1], labels)
    with pytest.raises(InputError, match=f"{name} .* three channels only, the images have 1"):
        Attack(name).threat(CLASSES, 1)
    with pytest.raises(InputError, match=f"{name} .* three channels only, the images have 1"):
        sdd_eval.evaluate(Plain(channels=1), Attack(name), data=data, spec=spec)


def test_an_attack_that_leaves_the_pixel_range_names_the_fault_of_torchattacks(arrays):
    torch.manual_seed(0)
    steep = Plain().eval()
    steep.last.weight.data.mul_(1000)
    images = arrays[0]
    labels = steep(torch.from_numpy(images).float() / 255).argmax(dim=1)
    with pytest.raises(InputError, match="step on the clean images themselves"):
        sdd_eval.evaluate(steep, Attack("EADL1"), data=(images, labels))


def test_an_attack_that_raises_is_a_one_line_error(plain, arrays):
    labels = plain(torch.from_numpy(arrays[0]).float() / 255).argmax(dim=1)
    evaluator = Attack("EADL1", parameters=("max_iterations=5",))
    with pytest.raises(InputError, match=r"EADL1 of torchattacks fails on this network: .*; use"):
        sdd_eval.evaluate(plain, evaluator, data=(arrays[0], labels))


def test_the_check_costs_two_passes_over_a_few_images(plain, images_of):
    seen = []
    model = Wrapped(plain, lambda m, x: seen.append(len(x)) or m(x))
    data = images_of(50)
    spec = ModelSpec("p", CLASSES, (0.0,) * 3, (1.0,) * 3, data.image_size)
    NetworkCheck("p", spec, data, "cpu")(model)
    assert seen == [4, 4]
