import pytest
import torch

from sdd_eval.errors import InputError
from sdd_eval.models.build import build
from sdd_eval.models.network import Network
from sdd_eval.records import ModelSpec

BUILT_IN = [
    "small_cnn",
    "small_cnn_wide",
    "resnet8",
    "resnet20",
    "resnet20_b",
    "resnet18",
    "resnet18_maxpool",
    "resnet34",
    "resnet50",
    "resnet18w16",
    "wrn_28_10",
    "densenet_bc_100_12",
    "densenet121",
]


def spec(arch="small_cnn", classes=10, channels=3, image_size=32, **options):
    mean, std = (0.4,) * channels, (0.2,) * channels
    return ModelSpec(arch, classes, mean, std, image_size, options)


def parameters(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_maps_of_byot_s_network_are_half_as_large_from_the_first_stage_on():
    image = torch.zeros(1, 3, 64, 64)
    with torch.no_grad():
        plain, pooled = (
            build(spec(arch, image_size=64)).eval().activations(image)
            for arch in ("resnet18", "resnet18_maxpool")
        )
    assert plain["layer1"].shape == (1, 64, 64, 64)
    assert pooled["layer1"].shape == (1, 64, 32, 32)
    assert pooled["layer4"].shape == (1, 512, 4, 4)


@pytest.mark.parametrize(
    ("arch", "classes", "expected"),
    [
        # 11.22 M as the literature counts it; the 16-32-64 family without projections
        ("resnet18", 100, 11_220_132),
        ("resnet18_maxpool", 100, 11_220_132),
        ("resnet34", 100, 21_328_292),
        # 23.52 M on CIFAR-10, 23.7 M on CIFAR-100, and 6.96 M and 7.05 M in public code
        ("resnet50", 10, 23_520_842),
        ("resnet50", 100, 23_705_252),
        ("densenet121", 10, 6_956_298),
        ("densenet121", 100, 7_048_548),
        ("resnet8", 10, 75_290),
        ("resnet20", 10, 269_722),
        ("resnet32", 10, 464_154),
        ("resnet44", 10, 658_586),
        ("resnet56", 10, 853_018),
        ("resnet110", 10, 1_727_962),
        # with projections: 2,752 more; on CIFAR-100 the .28 M and .86 M of public checkpoints
        ("resnet20_b", 100, 278_324),
        ("resnet32_b", 10, 466_906),
        ("resnet44_b", 10, 661_338),
        ("resnet56_b", 100, 861_620),
        ("resnet110_b", 10, 1_730_714),
        ("wrn_28_10", 10, 36_479_194),
        ("densenet_bc_100_12", 10, 769_162),
    ],
)
def test_resnets_have_the_published_number_of_parameters(arch, classes, expected):
    with torch.device("meta"):  # weights that are only counted need not be drawn
        assert parameters(build(spec(arch, classes))) == expected


def test_small_networks_have_the_documented_number_of_parameters():
    assert parameters(build(spec("resnet18w16", 100))) == pytest.approx(0.7e6, rel=0.03)
    assert 20_000 < parameters(build(spec("small_cnn", 10, 1, 8))) < 90_000
    wide = build(spec("small_cnn_wide", 10, 1, 8))
    assert parameters(wide) == pytest.approx(0.2e6, rel=0.2)
    assert wide.classifier.in_features == 512


@pytest.mark.parametrize("arch", BUILT_IN)
@pytest.mark.parametrize(("channels", "side"), [(1, 8), (3, 32)])
def test_every_network_classifies_its_own_features(arch, channels, side):
    network = build(spec(arch, 7, channels, side)).eval()
    pixels = torch.rand(2, channels, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        features = network.features(pixels)
        logits = network(pixels)
        assert features.shape == (2, network.backbone.width)
        assert logits.shape == (2, 7)
        assert torch.equal(logits, network.classifier(features))
        seen = network.activations(pixels)
        assert torch.equal(seen["features"], features)
        for stage in network.stages():
            assert torch.allclose(network.classify(seen[stage], stage), logits, atol=1e-5), stage


def test_the_paper_s_resnet_keeps_the_resolution_in_its_stem_and_halves_it_three_times():
    network = build(spec("resnet18")).eval()
    with torch.no_grad():
        seen = network.activations(torch.zeros(1, 3, 32, 32))
    shapes = [tuple(seen[f"layer{index}"].shape[1:]) for index in (1, 2, 3, 4)]
    assert shapes == [(64, 32, 32), (128, 16, 16), (256, 8, 8), (512, 4, 4)]
    assert seen["features"].shape == (1, 512)


def test_the_deeper_networks_of_the_paper_halve_the_resolution_three_times_too():
    shapes = {"resnet50": (256, 512, 1024, 2048), "densenet121": (256, 512, 1024, 1024)}
    for arch, widths in shapes.items():
        network = build(spec(arch)).eval()
        with torch.no_grad():
            seen = network.activations(torch.zeros(1, 3, 32, 32))
        result = [tuple(seen[f"layer{index}"].shape[1:]) for index in (1, 2, 3, 4)]
        assert result == [(w, s, s) for w, s in zip(widths, (32, 16, 8, 4), strict=True)]
        assert seen["features"].shape == (1, widths[-1])
        assert network.stage_of("layer3") == "layer3"


def test_a_bottleneck_block_activates_after_each_convolution_and_after_the_sum():
    network = build(spec("resnet50")).eval()
    first, second = network.backbone.layer2[:2]
    x = torch.randn(1, 256, 4, 4)
    with torch.no_grad():
        inner = first.bn2(first.conv2(first.bn1(first.conv1(x)).relu())).relu()
        expected = (first.bn3(first.conv3(inner)) + first.shortcut(x)).relu()
        assert torch.allclose(first(x), expected, atol=1e-5)
        assert first(x).shape == (1, 512, 2, 2)
        assert second(expected).min() == 0
    assert first.conv2.stride == (2, 2)
    assert first.conv1.stride == (1, 1)


def test_layers_have_the_names_of_torchvision():
    names = set(build(spec("resnet18")).backbone.state_dict())
    assert {"conv1.weight", "bn1.running_mean", "layer4.1.bn2.bias"} <= names
    assert "layer2.0.shortcut.0.weight" in names
    assert "layer1.0.shortcut.0.weight" not in names


def test_option_a_takes_every_second_pixel_and_adds_zero_channels():
    block = build(spec("resnet8")).backbone.layer2[0]
    x = torch.arange(16 * 16.0).view(1, 16, 4, 4)
    y = block.shortcut(x)
    assert y.shape == (1, 32, 2, 2)
    assert torch.equal(y[:, :16], x[:, :, ::2, ::2])
    assert not y[:, 16:].any()


def test_zero_channels_are_appended_or_split_around_the_input():
    x = torch.rand(1, 16, 4, 4)
    for padding, start in (("end", 0), ("both", 8)):
        block = build(spec("resnet8", padding=padding)).backbone.layer2[0]
        y = block.shortcut(x)
        assert torch.equal(y[:, start : start + 16], x[:, :, ::2, ::2])
        assert y.count_nonzero() == x[:, :, ::2, ::2].count_nonzero()


def test_a_wide_block_activates_before_convolutions_and_shortcut():
    network = build(spec("wrn_28_10")).eval()
    first, second = network.backbone.layer1[:2]
    x = torch.randn(1, 16, 4, 4)
    with torch.no_grad():
        active = first.bn1(x).relu()
        inner = first.conv2(first.bn2(first.conv1(active)).relu())
        assert torch.allclose(first(x), inner + first.shortcut(active), atol=1e-5)
        y = first(x)
        inner = second.conv2(second.bn2(second.conv1(second.bn1(y).relu())).relu())
        assert torch.allclose(second(y), inner + y, atol=1e-5)


def test_a_dense_block_concatenates_channels_and_a_transition_halves_them():
    network = build(spec("densenet_bc_100_12")).eval()
    with torch.no_grad():
        seen = network.activations(torch.rand(1, 3, 32, 32))
    assert torch.equal(seen["layer1"][:, :24], seen["conv1"])
    assert [tuple(seen[name].shape[1:]) for name in ("layer1", "trans1", "layer2", "layer3")] == [
        (216, 32, 32),
        (108, 16, 16),
        (300, 16, 16),
        (342, 8, 8),
    ]


def test_new_channels_are_last_or_first():
    for newest, old in (("last", slice(0, 64)), ("first", slice(-64, None))):
        network = build(spec("densenet121", newest=newest)).eval()
        with torch.no_grad():
            seen = network.activations(torch.rand(1, 3, 8, 8))
        assert torch.equal(seen["layer1"][:, old], seen["conv1"])


def test_the_first_layer_standardises_pixels_by_constants_outside_the_state():
    network = build(ModelSpec("small_cnn", 10, (0.5, 0.25, 0.0), (0.5, 0.25, 1.0), 8))
    pixels = torch.tensor([1.0, 0.5, 0.75]).view(1, 3, 1, 1)
    assert network.standardise(pixels).flatten().tolist() == [1.0, 1.0, 0.75]
    assert not any(name.startswith("standardise") for name in network.state_dict())


def test_grey_images_are_refused_by_a_network_for_colour():
    with pytest.raises(InputError, match="takes 3 channels, not 1"):
        build(spec())(torch.zeros(1, 1, 32, 32))


def test_hidden_layers_are_between_feature_and_logits():
    network = build(spec("small_cnn", 10, 1, 8, hidden_layers=1))
    shapes = [tuple(layer.weight.shape) for layer in network.classifier if hasattr(layer, "weight")]
    assert shapes == [(512, 96), (10, 512)]


def test_the_last_position_is_the_pooled_feature_and_an_unknown_one_is_refused():
    resnet8 = build(spec("resnet8"))
    assert resnet8.stage_of("layer4") == "features"
    assert resnet8.stage_of("layer2") == "layer2"
    with pytest.raises(InputError, match=r"unknown position 'layer5'.*Known: layer1, layer2"):
        resnet8.stage_of("layer5")


def test_a_backbone_without_stages_is_one_stage():
    class Flat(torch.nn.Module):
        width = 48

        def forward(self, x):
            return x.flatten(1)

    network = Network(spec(image_size=4), Flat(), torch.nn.Linear(48, 10))
    pixels = torch.rand(2, 3, 4, 4)
    seen = network.activations(pixels)
    assert torch.equal(network.classify(seen["features"]), network(pixels))
    with pytest.raises(InputError, match=r"no stages layer1.* must be layer4, not layer1"):
        network.stage_of("layer1")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"arch": "resnet81"}, "unknown arch 'resnet81'; did you mean 'resnet8'"),
        ({"arch": "torchvision:resnt18"}, "torchvision has no network 'resnt18'; near it: resnet"),
        ({"arch": "nets.py:mine"}, "runs code of its own; give --trust-code"),
        ({"arch": "resnet20", "options": {"padding": "left"}}, "unknown padding 'left'"),
        ({"arch": "densenet121", "options": {"newest": "left"}}, "unknown newest 'left'"),
        ({"classes": 0}, "classes is 0; it must be 1 or more"),
        ({"classes": 10**9}, "classes is 1000000000; it must be at most 100,000"),
        ({"image_size": 10**9}, "image_size is 1000000000; it must be at most 16,384"),
        ({"options": {"hidden_layers": 10**9}}, "hidden_layers is 1000000000; it must be at most"),
        ({"options": {"hidden_layers": "two"}}, "hidden_layers is 'two'; it must be a whole"),
        ({"options": {"width": "wide"}}, "'small_cnn' and its options {'width': 'wide'}: "),
        ({"options": {"width": 10**12}}, "'small_cnn' and its options {'width': 10{12}}: "),
        ({"std": (1e300,) * 3}, "must be finite, and std positive: means from"),
        ({"mean": (1e300,) * 3}, "must be finite, and std positive: means from"),
        ({"std": (0.2, 0.2)}, "have different numbers of channels"),
        ({"std": (0.2, 0.0, 0.2)}, "must be finite, and std positive"),
        ({"mean": (0.2, float("nan"), 0.2)}, "must be finite, and std positive"),
        ({"options": {"depth": 3}}, "'small_cnn' and its options.*depth"),
    ],
)
def test_an_invalid_spec_gives_a_one_line_error(wrong, message):
    values = {"arch": "small_cnn", "classes": 10, "mean": (0.4,) * 3, "std": (0.2,) * 3}
    with pytest.raises(InputError, match=message) as caught:
        build(ModelSpec(**{**values, "image_size": 8, **wrong}))
    assert "\n" not in str(caught.value)
