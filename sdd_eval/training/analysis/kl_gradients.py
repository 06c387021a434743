"""The gradients of forward and reverse KL in a network: how long, how alike, layer by layer.

What is measured is the SD-Dropout term itself, under one pair of masks, whatever is trained. The
"1 −" in the paper's form of the forward gradient is arbitrary (see `sdd_eval.paper.proposition`),
so beside its class-by-class quantities stand norms and cosine of the whole gradients, which are
what moves the weights.

Source: Lee, Park, Seo, Kang (2022), "Self-knowledge distillation via dropout", section 3.3, Table 8
and Figure 4.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from sdd_eval.models.network import Network
from sdd_eval.records import Recipe
from sdd_eval.training.methods.sd_dropout import sd_dropout_loss

#: All parameters together, beside the layers of a network.
WHOLE = "all"

Direction = Literal["forward", "reverse"]
DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")


def kl_gradients(
    network: Network, pixels: Tensor, recipe: Recipe, generator: torch.Generator
) -> dict[str, float]:
    """What section 3.3 of the paper measures, on pixels (n, channels, side, side) in [0, 1].

    - `p_assumption_1`: the share of (image, class) in which the larger of p_i and q_i has the
      larger gradient; `assumption_2_r` mean |log(p_i/q_i)|, nats; `assumption_2_r1` mean r₁;
      `assumption_2` the share with r ≤ r₁; `proposition_1` the share with D_i > 0. ∇p_i is with
      respect to the weights of the last linear layer, its norm Euclidean (the paper does not say).
    - `kl_cosine@LAYER`, `kl_DIRECTION_l1@LAYER`, `kl_DIRECTION_l2@LAYER` of the gradients of the
      batch mean of the term: LAYER is a stage of the network, "classifier", or "all".

    Drop rate, temperature and position are the recipe's; masks come from the generator, the same
    for both directions. Afterwards the network is as it was, batch statistics included.
    """
    with _untouched(network):
        stage = network.stage_of(recipe.position)
        activation = network.activations(pixels)[stage]
        state = generator.get_state()
        gradients: dict[str, dict[str, Tensor]] = {}
        for direction in DIRECTIONS:
            generator.set_state(state)
            with _watched(_last_linear(network)) as seen:
                loss = sd_dropout_loss(
                    activation,
                    functools.partial(network.classify, stage=stage),
                    drop_rate=recipe.drop_rate,
                    temperature=recipe.temperature,
                    direction=direction,
                    generator=generator,
                )
            gradients[direction] = _gradients(network, loss)
        taken, logits = (torch.cat(parts) for parts in zip(*seen, strict=True))
        return assumptions(taken, logits / recipe.temperature) | _compared(network, gradients)


def assumptions(taken: Tensor, logits: Tensor) -> dict[str, float]:
    """The class-by-class quantities of `kl_gradients`.

    Args:
        taken: what the last linear layer takes, (2n, width): n images under mask u, then under v.
        logits: what it gives, divided by the temperature, (2n, classes).
    """
    log_p, log_q = logits.detach().double().log_softmax(dim=1).chunk(2)
    length_u, length_v = taken.detach().double().norm(dim=1, keepdim=True).log().chunk(2)
    norm_p, norm_q = _log_norm(log_p) + length_u, _log_norm(log_q) + length_v
    known = norm_p.isfinite() & norm_q.isfinite()  # not where a mask left nothing of the feature
    signed, ratio = (log_p - log_q)[known], (norm_p - norm_q)[known]
    r, rho = signed.abs(), ratio.abs()
    # log(ρ + e − 1) of a ρ that may be huge: log ρ + log(1 + (e − 1)/ρ)
    bound = rho + (rho + torch.log1p((torch.e - 1) * torch.exp(-rho))).log()
    excess = _excess(r, torch.where(signed > 0, ratio, -ratio))
    found = {
        "p_assumption_1": (signed * ratio > 0).double().mean(),
        "assumption_2_r": r.mean(),
        "assumption_2_r1": bound.mean(),
        "assumption_2": (r <= bound).double().mean(),
        "proposition_1": (excess > 0).double().mean(),
    }
    return {name: float(value) for name, value in found.items()}


def _log_norm(log_p: Tensor) -> Tensor:
    """log of ‖∇p_i‖ over the length of what the layer takes: p_i √((1 − p_i)² + Σ_{j≠i} p_j²).

    Of the likeliest class the others' logarithms are added: 1 − p_i would cancel to nothing.
    """
    p = log_p.exp()
    rest = (1 - p).square() + p.square().sum(dim=1, keepdim=True) - p.square()
    top = log_p.argmax(dim=1, keepdim=True)
    others = log_p.scatter(1, top, -torch.inf)
    of_top = torch.logaddexp(2 * others.logsumexp(1), (2 * others).logsumexp(1))
    return log_p + 0.5 * rest.log().scatter(1, top, of_top[:, None])


def _excess(r: Tensor, log_ratio: Tensor) -> Tensor:
    """D_i over the norm that belongs to the smaller of p_i and q_i; `log_ratio` of the larger's."""
    ratio = log_ratio.clamp_max(600).exp()  # beyond, its sign is long decided
    return r * (ratio + 1) - torch.expm1(r) + ratio * torch.expm1(-r)


