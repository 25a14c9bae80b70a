"""Routing over experts that no training saw (paper, table 10)."""
