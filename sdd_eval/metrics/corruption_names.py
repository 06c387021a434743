"""The names of the corruptions, in the order in which tables and figures show them.

Source: D. Hendrycks, T. Dietterich, "Benchmarking Neural Network Robustness to Common Corruptions
and Perturbations", 2019.
"""

from __future__ import annotations

#: Those of the benchmark's mean: noise, blur, weather, digital.
FIFTEEN = (
    *("gaussian_noise", "shot_noise", "impulse_noise"),
    *("defocus_blur", "glass_blur", "motion_blur", "zoom_blur"),
    *("snow", "frost", "fog", "brightness"),
    *("contrast", "elastic_transform", "pixelate", "jpeg_compression"),
)

#: Those that lie beside them in the archives.
EXTRA = ("speckle_noise", "gaussian_blur", "spatter", "saturate")

NINETEEN = (*FIFTEEN, *EXTRA)

SEVERITIES = (1, 2, 3, 4, 5)
