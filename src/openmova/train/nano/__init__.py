"""How the embedded nano model was made: `python -m openmova.train.nano`.

Stages, each resumable: pictures (data), experts, alignment, instruction, export.
"""
