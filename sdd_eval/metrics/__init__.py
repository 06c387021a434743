"""Pure functions from arrays to numbers; no model, no data."""
