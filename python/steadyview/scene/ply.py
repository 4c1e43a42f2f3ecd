"""PLY files as NumPy structured arrays: ASCII, and binary in either byte order."""

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np

from steadyview.errors import InputError
from steadyview.files import atomic_bytes

__all__ = ["read_ply", "write_ply"]

TYPES = {
    "char": "i1", "uchar": "u1", "short": "i2", "ushort": "u2", "int": "i4", "uint": "u4",
    "float": "f4", "double": "f8", "int8": "i1", "uint8": "u1", "int16": "i2", "uint16": "u2",
    "int32": "i4", "uint32": "u4", "float32": "f4", "float64": "f8",
}  # fmt: skip
NAMES = {"i1": "char", "u1": "uchar", "i2": "short", "u2": "ushort", "i4": "int", "u4": "uint",
         "f4": "float", "f8": "double"}  # fmt: skip
BYTE_ORDERS = {"binary_little_endian": "<", "binary_big_endian": ">", "ascii": "="}
LONGEST_LINE = 4096
MOST_LINES = 10_000  # of a header; Gaussians have about seventy


@dataclass
class _Element:
    name: str
    count: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    has_lists: bool = False


def read_ply(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the elements of a PLY file.

    Args:
        path: the file.

    Returns:
        For each element a structured array, one record a row, in this machine's byte order. An
        element with list properties (the faces of a mesh), and what follows it, is left out.

    Raises:
        InputError: the file cannot be read, is not PLY, or is truncated.
    """
    try:
        with Path(path).open("rb") as file:
            return _read(file, os.fstat(file.fileno()).st_size)
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from error
    except _Broken as error:
        raise InputError(f"{path}: {error}") from None


def write_ply(
    path: str | os.PathLike, elements: Mapping[str, np.ndarray], comments: Iterable[str] = ()
) -> None:
    """Writes a little-endian binary PLY file, whole or not at all.

    Args:
        path: the file; an existing one is replaced.
        elements: structured arrays of one dimension by name, with scalar fields.
        comments: lines of the header.

    Raises:
        OutputError: it cannot be written; nothing is left behind.
    """
    lines = ["ply", "format binary_little_endian 1.0", *(f"comment {line}" for line in comments)]
    rows = []
    for name, values in elements.items():
        lines.append(f"element {name} {len(values)}")
        for column in values.dtype.names or ():
            kind = values.dtype[column]
            lines.append(f"property {NAMES[kind.kind + str(kind.itemsize)]} {column}")
        rows.append(np.ascontiguousarray(values, values.dtype.newbyteorder("<")))
    header = "\n".join([*lines, "end_header", ""])
    atomic_bytes(path, [header.encode("ascii"), *(memoryview(row).cast("B") for row in rows)])


class _Broken(Exception):
    """What is wrong with the file, without its name."""


def _read(file: BinaryIO, size: int) -> dict[str, np.ndarray]:
    order, elements = _header(file)
    found = {}
    for element in elements:
        if element.has_lists:
            break
        kind = np.dtype([(name, order + code) for name, code in element.fields])
        if element.count and not element.fields:
            raise _Broken(f"its element {element.name!r} has rows, but no properties")
        if order == "=":
            if element.count > size:  # a row takes at least a byte
                raise _Broken(f"truncated: {element.count} rows of {element.name!r} are announced")
            found[element.name] = _text_rows(file, element, kind)
            continue
        wanted, left = element.count * kind.itemsize, size - file.tell()
        if wanted > left:
            raise _Broken(
                f"truncated: {element.count} rows of {element.name!r} take {wanted} bytes, "
                f"{left} are there"
            )
        rows = np.fromfile(file, kind, element.count)
        found[element.name] = rows.astype(kind.newbyteorder("="), copy=False)
    return found


def _header(file: BinaryIO) -> tuple[str, list[_Element]]:
    if file.readline(LONGEST_LINE).strip() != b"ply":
        raise _Broken("not a PLY file")
    order, elements = "", list[_Element]()
    for _ in range(MOST_LINES):
        match _line(file):
            case ["end_header"]:
                if not order:
                    raise _Broken("its header names no format")
                return order, elements
            case [] | ["comment" | "obj_info", *_]:
                pass
            case ["format", name, "1.0"] if name in BYTE_ORDERS:
                order = BYTE_ORDERS[name]
            case ["element", name, count] if count.isdecimal():
                if any(name == other.name for other in elements):
                    raise _Broken(f"its header has the element {name!r} twice")
                elements.append(_Element(name, int(count)))
            case ["property", "list", *_] if elements:
                elements[-1].has_lists = True
            case ["property", kind, name] if elements and kind in TYPES:
                if any(name == other for other, _ in elements[-1].fields):
                    raise _Broken(f"its header has the property {name!r} twice")
                elements[-1].fields.append((name, TYPES[kind]))
            case words:
                raise _Broken(f"its header has a line that is not PLY: {' '.join(words)[:80]!r}")
    raise _Broken("its header does not end")


def _line(file: BinaryIO) -> list[str]:
    line = file.readline(LONGEST_LINE)
    if line.split()[:1] in ([b"comment"], [b"obj_info"]):  # as long as it likes
        while line and not line.endswith(b"\n"):
            line = file.readline(LONGEST_LINE)
        return ["comment"]
    if not line.endswith(b"\n"):
        raise _Broken("truncated: its header does not end")
    return line.decode("ascii", "replace").split()


def _text_rows(file: BinaryIO, element: _Element, kind: np.dtype) -> np.ndarray:
    if not element.count or not element.fields:
        return np.zeros(element.count, kind)
    lines = list(itertools.islice((line for line in file if line.strip()), element.count))
    if len(lines) < element.count:
        raise _Broken(
            f"truncated: {element.count} rows of {element.name!r} are announced, "
            f"{len(lines)} are there"
        )
    try:
        return np.loadtxt(lines, kind, comments=None, ndmin=1, encoding="ascii")
    except ValueError as error:
        for row, line in enumerate(lines):
            if (found := len(line.split())) != len(element.fields):
                wanted = f"{len(element.fields)} values, {found} are there"
                raise _Broken(f"truncated? Row {row} of {element.name!r} takes {wanted}") from None
        raise _Broken(f"a row of {element.name!r} cannot be read: {error}") from None
