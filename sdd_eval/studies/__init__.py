"""Studies: TOML files resolved to trainings, evaluations and comparisons, and run."""
