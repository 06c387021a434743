"""Gradients of forward and reverse KL in a network: norms and similarity per layer.

The SD-Dropout term itself is measured under one pair of masks, whatever the training method. The "1
−" in the paper's form of the forward gradient is arbitrary (see `sdd_eval.paper.proposition`), so
norms and cosine of the full gradients, which update the weights, are measured, too.

Source: Lee, Park, Seo, Kang (2022), "Self-knowledge distillation via dropout", section 3.3, Table 8
and Figure 4.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from sdd_eval.data.images import ImageSet
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.models.network import Network, restored
from sdd_eval.randomness import derived_seed, generator
from sdd_eval.records import Recipe
from sdd_eval.training.methods.sd_dropout import dropped, sd_dropout_loss

#: All parameters together, reported like a layer.
WHOLE = "all"

Direction = Literal["forward", "reverse"]
DIRECTIONS: tuple[Direction, Direction] = ("forward", "reverse")


def kl_gradients(
    network: Network, pixels: Tensor, recipe: Recipe, generator: torch.Generator
) -> dict[str, float]:
    """Return the quantities of section 3.3 of the paper on pixels (n, channels, side, side).

    - `p_assumption_1`: the share of (image, class) in which the larger of p_i and q_i has the
      larger gradient; `assumption_2_r`: mean |log(p_i/q_i)| in nats; `assumption_2_r1`: mean r₁;
      `assumption_2`: the share with r ≤ r₁; `proposition_1`: the share with D_i > 0. ∇p_i is with
      respect to the weights of the last linear layer, its norm Euclidean (the paper does not say).
    - `kl_cosine@LAYER`, `kl_DIRECTION_l1@LAYER`, `kl_DIRECTION_l2@LAYER` of the gradients of the
      batch mean of the term: LAYER is a stage of the network, "classifier", or "all".

    Drop rate, temperature and position are the recipe's; both directions use the same masks, drawn
    from the generator. The network is restored afterwards, batch statistics included.
    """
    with restored(network):
        network.train()
        stage = network.stage_of(recipe.position)
        activation = network.activations(pixels)[stage]
        state = generator.get_state()
        gradients: dict[str, dict[str, Tensor]] = {}
        for direction in DIRECTIONS:
            generator.set_state(state)
            with _record_calls(network) as recorded:
                loss = sd_dropout_loss(
                    activation,
                    functools.partial(network.classify, stage=stage),
                    drop_rate=recipe.drop_rate,
                    temperature=recipe.temperature,
                    direction=direction,
                    generator=generator,
                )
            gradients[direction] = _gradients(network, loss)
        taken, logits = (torch.cat(parts) for parts in zip(*recorded, strict=True))
        return assumptions(taken, logits / recipe.temperature) | _compare_directions(
            network, gradients
        )


def assumptions(taken: Tensor, logits: Tensor) -> dict[str, float]:
    """Return the class-by-class quantities of `kl_gradients`.

    `taken` is the input of the last linear layer (2n, width), n images under mask u, then under v;
    `logits` (2n, classes) are its output, divided by the temperature.
    """
    log_p, log_q = logits.detach().double().log_softmax(dim=1).chunk(2)
    length_u, length_v = taken.detach().double().norm(dim=1, keepdim=True).log().chunk(2)
    norm_p, norm_q = _log_norm(log_p) + length_u, _log_norm(log_q) + length_v
    known = norm_p.isfinite() & norm_q.isfinite()  # not where a mask dropped the whole feature
    signed, ratio = (log_p - log_q)[known], (norm_p - norm_q)[known]
    r, rho = signed.abs(), ratio.abs()
    # log(ρ + e − 1) of a ρ that may be huge: log ρ + log(1 + (e − 1)/ρ)
    bound = rho + (rho + torch.log1p((torch.e - 1) * torch.exp(-rho))).log()
    excess = _excess(r, torch.where(signed > 0, ratio, -ratio))
    shares = {
        "p_assumption_1": (signed * ratio > 0).double().mean(),
        "assumption_2_r": r.mean(),
        "assumption_2_r1": bound.mean(),
        "assumption_2": (r <= bound).double().mean(),
        "proposition_1": (excess > 0).double().mean(),
    }
    return {name: float(value) for name, value in shares.items()}


def _log_norm(log_p: Tensor) -> Tensor:
    """Return log(‖∇p_i‖ / ‖input‖) = log(p_i √((1 − p_i)² + Σ_{j≠i} p_j²)), also for p_i ≈ 1."""
    p = log_p.exp()
    rest = (1 - p).square() + p.square().sum(dim=1, keepdim=True) - p.square()
    top = log_p.argmax(dim=1, keepdim=True)
    others = log_p.scatter(1, top, -torch.inf)
    of_top = torch.logaddexp(2 * others.logsumexp(1), (2 * others).logsumexp(1))
    return log_p + 0.5 * rest.log().scatter(1, top, of_top[:, None])


def _excess(r: Tensor, log_ratio: Tensor) -> Tensor:
    """Return D_i over the norm of the smaller of p_i and q_i; `log_ratio` is that of the larger."""
    ratio = log_ratio.clamp_max(600).exp()  # the sign does not change beyond
    return r * (ratio + 1) - torch.expm1(r) + ratio * torch.expm1(-r)


def _compare_directions(
    network: Network, gradients: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, float]:
    """Return norms and cosine of both directions, for all parameters and for each layer."""
    sums: dict[str, float] = {}
    for layer, names in _layers(network).items():
        pair = [
            torch.cat([gradients[direction][name].flatten().double() for name in names])
            for direction in DIRECTIONS
        ]
        for direction, flat in zip(DIRECTIONS, pair, strict=True):
            sums[f"kl_{direction}_l1@{layer}"] = float(flat.norm(1))
            sums[f"kl_{direction}_l2@{layer}"] = float(flat.norm(2))
        forward, reverse = pair
        cosine = nn.functional.cosine_similarity(forward, reverse, dim=0)
        sums[f"kl_cosine@{layer}"] = float(cosine)
    return sums


def _layers(network: Network) -> dict[str, list[str]]:
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
    """Return the gradient of a loss by each parameter's name; zeros if unused."""
    named = dict(network.named_parameters())
    gradients = torch.autograd.grad(
        loss, list(named.values()), retain_graph=True, allow_unused=True, materialize_grads=True
    )
    return dict(zip(named, gradients, strict=True))


