"""Tasks for lmms-eval, for its option --include_path; `evaluate/referring_tasks.py` says why."""
