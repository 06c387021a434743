"""Pixelwise noise: Gaussian, shot, impulse and speckle."""

from __future__ import annotations

import numpy as np

from sdd_eval.data.corruption.definition import Definition, Draws, Floats


def draw_normal(random: np.random.Generator, image: Floats, constants: float) -> Draws:
    """Draw a standard normal number for each value."""
    return (random.standard_normal(image.shape, dtype=np.float32),)


def draw_uniform(random: np.random.Generator, image: Floats, constants: float) -> Draws:
    """Draw a number in [0, 1) for each value."""
    return (random.random(image.shape, dtype=np.float32),)


def draw_photons(random: np.random.Generator, image: Floats, constants: float) -> Draws:
    """Draw the photon count of each value; white is `constants` photons on average."""
    return (random.poisson(image.astype(np.float64) * constants).astype(np.float32),)


def gaussian_noise(images: Floats, scale: float, noise: Floats) -> Floats:
    """Add normal noise of standard deviation `scale`."""
    return images + scale * noise


def shot_noise(images: Floats, white: float, photons: Floats) -> Floats:
    """Return photon counts as brightness; a count of `white` is white."""
    return photons / white


def impulse_noise(images: Floats, amount: float, chance: Floats) -> Floats:
    """Set a share `amount` of the values to 1 or 0 (salt and pepper), each equally often."""
    peppered = np.where(chance < amount / 2, 0, images)
    return np.where((chance >= amount / 2) & (chance < amount), 1, peppered)


def speckle_noise(images: Floats, scale: float, noise: Floats) -> Floats:
    """Add normal noise proportional to the value."""
    return images + images * (scale * noise)


NOISE = {
    "gaussian_noise": Definition((0.04, 0.06, 0.08, 0.09, 0.10), gaussian_noise, draw_normal),
    "shot_noise": Definition((500, 250, 100, 75, 50), shot_noise, draw_photons),
    "impulse_noise": Definition((0.01, 0.02, 0.03, 0.05, 0.07), impulse_noise, draw_uniform),
    "speckle_noise": Definition((0.06, 0.1, 0.12, 0.16, 0.2), speckle_noise, draw_normal),
}