@contextlib.contextmanager
def _record_calls(network: Network) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Provide a list of the inputs and outputs of the last linear layer."""
    recorded: list[tuple[Tensor, Tensor]] = []
    layers = [layer for layer in network.classifier.modules() if isinstance(layer, nn.Linear)]
    hook = layers[-1].register_forward_hook(
        lambda _, taken, output: recorded.append((taken[0].detach(), output.detach()))
    )
    try:
        yield recorded
    finally:
        hook.remove()


@dataclass(frozen=True)
class Probe:
    """Images (n, channels, side, side) in [0, 1] for comparing gradients in training."""

    network: Network
    pixels: Tensor
    recipe: Recipe

    def __call__(self, epoch: int) -> dict[str, float]:
        """Return `kl_gradients` after a requested epoch, by random numbers of its own."""
        if epoch not in self.recipe.probe_epochs:
            return {}
        masks = generator(self.recipe.seed, "probe", device=self.pixels.device.type)
        gpus = [self.pixels.device] if self.pixels.device.type == "cuda" else []
        with torch.random.fork_rng(devices=gpus):
            torch.manual_seed(derived_seed(self.recipe.seed, "probe layers"))
            return kl_gradients(self.network, self.pixels, self.recipe, masks)


def probe_of(network: Network, images: ImageSet, recipe: Recipe, device: torch.device) -> Probe:
    """Return a recipe's probe on unaugmented images; raise InputError for epochs past the last."""
    beyond = [epoch for epoch in recipe.probe_epochs if not 0 <= epoch <= recipe.epochs]
    if beyond:
        raise InputError(
            f"probe_epochs has {beyond[0]}; training has epochs 0 (before it) to {recipe.epochs}"
        )
    if recipe.probe_epochs and recipe.probe_images < 2:
        raise InputError(f"probe_images is {recipe.probe_images}; batch norm needs 2 or more")
    if not recipe.probe_epochs:
        return Probe(network, torch.empty(0, device=device), recipe)
    chosen = subset_indices(
        len(images), recipe.probe_images, labels=images.labels, seed=recipe.seed
    )
    (pixels,) = images.batches(len(chosen), chosen, str(device))
    return Probe(network, pixels.float().div_(255), recipe)


IMAGES, WIDTH, CLASSES = 4, 12, 7


def check_lemma_1(trials: int = 20, seed: int = 0) -> dict[str, float]:
    """Compare autograd's gradient of each direction with the closed form of the paper's Lemma 1.

    Uses random features, a random linear classifier and two dropout masks, T = 1, in float64.
    Return the largest L2 norm of the difference of each direction, relative to the closed form.
    """
    worst = dict.fromkeys(DIRECTIONS, 0.0)
    for trial in range(trials):
        random = torch.Generator().manual_seed(seed + trial)
        features = torch.randn(IMAGES, WIDTH, generator=random, dtype=torch.float64).abs()
        weights = torch.randn(CLASSES, WIDTH, generator=random, dtype=torch.float64)
        weights.requires_grad_()
        masks = random.get_state()
        for direction in DIRECTIONS:
            actual = _by_autograd(features, weights, direction, random.set_state(masks))
            expected = _by_lemma(features, weights, direction, random.set_state(masks))
            error = float((actual - expected).norm() / expected.norm())
            worst[direction] = max(worst[direction], error)
    return {str(direction): error for direction, error in worst.items()}


def _by_autograd(
    features: Tensor, weights: Tensor, direction: Direction, masks: torch.Generator
) -> Tensor:
    loss = sd_dropout_loss(
        features,
        lambda taken: taken @ weights.T,
        drop_rate=0.5,
        temperature=1.0,
        direction=direction,
        generator=masks,
    )
    return torch.autograd.grad(loss, weights)[0]


def _by_lemma(
    features: Tensor, weights: Tensor, direction: Direction, masks: torch.Generator
) -> Tensor:
    """Return Σ_i of Lemma 1's coefficient times ∇p_i or ∇q_i, batch mean."""
    u, v = dropped(features, 0.5, masks), dropped(features, 0.5, masks)
    p, q = (taken @ weights.T for taken in (u, v))
    p, q = p.softmax(dim=1), q.softmax(dim=1)
    ratio = (p / q).detach()
    if direction == "forward":
        total = ((1 - ratio) * q).sum() + ((1 - 1 / ratio) * p).sum()
    else:
        total = (ratio.log() * p).sum() - (ratio.log() * q).sum()
    return torch.autograd.grad(total / len(features), weights)[0]
