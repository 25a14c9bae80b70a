# ruff: noqa: E501 - a table
"""The packages that pictures are made of, with their licences; `python -m studies.nano.data.sources`
writes them as a table to studies/nano/SOURCES.md.

GPL pictures are trained on and never redistributed: only this code is in the repository.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Source:
    """A package: what is taken of it, and under which licence that is."""

    registry: str
    what: str
    licence: str
    kinds: str


SOURCES: dict[str, Source] = {
    "wordnet-base": Source(registry="Debian", what="definitions and sentences (data.noun)", licence="WordNet (BSD-like)", kinds="text, screens, receipts"),
    "mate-backgrounds": Source(registry="Debian", what="nature photos as backgrounds", licence="GPL-2+", kinds="photos, places, signs, pairs, receipts"),
    "plasma-workspace-wallpapers": Source(registry="Debian", what="photos as backgrounds", licence="GPL-2+", kinds="photos, places, signs, pairs, receipts"),
    "lomiri-wallpapers-16.04": Source(registry="Debian", what="photos as backgrounds", licence="CC-BY-4.0, CC-BY-SA, CC0", kinds="photos, places, signs, pairs, receipts"),
    "stellarium-data": Source(registry="Debian", what="landscape photos as backgrounds", licence="GPL-2+", kinds="photos, places, signs, pairs, receipts"),
    "tuxpaint-stamps-default": Source(registry="Debian", what="photo cut-outs and drawings with names", licence="GPL-2", kinds="photos, places, pairs, kinds"),
    "sweethome3d-furniture": Source(registry="Debian", what="furniture with names", licence="CC-BY-3.0, CC0, GPL", kinds="photos, places"),
    "openclipart-png": Source(registry="Debian", what="drawings", licence="public domain", kinds="photos, kinds"),
    "mricron-data": Source(registry="Debian", what="slices of brain scans", licence="BSD-3-Clause and the atlases' terms", kinds="kinds"),
    "kgeography-data": Source(registry="Debian", what="maps and flags with names", licence="GPL-2+", kinds="kinds"),
    **{
        name: Source(registry="Debian", what="PDF manual", licence=terms, kinds="pages, page-text, kinds")
        for name, terms in {
            "lilypond-doc-pdf": "GFDL-1.3+", "lilypond-doc-pdf-de": "GFDL-1.3+", "lilypond-doc-pdf-fr": "GFDL-1.3+", "lilypond-doc-pdf-es": "GFDL-1.3+",
            "debian-reference-en": "GPL-2+", "debian-reference-de": "GPL-2+", "debian-reference-fr": "GPL-2+", "debian-reference-es": "GPL-2+",
            "c++-annotations-pdf": "GPL-2+", "auto-multiple-choice-doc-pdf": "GPL-2+", "glpk-doc": "GPL-3+", "gnuplot-doc": "gnuplot", "erlang-doc": "Apache-2.0", "freefem-doc": "LGPL-3+",
        }.items()
    },
    **{
        name: Source(registry="Debian", what="HTML manual", licence=terms, kinds="screens")
        for name, terms in {
            "git-doc": "GPL-2", "apache2-doc": "Apache-2.0", "debian-policy": "GPL-2+",
            "sqlite3-doc": "public domain", "python3.11-doc": "PSF-2", "maxima-doc": "GPL-2+",
        }.items()
    },
}  # fmt: skip


def licence(*packages: str) -> str:
    """The licences of packages, each once."""
    return ", ".join(dict.fromkeys(SOURCES[name].licence for name in packages))
