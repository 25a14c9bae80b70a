"""Evaluation: metrics and the offline suites."""
