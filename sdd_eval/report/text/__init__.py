"""The sentences of a report: findings, warnings, and whether a gain may be called robust."""
