"""Routing data: which experts help with which sample, found from the losses of probe models."""
