"""The embedded model, from packages to its model card."""
