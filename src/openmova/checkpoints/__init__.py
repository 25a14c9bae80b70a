"""Checkpoint layouts: the released MoVA-8B's names, the cache, the embedded nano model."""
