# ruff: noqa: E501 - a table
"""The packages that pictures are made of, with their licences; studies/nano/SOURCES.md has their counts.

GPL pictures are trained on and never redistributed: only this code is in the repository.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """A package: what is taken of it, and under which licence that is."""

    what: str
    licence: str


SOURCES: dict[str, Source] = {
    "wordnet-base": Source(what="definitions and sentences (data.noun)", licence="WordNet (BSD-like)"),
    "mate-backgrounds": Source(what="nature photos as backgrounds", licence="GPL-2+"),
    "plasma-workspace-wallpapers": Source(what="photos as backgrounds", licence="GPL-2+"),
    "lomiri-wallpapers-16.04": Source(what="photos as backgrounds", licence="CC-BY-4.0, CC-BY-SA, CC0"),
    "stellarium-data": Source(what="landscape photos as backgrounds", licence="GPL-2+"),
    "tuxpaint-stamps-default": Source(what="photo cut-outs and drawings with names", licence="GPL-2"),
    "sweethome3d-furniture": Source(what="furniture with names", licence="CC-BY-3.0, CC0, Free Art"),
    "openclipart-png": Source(what="drawings", licence="public domain"),
    **{
        f"wesnoth-1.16-{name}": Source(what="painted scenes and portraits", licence="GPL-2+")
        for name in ("httt", "utbs", "ei")
    },
    "invesalius-examples": Source(what="slices of a head by computed tomography", licence="GPL-2"),
    "kgeography-data": Source(what="maps and flags with names", licence="GPL-2+, GFDL-1.2+, CC0"),
    **{
        name: Source(what="PDF manual", licence=terms)
        for name, terms in {
            "lilypond-doc-pdf": "GFDL-1.3+", "lilypond-doc-pdf-de": "GFDL-1.3+", "lilypond-doc-pdf-fr": "GFDL-1.3+", "lilypond-doc-pdf-es": "GFDL-1.3+",
            "debian-reference-en": "GPL-2+", "debian-reference-de": "GPL-2+", "debian-reference-fr": "GPL-2+", "debian-reference-es": "GPL-2+",
            "c++-annotations-pdf": "GPL", "auto-multiple-choice-doc-pdf": "GPL-3+", "glpk-doc": "GFDL-1.3+, GPL-3+", "gnuplot-doc": "gnuplot", "erlang-doc": "Apache-2.0", "freefem-doc": "GFDL-1.1+, GPL",
        }.items()
    },
    **{
        name: Source(what="HTML manual", licence=terms)
        for name, terms in {
            "git-doc": "GPL-2, GPL-2+", "apache2-doc": "Apache-2.0", "debian-policy": "GPL-2+",
            "sqlite3-doc": "public domain", "python3.11-doc": "PSF-2", "maxima-doc": "GPL-2+",
        }.items()
    },
}  # fmt: skip


def licence(*packages: str) -> str:
    """The licences of packages, each once."""
    return ", ".join(dict.fromkeys(SOURCES[name].licence for name in packages))
