"""Tasks for lmms-eval, for its option --include_path; `evaluate/grounding.py` says why."""
