"""Networks of torchvision, timm and the user's factories: splitting and refusals."""

import importlib.util
import textwrap

import pytest
import torch
from torch import nn

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.foreign import build_foreign, is_factory
from sdd_eval.models.splitting import split_classifier
from sdd_eval.records import ModelSpec

NETS = """
    import torch
    from torch import nn

    from beside import WIDTH


    def small(num_classes, in_channels=3, width=WIDTH):
        body = nn.Sequential(nn.Conv2d(in_channels, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1))
        return nn.Sequential(body, nn.Flatten(), nn.Linear(width, num_classes))


    class Ten(nn.Module):
        def __init__(self):
            super().__init__()
            self.hidden = nn.Linear(192, 20)
            self.last = nn.Linear(20, 10)

        def forward(self, x):
            return self.last(self.hidden(x.flatten(1)).relu())


    class Scaled(Ten):
        def forward(self, x):
            return 3 * super().forward(x)


    class Direct(Ten):
        def forward(self, x):
            return self.hidden(x.flatten(1)) @ self.last.weight.T


    class Convolved(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv = nn.Conv2d(3, 10, 1)

        def forward(self, x):
            return self.conv(x).mean((2, 3))


    class Tokens(Ten):
        def forward(self, x):
            hidden = self.hidden(x.flatten(1))
            return self.last(torch.stack([hidden, -hidden], dim=1)).amax(1)


    class Named(Ten):
        def forward(self, x):
            return {"logits": super().forward(x)}


    def broken():
        raise RuntimeError("two\\nlines")


    def number():
        return 3
"""


@pytest.fixture
def nets(tmp_path):
    """Return a file of factories that imports a module in its folder."""
    (tmp_path / "beside.py").write_text("WIDTH = 6\n")
    path = tmp_path / "nets.py"
    path.write_text(textwrap.dedent(NETS))
    return path


def spec(arch, classes=10, size=8, channels=3, **options):
    return ModelSpec(arch, classes, (0.4,) * channels, (0.2,) * channels, size, options)


def assert_parted(network, images, whole=None):
    """Check that features are 2-D and that the classifier maps them to the logits."""
    network.eval()
    with torch.no_grad():
        logits, features = network(images), network.features(images)
        assert features.ndim == 2
        assert isinstance(network.classifier, nn.Linear)
        assert features.shape[1] == network.classifier.in_features
        assert torch.equal(network.classifier(features), logits)
        if whole is not None:
            assert torch.allclose(logits, whole.eval()(network.standardise(images)), atol=1e-5)


def same_weights(spec, trust_code=False):
    """Return a split network and the original one."""
    torch.manual_seed(0)
    network = build(spec, trust_code=trust_code)
    torch.manual_seed(0)
    return network, build_foreign(spec, spec.options)


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("resnet18", "fc"),
        ("mobilenet_v3_small", "classifier.3"),
        ("shufflenet_v2_x0_5", "fc"),
        ("googlenet", "fc"),
    ],
)
def test_torchvision_networks_are_split_without_changing_their_logits(name, head):
    wanted = spec(f"torchvision:{name}", classes=7, size=32)
    network, whole = same_weights(wanted)
    assert network.head == head
    assert network.training
    assert_parted(network, torch.rand(2, 3, 32, 32), whole)


def test_a_network_with_auxiliary_heads_trains_on_its_main_output():
    network, _ = same_weights(spec("torchvision:googlenet", classes=7, size=32))
    images = torch.rand(4, 3, 32, 32)
    seen = network.activations(images)  # in training torchvision's gives three kinds of logits
    logits = network.classify(seen["features"])
    assert logits.shape == (4, 7)
    logits.sum().backward()
    first = next(network.backbone.parameters())
    assert first.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ("name", "parameters"),
    # torchvision's own counts for 1,000 classes
    [("resnet18", 11_689_512), ("resnet50", 25_557_032)],
)
def test_stages_of_torchvision_resnets_are_accessible_by_name(name, parameters):
    network, whole = same_weights(spec(f"torchvision:{name}", classes=1000, size=32))
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert [key for key in network.stages() if key.startswith("layer")] == [
        "layer1",
        "layer2",
        "layer3",
        "layer4",
    ]
    images = torch.rand(2, 3, 32, 32)
    assert_parted(network, images, whole)
    with torch.no_grad():
        seen, logits = network.activations(images), network(images)
        for stage in ("layer1", "layer2", "layer3"):
            assert network.stage_of(stage) == stage
            assert seen[stage].ndim == 4
            assert torch.equal(network.classify(seen[stage], stage), logits)
    names = {f"backbone.{key}" for key in whole.state_dict() if not key.startswith("fc.")}
    assert names == {key for key in network.state_dict() if key.startswith("backbone.")}


