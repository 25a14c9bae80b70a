"""Research beside the library: what makes and measures nano, and the paper's claims."""

from __future__ import annotations

import argparse


def new_parser(description: str | None) -> argparse.ArgumentParser:
    """Of a program's arguments, whose help begins with its docstring as it is written."""
    return argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
