"""Gradients of forward and reverse KL in a network: norms and similarity per layer.

The SD-Dropout term itself is measured under one pair of masks, whatever the training method. The "1
−" in the paper's form of the forward gradient is arbitrary (see `sdd_eval.paper.proposition`), so
norms and cosine of the full gradients, which update the weights, are measured as well.

Source: Lee, Park, Seo, Kang (2022), "Self-knowledge distillation via dropout", section 3.3, Table 8
and Figure 4.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdd_eval.data.images import ImageSet
from sdd_eval.data.splits import subset_indices
from sdd_eval.errors import InputError
from sdd_eval.models.network import Network, restored
from sdd_eval.randomness import derived_seed, generator
from sdd_eval.records import Recipe
from sdd_eval.training.epochs import Probe
from sdd_eval.training.methods.distillation_losses import log_softmax
from sdd_eval.training.methods.sd_dropout import Direction, masked_logits, symmetric_kl

#: All parameters together, reported like a layer.
WHOLE = "all"

DIRECTIONS: tuple[Direction, ...] = ("forward", "reverse")


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
        classify = functools.partial(network.classify, stage=stage)
        recorded: list[tuple[Tensor, Tensor]] = []  # inputs and outputs of the last linear layer
        linear = [layer for layer in network.classifier.modules() if isinstance(layer, nn.Linear)]
        with linear[-1].register_forward_hook(
            lambda _, taken, output: recorded.append((taken[0].detach(), output.detach()))
        ):
            masked = masked_logits(activation, classify, recipe.drop_rate, generator)
        log_u, log_v = (log_softmax(logits, recipe.temperature) for logits in masked)
        losses = {
            direction: recipe.temperature**2 * symmetric_kl(log_u, log_v, direction)
            for direction in DIRECTIONS
        }
        taken, logits = (torch.cat(parts) for parts in zip(*recorded, strict=True))
        measured = assumptions(taken, logits / recipe.temperature)
        return measured | _compare_gradients(network, losses)


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
    # log(ρ + e − 1), where ρ may be huge: log ρ + log(1 + (e − 1)/ρ)
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
    ratio = log_ratio.clamp_max(600).exp()  # beyond this, the sign does not change
    return r * (ratio + 1) - torch.expm1(r) + ratio * torch.expm1(-r)


def _compare_gradients(network: Network, losses: Mapping[Direction, Tensor]) -> dict[str, float]:
    """Return norms and cosine of the gradients of both losses, for all parameters and by layer."""
    parameters, owners = list(network.parameters()), _owners(network)
    grad = functools.partial(torch.autograd.grad, allow_unused=True, materialize_grads=True)
    gradients = {
        direction: grad(loss, parameters, retain_graph=True) for direction, loss in losses.items()
    }
    results: dict[str, float] = {}
    for layer in (WHOLE, *dict.fromkeys(owners)):
        chosen = [index for index, owner in enumerate(owners) if layer in (owner, WHOLE)]
        flat = {
            direction: torch.cat([of_all[index].flatten().double() for index in chosen])
            for direction, of_all in gradients.items()
        }
        for direction, gradient in flat.items():
            results[f"kl_{direction}_l1@{layer}"] = float(gradient.norm(1))
            results[f"kl_{direction}_l2@{layer}"] = float(gradient.norm(2))
        forward, reverse = flat.values()
        results[f"kl_cosine@{layer}"] = float(torch.cosine_similarity(forward, reverse, dim=0))
    return results


def _owners(network: Network) -> list[str]:
    """Return the layer of each parameter, in their order."""
    modules = {**network.stages(), "classifier": network.classifier}
    owner = {id(p): layer for layer, module in modules.items() for p in module.parameters()}
    return [owner.get(id(parameter), "rest") for parameter in network.parameters()]


def probe_of(network: Network, images: ImageSet, recipe: Recipe, device: torch.device) -> Probe:
    """Return a function that returns `kl_gradients` after the epochs that the recipe requests.

    They are measured on unaugmented images, with their own random numbers. Raise InputError for
    epochs past the last, or fewer than two images.
    """
    beyond = [epoch for epoch in recipe.probe_epochs if not 0 <= epoch <= recipe.epochs]
    if beyond:
        raise InputError(
            f"probe_epochs has {beyond[0]}; training has epochs 0 (before it) to {recipe.epochs}"
        )
    if recipe.probe_epochs and recipe.probe_images < 2:
        raise InputError(f"probe_images is {recipe.probe_images}; batch norm needs 2 or more")
    if not recipe.probe_epochs:
        return lambda epoch: {}
    seed = recipe.seed
    chosen = subset_indices(len(images), recipe.probe_images, labels=images.labels, seed=seed)
    (pixels,) = images.batches(len(chosen), chosen, str(device))
    pixels = pixels.float().div_(255)

    def probe(epoch: int) -> dict[str, float]:
        if epoch not in recipe.probe_epochs:
            return {}
        with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
            torch.manual_seed(derived_seed(seed, "probe layers"))
            masks = generator(seed, "probe", device=device.type)
            return kl_gradients(network, pixels, recipe, masks)

    return probe


IMAGES, WIDTH, CLASSES = 4, 12, 7


def check_lemma_1(trials: int = 20, seed: int = 0) -> dict[str, float]:
    """Compare autograd's gradient of each direction with the closed form of the paper's Lemma 1.

    Uses random features, a random linear classifier and two dropout masks, T = 1, in float64.
    Return, for each direction, the largest L2 norm of the difference relative to the closed form.
    """
    worst: dict[str, float] = dict.fromkeys(DIRECTIONS, 0.0)
    for trial in range(trials):
        random = torch.Generator().manual_seed(seed + trial)
        features = torch.randn(IMAGES, WIDTH, generator=random, dtype=torch.float64).abs()
        weights = torch.randn(CLASSES, WIDTH, generator=random, dtype=torch.float64)
        weights.requires_grad_()
        classify = functools.partial(nn.functional.linear, weight=weights)
        masked = masked_logits(features, classify, 0.5, random)
        log_p, log_q = map(log_softmax, masked)
        for direction in DIRECTIONS:
            actual, expected = (
                torch.autograd.grad(loss, weights, retain_graph=True)[0]
                for loss in (
                    symmetric_kl(log_p, log_q, direction),
                    _lemma_1(log_p.exp(), log_q.exp(), direction) / IMAGES,
                )
            )
            error = float((actual - expected).norm() / expected.norm())
            worst[direction] = max(worst[direction], error)
    return worst


def _lemma_1(p: Tensor, q: Tensor, direction: Direction) -> Tensor:
    """Return a number whose gradient is Σ_i of Lemma 1's coefficient times ∇p_i or ∇q_i."""
    ratio = (p / q).detach()
    if direction == "forward":
        return ((1 - ratio) * q).sum() + ((1 - 1 / ratio) * p).sum()
    return (ratio.log() * p).sum() - (ratio.log() * q).sum()