def test_the_torchvision_resnet_of_the_paper_has_the_published_number_of_parameters():
    with torch.device("meta"):  # weights that are only counted need not be drawn
        network = build_foreign(spec("torchvision:resnet152", classes=1000, size=32), {})
    assert sum(parameter.numel() for parameter in network.parameters()) == 60_192_808


def test_testing_the_stages_does_not_change_the_batch_statistics():
    network, whole = same_weights(spec("torchvision:resnet18", size=32))
    assert network.training
    assert torch.equal(network.backbone.bn1.running_mean, whole.bn1.running_mean)
    assert not network.backbone.layer4[1].bn2.num_batches_tracked


@pytest.mark.parametrize("factory", ["Twice", "Dropping", "Own"])
def test_a_network_that_is_not_a_sequence_of_its_children_has_no_stages(nets, factory):
    nets.write_text(
        textwrap.dedent(
            """
            import torch
            from torch import nn


            class Twice(nn.Module):
                def __init__(self):
                    super().__init__()
                    self.layer1 = nn.Conv2d(3, 3, 3, padding=1)
                    self.pool = nn.AdaptiveAvgPool2d(1)
                    self.fc = nn.Linear(3, 10)

                def run(self, x):
                    return self.layer1(self.layer1(x))

                def forward(self, x):
                    return self.fc(torch.flatten(self.pool(self.run(x)), 1))


            class Dropping(Twice):
                def run(self, x):
                    return nn.functional.dropout(self.layer1(x), 0.5, self.training)


            class Own(Twice):
                def __init__(self):
                    super().__init__()
                    self.scale = nn.Parameter(torch.ones(1))

                def run(self, x):
                    return self.scale * self.layer1(x)
            """
        )
    )
    network = build(spec(f"{nets}:{factory}"), trust_code=True)
    assert list(network.stages()) == ["backbone"]
    with pytest.raises(InputError, match=rf"{factory}' has no stages layer1"):
        network.stage_of("layer2")
    assert network.stage_of("layer4") == "features"


def test_options_are_passed_to_the_library():
    network = build(spec("torchvision:vit_b_16", size=16, image_size=16))
    assert network.backbone.encoder.pos_embedding.shape == (1, 2, 768)
    assert_parted(network, torch.rand(2, 3, 16, 16))
    with pytest.raises(InputError, match=r"does not take images of 3 × 16 × 16: .*224"):
        build(spec("torchvision:vit_b_16", size=16))
    with pytest.raises(InputError, match="unexpected keyword argument 'depth'"):
        build(spec("torchvision:resnet18", size=32, depth=3))


def test_hidden_layers_replace_the_last_layer():
    network = build(spec("torchvision:resnet18", size=32, hidden_layers=1))
    assert network.classifier[-1].out_features == 10
    assert network(torch.rand(2, 3, 32, 32)).shape == (2, 10)


class AlwaysDropped(nn.Dropout):
    """Dropout that ignores eval mode."""

    def forward(self, x):
        return nn.functional.dropout(x, self.p)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (
            lambda linear: (linear, nn.Softmax(1)),
            "returns probabilities .* leave out its last soft",
        ),
        (
            lambda linear: (linear, nn.Sigmoid()),
            "returns values of a sigmoid .* leave out its last s",
        ),
        (
            lambda linear: (AlwaysDropped(0.3), linear),
            "gives other logits in another pass over the",
        ),
        (
            lambda linear: (linear, nn.ReLU()),
            r"'1' \(108 → 10\) is the last, but its input is not a",
        ),
        (
            lambda linear: (linear, nn.ReLU(), nn.Hardtanh()),
            r"'1' \(108 → 10\) is the last, but its input is not a",
        ),
    ],
)
def test_a_network_that_does_not_end_in_logits_is_refused_with_the_reason(layers, message):
    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), *layers(nn.Linear(108, 10)))
    with pytest.raises(InputError, match=message):
        split_classifier(module, 10, torch.randn(4, 3, 6, 6), "f.py:net")


def test_a_network_whose_logits_come_from_a_convolution_is_refused():
    with pytest.raises(InputError, match=r"looked for a last nn\.Linear \(… → 10\).*there is none"):
        build(spec("torchvision:squeezenet1_1", size=64))


