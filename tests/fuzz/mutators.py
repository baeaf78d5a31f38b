"""Mutations of valid files; mutations of a format repair its checksums and lengths."""

import io
import json
import re
import struct
import zipfile
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from random import Random
from typing import Any

import h5py
import numpy as np

from spike_zoo.coding import header as sci
from spike_zoo.coding.spl import header as spl

Mutate = Callable[[bytes, Random], bytes]

_INTEGERS = (0, 1, 127, 128, 255, 256, 32767, 65535, 2**31 - 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1)
_WORDS = (
    *(
        "0",
        "-1",
        "1e999",
        "-1e999",
        ".nan",
        ".inf",
        "1.5",
        str(2**63),
        str(10**400),
        "true",
        "null",
    ),
    *("''", "[]", "{}", "[1, 2]", "{a: 1}", "../../x", "/etc/passwd", "x" * 5000, "\u202e\x1b[31m"),
    *("!!python/object/apply:os.system [x]", "&a [*a]", "<<: {}", "2026-01-01", "0x7f", "é\u0000"),
)


_DAMAGED = (
    *(ValueError, OSError, RuntimeError, LookupError, OverflowError, TypeError, EOFError),
    *(struct.error, zlib.error, zipfile.BadZipFile),
)


def any_bytes(data: bytes, random: Random) -> bytes:
    """Change, insert, remove, repeat or cut a few bytes."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4, 8))):
        place = random.randrange(len(changed) + 1)
        kind = random.randrange(7)
        if kind == 0 and changed:
            changed[place % len(changed)] ^= 1 << random.randrange(8)
        elif kind == 1:
            width = random.choice((1, 2, 4, 8))
            value = random.choice(_INTEGERS) % 256**width
            changed[place : place + width] = value.to_bytes(width, random.choice(("little", "big")))
        elif kind == 2:
            changed[place:place] = random.randbytes(random.randrange(1, 9))
        elif kind == 3:
            del changed[place : place + random.choice((1, 2, 4, 16, 256))]
        elif kind == 4:
            start = random.randrange(len(changed) + 1)
            changed[place:place] = changed[start : start + random.randrange(64)]
        elif kind == 5:
            changed[place : place + 16] = bytes([random.choice((0, 255))]) * 16
        elif random.random() < 0.3:
            del changed[place:]
    return bytes(changed)


def text(data: bytes, random: Random) -> bytes:
    """Replace words of a text by unusual ones, and repeat, drop or swap lines."""
    lines = data.decode("utf-8", "replace").split("\n")
    for _ in range(random.choice((1, 1, 2, 3))):
        place = random.randrange(len(lines))
        kind = random.randrange(5)
        if kind <= 2:
            words = list(re.finditer(r"[\w./+-]+", lines[place]))
            if words:
                word = random.choice(words)
                new = random.choice(_WORDS)
                lines[place] = lines[place][: word.start()] + new + lines[place][word.end() :]
        elif kind == 3:
            lines.insert(place, random.choice(lines))
        else:
            del lines[place]
            lines = lines or [""]
    return "\n".join(lines).encode("utf-8", "replace")


def json_values(data: bytes, random: Random) -> bytes:
    """Replace one value of a JSON document, per line if it has several lines."""
    lines = data.splitlines() or [b""]
    place = random.randrange(len(lines))
    try:
        content = json.loads(lines[place])
    except ValueError:
        return text(data, random)
    numbers = (None, True, -1, 0, 1e308, float("nan"), 2**70)
    hostile: tuple[Any, ...] = (*numbers, "", "x" * 3000, [], {}, [[1]], "../x")
    owner: Any = None
    key: Any = None
    node = content
    while isinstance(node, dict | list) and node and (owner is None or random.random() < 0.8):
        owner, key = node, random.choice(list(node if isinstance(node, dict) else range(len(node))))
        node = owner[key]
    if owner is None:
        content = random.choice(hostile)
    elif random.random() < 0.2:
        del owner[key]
    else:
        owner[key] = random.choice(hostile)
    lines[place] = json.dumps(content).encode()
    return b"\n".join(lines)


def safetensors(data: bytes, random: Random) -> bytes:
    """Change the header of a safetensors file and adapt its length."""
    (size,) = struct.unpack("<Q", data[:8])
    header = json_values(data[8 : 8 + size], random)
    if random.random() < 0.5:
        content = json.loads(data[8 : 8 + size])
        meta = content.get("__metadata__", {})
        key = random.choice([*meta, "class_path"])
        meta[key] = text(str(meta.get(key, "")).encode(), random).decode("utf-8", "replace")
        header = json.dumps({**content, "__metadata__": meta}).encode()
    length = random.choice((len(header),) * 9 + (2**63,))
    return struct.pack("<Q", length) + header + data[8 + size :]


def zipped(data: bytes, random: Random) -> bytes:
    """Change a member of a ZIP file, or its name, with valid checksums."""
    target = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(data)) as source, zipfile.ZipFile(target, "w") as changed:
        members = source.namelist()
        chosen = random.choice(members)
        for name in members:
            content = source.read(name)
            if name == chosen:
                content = any_bytes(content[:256], random) + content[256:]
                name = random.choice((name, name, name, "../" + name, "x.npy"))
            changed.writestr(name, content)
    return target.getvalue()


def png(data: bytes, random: Random) -> bytes:
    """Change a chunk of a PNG file, with a valid checksum."""
    parts, place = [], 8
    while place + 12 <= len(data):
        (size,) = struct.unpack(">I", data[place : place + 4])
        parts.append((data[place + 4 : place + 8], data[place + 8 : place + 8 + size]))
        place += 12 + size
    chosen = random.randrange(len(parts))
    kind, content = parts[chosen]
    parts[chosen] = kind, any_bytes(content, random)
    changed = data[:8]
    for kind, content in parts:
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        changed += struct.pack(">I", len(content)) + kind + content + checksum
    return changed


def sci_header(data: bytes, random: Random) -> bytes:
    """Change the header of a ``.sci`` file, with a valid checksum."""
    return _with_checksum(data, random, sci.HEADER_BYTES)


def spl_header(data: bytes, random: Random) -> bytes:
    """Change the header of a ``.spl`` file, with a valid checksum."""
    return _with_checksum(data, random, spl.HEADER_BYTES)


def _with_checksum(data: bytes, random: Random, size: int) -> bytes:
    fields = bytearray(data[: size - 4])
    for _ in range(random.choice((1, 1, 2))):
        width = random.choice((1, 2, 4))
        place = random.randrange(len(fields) - width)
        value = random.choice((*_INTEGERS, random.randrange(256**width))) % 256**width
        fields[place : place + width] = value.to_bytes(width, "little")
    return bytes(fields) + struct.pack("<I", zlib.crc32(bytes(fields))) + data[size:]


def hdf5_bytes(data: bytes, random: Random) -> bytes:
    """Change or cut bytes of an HDF5 file outside its heap of strings.

    HDF5 2.0 loops forever on some damaged heaps of strings (an object of size 0).
    """
    start = data.find(b"GCOL")
    stop = start + int.from_bytes(data[start + 8 : start + 16], "little") if start >= 0 else 0
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 4))):
        place, width = random.randrange(len(data)), random.choice((1, 2, 4, 8))
        if place >= stop or place + width <= start:
            value = random.choice((*_INTEGERS, random.randrange(256**width))) % 256**width
            changed[place : place + width] = value.to_bytes(width, "little")
    return bytes(changed[: len(data) if random.random() < 0.8 else random.randrange(len(data))])


def hdf5(data: bytes, random: Random) -> bytes:
    """Change attributes, data sets or links of an HDF5 file with h5py."""
    memory = io.BytesIO(data)
    with h5py.File(memory, "r+") as file:
        objects: list[str] = ["/"]
        file.visit(objects.append)
        for _ in range(random.choice((1, 1, 2))):
            _change_object(file, random.choice(objects), random)
    return memory.getvalue()


def _change_object(file: h5py.File, name: str, random: Random) -> None:
    try:
        item = file[name]
    except KeyError:
        return
    kind = random.randrange(5)
    numbers = (0, -1, 2**62, 1.5, float("nan"), float("inf"))
    values = (*numbers, "", "x" * 2000, "../y", [1, 2, 3], b"\xff")
    if kind <= 1:
        keys = [*item.attrs, "fps"]
        key = random.choice(keys)
        if random.random() < 0.2 and key in item.attrs:
            del item.attrs[key]
        else:
            item.attrs[key] = random.choice(values)
    elif name == "/":
        file.create_dataset(f"extra{random.randrange(9999)}", data=np.arange(3))
    elif kind == 2:
        del file[name]
    elif kind == 3 and isinstance(item, h5py.Dataset):
        shape = random.choice(((), (0,), (2**40,), (3, 3), (2**20, 2**20, 2**10), (1, 1, 1, 1, 1)))
        dtype = random.choice(("u1", "f4", "f8", "i8", "S3", "complex64", h5py.string_dtype()))
        del file[name]
        chunks = True if np.prod(shape, dtype=float) > 1e6 else None
        file.create_dataset(name, shape, dtype, chunks=chunks)
    else:
        del file[name]
        links = [h5py.SoftLink(place) for place in ("/recordings", "/nowhere")]
        places = (("/etc/passwd", "/"), ("other.h5", "/recordings"))
        file[name] = random.choice([*links, *(h5py.ExternalLink(*place) for place in places)])


def changed_file(folder: Path, mutators: Mapping[str, tuple[Mutate, ...]], random: Random) -> Path:
    """Change one file below a folder by a mutation for its suffix, and return it."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    file = random.choice(files)
    mutations = mutators.get(file.suffix, (any_bytes,))
    mutate = random.choice(mutations)
    try:
        data = mutate(file.read_bytes(), random)
    except _DAMAGED:  # already too damaged for this mutation
        data = any_bytes(file.read_bytes(), random)
    file.write_bytes(data)
    return file
