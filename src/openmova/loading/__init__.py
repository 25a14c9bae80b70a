"""From a checkpoint folder to a model in memory: its size, its place, its numbers."""
