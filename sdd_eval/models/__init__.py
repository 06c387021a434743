"""Networks from pixels in [0, 1] to logits; standardisation is their first layer."""