def _compared(network: Network, gradients: Mapping[str, Mapping[str, Tensor]]) -> dict[str, float]:
    """Norms and cosine of both directions, of all parameters and of each layer's."""
    found: dict[str, float] = {}
    for layer, names in _layers(network).items():
        pair = [
            torch.cat([gradients[direction][name].flatten().double() for name in names])
            for direction in DIRECTIONS
        ]
        for direction, flat in zip(DIRECTIONS, pair, strict=True):
            found[f"kl_{direction}_l1@{layer}"] = float(flat.norm(1))
            found[f"kl_{direction}_l2@{layer}"] = float(flat.norm(2))
        forward, reverse = pair
        cosine = nn.functional.cosine_similarity(forward, reverse, dim=0)
        found[f"kl_cosine@{layer}"] = float(cosine)
    return found


def _layers(network: Network) -> dict[str, list[str]]:
    """The names of all parameters, and of each stage's and the classifier's."""
    owner = {
        id(parameter): stage
        for stage, module in network.stages().items()
        for parameter in module.parameters()
    }
    owner |= {id(parameter): "classifier" for parameter in network.classifier.parameters()}
    layers: dict[str, list[str]] = {WHOLE: []}
    for name, parameter in network.named_parameters():
        layers[WHOLE].append(name)
        layers.setdefault(owner.get(id(parameter), "rest"), []).append(name)
    return layers


def _gradients(network: Network, loss: Tensor) -> dict[str, Tensor]:
    """The gradient of a loss by every parameter's name; zeros where it has none."""
    named = dict(network.named_parameters())
    found = torch.autograd.grad(
        loss, list(named.values()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return dict(zip(named, found, strict=True))


def _last_linear(network: Network) -> nn.Linear:
    """The layer that gives the logits."""
    return [layer for layer in network.classifier.modules() if isinstance(layer, nn.Linear)][-1]


@contextlib.contextmanager
def _watched(layer: nn.Linear) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """What a layer takes and gives, call by call."""
    seen: list[tuple[Tensor, Tensor]] = []
    hook = layer.register_forward_hook(
        lambda _, taken, given: seen.append((taken[0].detach(), given.detach()))
    )
    try:
        yield seen
    finally:
        hook.remove()


@contextlib.contextmanager
def _untouched(network: Network) -> Iterator[None]:
    """Run the network as training does, and put its mode and batch statistics back."""
    training = network.training
    buffers = {name: buffer.clone() for name, buffer in network.named_buffers()}
    network.train()
    try:
        yield
    finally:
        with torch.no_grad():
            for name, buffer in network.named_buffers():
                buffer.copy_(buffers[name])
        network.train(training)
