"""Reader of ``.wandb`` files, whose records ``wandb sync`` uploads."""

import importlib
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

BLOCK, FILE_HEADER, CHUNK_HEADER = 32768, 7, 7  # LevelDB's log format, as written by W&B
FULL, FIRST, LAST = 1, 2, 4


def records_of(run: Path) -> list[Any]:
    """Return all records in the folder of a run."""
    wandb_internal_pb2: Any = importlib.import_module("wandb.proto.wandb_internal_pb2")
    (file,) = run.glob("run-*.wandb")
    records = []
    for content in _contents(file.read_bytes()):
        record = wandb_internal_pb2.Record()
        record.ParseFromString(content)
        records.append(record)
    return records


def history_of(records: list[Any]) -> list[dict[str, Any]]:
    """Return the logged rows."""
    return [
        {"/".join([item.key, *item.nested_key]).strip("/"): json.loads(item.value_json)}
        for record in records
        if record.HasField("history")
        for item in record.history.item
    ]


def updates_of(records: list[Any], field: str) -> dict[str, Any]:
    """Return the final ``config`` or ``summary`` of a run."""
    merged = {}
    for record in records:
        if record.HasField(field):
            for item in getattr(record, field).update:
                merged[item.key or "/".join(item.nested_key)] = json.loads(item.value_json)
    return merged


def _contents(data: bytes) -> Iterator[bytes]:
    position, content = FILE_HEADER, b""
    while position + CHUNK_HEADER <= len(data):
        remaining = BLOCK - position % BLOCK
        if remaining < CHUNK_HEADER:  # the rest of a block is padding
            position += remaining
            continue
        _, size, kind = struct.unpack_from("<IHB", data, position)
        position += CHUNK_HEADER
        chunk = data[position : position + size]
        position += size
        content = chunk if kind in (FULL, FIRST) else content + chunk
        if kind in (FULL, LAST):
            yield content
