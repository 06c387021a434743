"""Evaluators of adversarial robustness: FGSM, attacks of torchattacks, the audit."""
