"""Training data of a kind: `python -m studies.nano.data KIND --output DIR --count N --seed S`."""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path

from openmova.errors import UserError
from studies.nano.data.record import write

KINDS = {
    "text": "texts as a reader gives them, without a picture",
    "receipts": "receipts, invoices, forms, tickets, lists, labels",
    "screens": "dialogs, windows, web pages",
    "charts": "charts of five libraries",
    "base_r": "charts of the library that is held out",
    "photos": "one thing in a photo or a drawing",
    "places": "several things in a photo: is there, how many, where",
    "signs": "short texts on boards in photos",
    "pages": "pages of real PDFs",
    "reports": "pages with headings and tables to be counted",
    "page_text": "their text, without a picture",
    "gallery": "what kind of image is it; real pictures of packages",
    "figures": "what kind of image is it; plots, diagrams, paintings",
    "kinds": "what kind of image is it; scans and persons to be declined",
    "routing": "questions with the experts that they need, without a picture",
    "pairs": "questions that need two experts",
}


def main() -> None:
    """Makes what is not there yet in the folder; the same seed gives the same items."""
    parser = argparse.ArgumentParser(prog="python -m studies.nano.data", description=main.__doc__)
    kinds = "; ".join(f"{name}: {meaning}" for name, meaning in KINDS.items())
    parser.add_argument("kind", choices=KINDS, metavar="KIND", help=kinds)
    parser.add_argument("--output", type=Path, required=True, help="the folder of the data")
    parser.add_argument("--count", type=int, required=True, help="how many pictures or texts")
    parser.add_argument("--seed", type=int, default=0)
    chosen = parser.parse_args()
    try:
        make = importlib.import_module(f"studies.nano.data.{chosen.kind}").make
        write(chosen.kind, make, chosen.output, count=chosen.count, seed=chosen.seed)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
