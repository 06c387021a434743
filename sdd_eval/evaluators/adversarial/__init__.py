"""Adversarial robustness: FGSM, the attacks of torchattacks, AutoAttack, and an audit.

Functions that need torch are loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdd_eval.lazy import lazy_exports

if TYPE_CHECKING:
    from sdd_eval.evaluators.adversarial.attack_run import audited, clean, under_attack
    from sdd_eval.evaluators.adversarial.fgsm_attack import predictions_under_attack
    from sdd_eval.evaluators.gradients import input_gradients, stable_loss
else:
    __getattr__, __all__ = lazy_exports(__name__)
