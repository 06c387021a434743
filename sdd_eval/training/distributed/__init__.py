"""Data-parallel training: processes, shards of a batch, synchronised batch normalisation."""
