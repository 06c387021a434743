"""Training methods of another package that keep state: PS-KD, Mixup and an average as teacher."""

import copy
from dataclasses import dataclass

import torch
from torch.nn import functional

from sdd_eval.training.methods.method import BaseMethod, Losses


def forward(step, pixels):
    activations = step.network.activations(pixels)
    return step.network.classify(activations["features"]).float(), activations


@dataclass(frozen=True)
class ProgressiveDistillation(BaseMethod):
    """PS-KD (Kim et al., ICCV 2021): targets move from the labels to the epoch before."""

    final_share: float = 0.8
    """Share of the past prediction in the target of the last epoch."""

    def memory(self, network, images):
        empty = torch.zeros(images, network.spec.classes)
        return {"before": empty, "now": empty.clone()}

    def losses(self, step):
        rows, labels = step.batch.indices, step.batch.labels
        logits, activations = forward(step, step.batch.pixels)
        hard = functional.one_hot(labels, logits.shape[1]).float()
        share = self.final_share * (step.epoch + 1) / step.epochs if step.epoch else 0.0
        target = (1 - share) * hard + share * step.memory["before"][rows]
        step.memory["now"][rows] = logits.detach().softmax(dim=1)
        return Losses({"ps_kd": functional.cross_entropy(logits, target)}, logits, activations)

    def after_epoch(self, end):
        end.memory["before"].copy_(end.summed(end.memory["now"]))
        end.memory["now"].zero_()


@dataclass(frozen=True)
class Mixup(BaseMethod):
    """Mixup (Zhang et al., ICLR 2018) with weights from the uniform distribution, α = 1."""

    def losses(self, step):
        pixels, labels, draws = step.batch.pixels, step.batch.labels, step.generator
        weight = torch.rand((), generator=draws, device=pixels.device)
        other = torch.randperm(len(labels), generator=draws, device=pixels.device)
        logits, activations = forward(step, weight * pixels + (1 - weight) * pixels[other])
        ces = [functional.cross_entropy(logits, target) for target in (labels, labels[other])]
        term = weight * ces[0] + (1 - weight) * ces[1]
        return Losses({"mixed_ce": term}, logits, activations)


@dataclass(frozen=True)
class MeanTeacher(BaseMethod):
    """The average of the network's weights as its teacher (Tarvainen and Valpola, NIPS 2017)."""

    decay: float = 0.9
    """Decay of the average."""

    def parts(self, network):
        return {"teacher": copy.deepcopy(network).requires_grad_(False)}

    def memory(self, network, images):
        return {"updates": torch.zeros((), dtype=torch.int64)}

    def losses(self, step):
        logits, activations = forward(step, step.batch.pixels)
        with torch.no_grad():
            teacher = step.parts["teacher"](step.batch.pixels).float().softmax(dim=1)
        terms = {
            "ce": functional.cross_entropy(logits, step.batch.labels),
            "teacher": functional.cross_entropy(logits, teacher),
        }
        return Losses(terms, logits, activations)

    def after_update(self, step):
        decay = min(self.decay, 1 - 1 / (int(step.memory["updates"]) + 1))
        step.memory["updates"] += 1
        pairs = zip(step.parts["teacher"].parameters(), step.network.parameters(), strict=True)
        for average, weight in pairs:
            average.lerp_(weight, 1 - decay)
