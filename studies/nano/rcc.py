"""Files inside a Qt resource file (.rcc), as GCompris ships its pictures.

Layout (Qt 5 and 6, rcc.cpp of qtbase): the word "qres", the format's version and the offsets of a
tree, of the data and of the names, each 4 bytes big-endian. A node of the tree has 14 bytes, 22
from version 2 on: the offset of its name, flags, then for a folder the number and the index of its
children, for a file its language and the offset of its data.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from openmova.errors import UserError

COMPRESSED, FOLDER, ZSTANDARD = 1, 2, 4


def read_resource(file: Path, name: str) -> bytes:
    """The bytes of one file inside; `name` is its path without a leading slash.

    Raises UserError for another kind of file, or a name that is not inside.
    """
    for path, content in resources(file):
        if path == name:
            return content
    raise UserError(f"{file} has no {name}: another version of the package?")


def resources(file: Path) -> Iterator[tuple[str, bytes]]:
    """Every file inside, by path. Raises UserError where the file is no Qt resource."""
    held = file.read_bytes()
    if held[:4] != b"qres":
        raise UserError(f"{file} is no Qt resource file")
    version, tree, data, names = struct.unpack_from(">4I", held, 4)
    size = 22 if version >= 2 else 14

    def name_at(offset: int) -> str:
        (length,) = struct.unpack_from(">H", held, names + offset)
        start = names + offset + 6
        return held[start : start + 2 * length].decode("utf-16-be")

    def walk(node: int, folder: str) -> Iterator[tuple[str, bytes]]:
        name, flags = struct.unpack_from(">IH", held, tree + node * size)
        path = folder + name_at(name) if node else ""
        first, second = struct.unpack_from(">II", held, tree + node * size + 6)
        if flags & FOLDER:
            for child in range(second, second + first):
                yield from walk(child, f"{path}/" if path else "")
            return
        if flags & ZSTANDARD:
            raise UserError(f"{path} in {file} is compressed by Zstandard, which is not read here")
        (length,) = struct.unpack_from(">I", held, data + second)
        content = held[data + second + 4 : data + second + 4 + length]
        yield path, zlib.decompress(content[4:]) if flags & COMPRESSED else content

    yield from walk(0, "")