@pytest.mark.parametrize("option", ["weights", "pretrained", "checkpoint_path", "pretrained_cfg"])
@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_options_that_would_read_weights_are_refused(library, option):
    if library == "timm":
        pytest.importorskip("timm")
    with pytest.raises(InputError, match=f"option '{option}' .* reads weights"):
        build(spec(f"{library}:resnet18", size=32, **{option: "DEFAULT"}))


@pytest.mark.skipif(importlib.util.find_spec("timm") is not None, reason="timm is installed")
def test_the_error_without_timm_names_the_package_to_install():
    with pytest.raises(InputError, match=r"pip install 'sdd-eval\[timm\]'"):
        build(spec("timm:resnet10t", size=32))


def test_timm_networks_are_split_without_changing_their_logits():
    pytest.importorskip("timm")
    for name, channels in (("resnet10t", 1), ("mobilenetv3_small_050", 3)):
        network, whole = same_weights(spec(f"timm:{name}", size=32, channels=channels))
        assert_parted(network, torch.rand(2, channels, 32, 32), whole)
        assert ("layer3" in network.stages()) == (name == "resnet10t")


@pytest.mark.parametrize("name", ["hf-hub:someone/net", "local-dir:/tmp", "resnet18o"])
def test_timm_networks_download_nothing(name):
    pytest.importorskip("timm")
    with pytest.raises(InputError, match="timm has no network"):
        build(spec(f"timm:{name}", size=32))


def test_a_factory_receives_the_arguments_that_it_accepts(nets):
    network, whole = same_weights(spec(f"{nets}:small", 4, 8, 1, width=5), trust_code=True)
    assert network.classifier.weight.shape == (4, 5)
    assert network.backbone[0][0].in_channels == 1
    assert_parted(network, torch.rand(2, 1, 8, 8), whole)
    assert build(spec(f"{nets}:small"), trust_code=True).classifier.in_features == 6


def test_a_class_can_be_a_factory_and_its_last_linear_layer_is_the_classifier(nets):
    network, whole = same_weights(spec(f"{nets}:Ten"), trust_code=True)
    assert network.head == "last"
    assert_parted(network, torch.rand(2, 3, 8, 8), whole)


def test_a_factory_is_imported_from_a_module_of_the_current_folder(nets, monkeypatch):
    monkeypatch.chdir(nets.parent)
    nets.rename(nets.parent / "nets_of_this_test.py")
    assert build(spec("nets_of_this_test:Ten"), trust_code=True).head == "last"


def test_factories_run_only_if_trusted(nets):
    nets.write_text("raise SystemExit('it ran')")
    with pytest.raises(InputError, match="runs code of its own; give --trust-code"):
        build(spec(f"{nets}:Ten"))
    with pytest.raises(InputError, match="runs code of its own"):
        build(spec("os:system"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("Scaled", r"'last' \(20 → 10\) is the last, but its input is not a feature"),
        ("Direct", r"\(… → 10\).*the last of 1 is 'hidden' \(192 → 20\)"),
        ("Convolved", "there is none"),
        ("Tokens", r"not a feature \(n, 20\)"),
        ("Named", "gives a dict, not logits"),
        ("broken", "RuntimeError: two lines"),
        ("number", "makes a int, not an nn.Module"),
        ("absent", "has no 'absent'; it has .*small"),
    ],
)
def test_a_network_that_cannot_be_split_gives_a_one_line_error(nets, name, message):
    with pytest.raises(InputError, match=message) as caught:
        build(spec(f"{nets}:{name}"), trust_code=True)
    assert "\n" not in str(caught.value)


def test_a_network_for_other_classes_or_images_is_refused(nets):
    with pytest.raises(InputError, match=r"gives \(2, 10\) for 2 images, not logits \(2, 100\)"):
        build(spec(f"{nets}:Ten", classes=100), trust_code=True)
    with pytest.raises(InputError, match="does not take images of 3 × 9 × 9"):
        build(spec(f"{nets}:Ten", size=9), trust_code=True)
    with pytest.raises(InputError, match="does not exist"):
        build(spec(f"{nets}x.py:Ten"), trust_code=True)


def test_splitting_a_network_draws_no_global_random_numbers(nets):
    torch.manual_seed(1)
    build(spec(f"{nets}:Ten"), trust_code=True)
    after = torch.rand(1)
    torch.manual_seed(1)
    build_foreign(spec(f"{nets}:Ten"), {})
    assert torch.equal(after, torch.rand(1))


def test_names_of_libraries_are_not_factories():
    assert [is_factory(arch) for arch in ("resnet18", "torchvision:resnet18", "timm:x")] == [
        False,
        False,
        False,
    ]
    assert is_factory("os:system")
