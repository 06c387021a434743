"""Random numbers derived from (seed, purpose, index), independent of the order of work."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def derived_seed(seed: int, purpose: str, index: int = 0) -> int:
    """Return a 63-bit seed derived from (seed, purpose, index)."""
    text = f"{seed}/{purpose}/{index}".encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "little") >> 1


def generator(seed: int, purpose: str, index: int = 0, device: str = "cpu") -> torch.Generator:
    """Return a torch generator seeded from (seed, purpose, index)."""
    import torch

    return torch.Generator(device).manual_seed(derived_seed(seed, purpose, index))


def seed_global(seed: int, purpose: str, index: int = 0) -> None:
    """Seed torch's global random state, which layers draw from and are initialised with."""
    import torch

    torch.manual_seed(derived_seed(seed, purpose, index))
