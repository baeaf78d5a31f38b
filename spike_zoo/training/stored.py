"""Reader and writer of ``records.jsonl``: the records of a sweep for one profile, one per line."""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, Self

from spike_zoo.errors import FormatError
from spike_zoo.training.result import FILENAME, PER_IMAGE_FILENAME, RunResult
from spike_zoo.utils.locks import changed_file, file_version

RECORDS_FILENAME = "records.jsonl"
MAX_IMAGES = 2000  # test images with stored metrics; those of more would take most of the file

ImageMetrics = tuple[dict[str, Any], ...]


@dataclass(frozen=True)
class StoredRecord:
    """The record of a run and the metrics of each test image."""

    result: RunResult
    images: ImageMetrics = ()  # name of the recording, plane and metrics

    @classmethod
    def of_run(cls, folder: Path) -> Self:
        """Read ``result.json`` and ``per_image.csv`` of a run's folder, if it is not too long."""
        images = read_per_image(folder)
        return cls(RunResult.read(folder / FILENAME), images if len(images) <= MAX_IMAGES else ())

    @classmethod
    def from_line(cls, content: Mapping[str, Any], source: str) -> Self:
        """Build a record from the parsed JSON of a line."""
        columns = content.get("per_image", {})
        rows = zip(*columns.values(), strict=True)
        images = tuple(dict(zip(columns, row, strict=True)) for row in rows)
        return cls(RunResult.from_content(content.get("result", {}), source), images)

    def as_line(self, name: str) -> str:
        """Return the record as one line of JSON, with the metrics of images by column."""
        columns = {key: [row[key] for row in self.images] for key in (self.images or ({},))[0]}
        content = {"name": name, "result": self.result.content(), "per_image": columns}
        return json.dumps(content, default=str, separators=(",", ":"))


def read_per_image(folder: Path) -> ImageMetrics:
    """Read ``per_image.csv`` of a run's folder; empty if the file does not exist."""
    path = folder / PER_IMAGE_FILENAME
    if not path.is_file():
        return ()
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return tuple(
                {key: value if key == "name" else _number(value) for key, value in line.items()}
                for line in csv.DictReader(file)
            )
    except (AttributeError, TypeError, ValueError, csv.Error) as error:
        raise FormatError.at(path, f"not a per_image.csv of a test ({error})") from error


def read_records(path: Path) -> Mapping[str, StoredRecord]:
    """Read a ``records.jsonl``: name of a run -> its record; empty if the file does not exist."""
    return _read(path, file_version(path)) if path.is_file() else {}


def store_record(path: Path, name: str, folder: Path) -> None:
    """Add the record of a run to a ``records.jsonl``; an older record of this name is replaced."""
    with changed_file(path) as part:
        before = _parsed(path) if path.is_file() else {}
        records = {**before, name: StoredRecord.of_run(folder)}
        lines = (records[key].as_line(key) + "\n" for key in sorted(records))
        part.write_text("".join(lines), encoding="utf-8")


@lru_cache(maxsize=64)
def _read(path: Path, version: tuple[int, ...]) -> Mapping[str, StoredRecord]:
    """Read a file; the result is cached until the file changes."""
    return _parsed(path)


def _parsed(path: Path) -> dict[str, StoredRecord]:
    records = {}
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        source = f"{path}, line {number}"
        try:
            content = json.loads(line)
            records[str(content["name"])] = StoredRecord.from_line(content, source)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise FormatError(f"{source}: not a record ({error})", path=str(path)) from error
    return records


def _number(text: str) -> float | int | None:
    """Return the number in a cell, as int if it has only digits; None for an empty cell."""
    if not text:
        return None
    return int(text) if text.lstrip("-").isdigit() else float(text)
