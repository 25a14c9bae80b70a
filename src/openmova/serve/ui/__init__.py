"""The chat page, on the same engine."""
