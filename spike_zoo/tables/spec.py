"""A table as data: its rows, its columns and the published values, read from YAML."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from spike_zoo.errors import ConfigError, MissingFileError

DEFAULT_COLUMNS = (
    "test/psnr",
    "test/ssim",
    "test/lpips",
    "parameters",
    "macs",
    "seconds_per_image",
)


@dataclass(frozen=True)
class Row:
    """One row: which runs it shows and what was published for it.

    Attributes:
        name: What stands in the first column.
        variant: Stem of the configuration its runs were made with.
        published: Column -> value of the source.
    """

    name: str
    variant: str
    published: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class TableSpec:
    """A table to be filled with results.

    Attributes:
        title: Heading.
        source: Where the published values stand.
        columns: Log keys or fields of ``result.json``.
        rows: The rows, top to bottom.
    """

    title: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    source: str | None = None


def read_table_spec(path: str | Path) -> TableSpec:
    """Read a table file.

    Raises:
        MissingFileError: If there is none.
        ConfigError: If a key is missing or unknown; names file and key.
    """
    file = Path(path)
    if not file.is_file():
        raise MissingFileError(f"{file}: there is no such table file", path=str(file))
    try:
        content = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{file}: not YAML: {' '.join(str(error).split())}") from error
    _check_keys(file, "the table", content, {"title", "rows"}, {"source", "columns"})
    rows = []
    for number, row in enumerate(content["rows"], 1):
        _check_keys(file, f"row {number}", row, {"name", "variant"}, {"published"})
        rows.append(Row(str(row["name"]), Path(row["variant"]).stem, row.get("published") or {}))
    return TableSpec(
        title=str(content["title"]),
        columns=tuple(content.get("columns") or DEFAULT_COLUMNS),
        rows=tuple(rows),
        source=content.get("source"),
    )


def _check_keys(
    file: Path,
    place: str,
    content: Any,  # noqa: ANN401  (any YAML value)
    required: set[str],
    optional: set[str],
) -> None:
    if not isinstance(content, dict):
        raise ConfigError(f"{file}: {place} must be a mapping, found {type(content).__name__}")
    missing = sorted(required - content.keys())
    unknown = sorted(content.keys() - required - optional)
    if missing:
        raise ConfigError(f"{file}: {place} lacks the key {missing[0]!r}")
    if unknown:
        known = ", ".join(sorted(required | optional))
        raise ConfigError(f"{file}: {place} has the unknown key {unknown[0]!r}; known are {known}")
