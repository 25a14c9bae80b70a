"""Data: what models are trained and evaluated on."""
