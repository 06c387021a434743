"""Convolutions of few pixels in bfloat16 equal those of float32 up to rounding."""

import pytest
import torch
from torch import nn

from sdd_eval.training.arithmetic import FewPixelConvolutions, _product

SHAPES = [(1, 2, 2), (2, 4, 4), (1, 1, 4), (2, 3, 4), (2, 1, 1), (2, 1, 7), (1, 3, 1)]


@pytest.fixture
def products(monkeypatch):
    """Count the convolutions that are computed as products."""
    calls = []

    def counted(*args):
        calls.append(args)
        return _product(*args)

    monkeypatch.setattr("sdd_eval.training.arithmetic._product", counted)
    return calls


@pytest.mark.parametrize(("stride", "height", "width"), SHAPES)
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_output_and_gradients_equal_those_of_float32(stride, height, width, layout, products):
    torch.manual_seed(0)
    layer = nn.Conv2d(8, 16, 3, stride, padding=1, bias=False)
    x = torch.randn(5, 8, height, width).contiguous(memory_format=layout).requires_grad_()

    with torch.autocast("cpu", torch.bfloat16), FewPixelConvolutions():
        output = layer(x)
    gradients = torch.autograd.grad(output.float().square().sum(), [layer.weight, x])
    expected = layer(x)
    theirs = torch.autograd.grad(expected.square().sum(), [layer.weight, x])

    assert len(products) == 1
    assert output.dtype == torch.bfloat16
    for one, other in [(output.float(), expected), *zip(gradients, theirs, strict=True)]:
        torch.testing.assert_close(one, other, rtol=0, atol=0.02 * other.abs().max().item())


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(8, 8, 3, padding=1),
        nn.Conv2d(8, 8, 3),
        nn.Conv2d(8, 8, 1, bias=False),
        nn.Conv2d(8, 8, 3, padding=1, groups=2, bias=False),
        nn.Conv2d(8, 8, 3, padding=2, dilation=2, bias=False),
        nn.Conv2d(8, 8, 3, padding="same", bias=False),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="circular", bias=False),
    ],
    ids=["bias", "no padding", "1x1", "groups", "dilation", "same", "circular"],
)
def test_other_convolutions_are_those_of_pytorch(layer, products):
    side = 2 + layer.kernel_size[0] - 1 if layer.padding == (0, 0) else 2  # 2 × 2 pixels of output
    x = torch.randn(5, 8, side, side)
    with torch.autocast("cpu", torch.bfloat16):
        expected = layer(x)
        with FewPixelConvolutions():
            output = layer(x)
    assert not products
    assert output.shape[2:] == (2, 2)
    assert torch.equal(output, expected)


def test_float32_and_many_pixels_are_those_of_pytorch(products):
    layer = nn.Conv2d(8, 8, 3, padding=1, bias=False)
    with FewPixelConvolutions():
        layer(torch.randn(5, 8, 2, 2))
        with torch.autocast("cpu", torch.bfloat16):
            layer(torch.randn(5, 8, 5, 1))
            layer(torch.randn(5, 8, 3, 2))
    assert not products
