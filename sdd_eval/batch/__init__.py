"""A study file → many trainings and evaluations, on an engine: this process, or a Ray cluster."""
