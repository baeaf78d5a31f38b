"""``result.json``: what a run measured and everything needed to compare it with others."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from spike_zoo.errors import FormatError, MissingFileError, VersionError
from spike_zoo.tracking.old_records import image_size_of_schema_1

if TYPE_CHECKING:
    from collections.abc import Mapping

SCHEMA_VERSION = 2
FILENAME = "result.json"
PER_IMAGE_FILENAME = "per_image.csv"  # beside it: what was measured on every single test image
#: What records did not always have: since schema 2, but for the first.
_OPTIONAL = (
    *("checkpoint", "checkpoint_sha256", "begins_with", "finished", "legacy_data_sha256"),
    *("images", "images_sha256"),
)


@dataclass(frozen=True)
class RunResult:
    """The record of one run.

    Attributes:
        method: Folder of the method, as ``"stir"``.
        variant: Name of the row in a table: the last configuration that is not a profile or a
            logger.
        configs: Configuration files, as stacked.
        profile: Name of the profile among them.
        seed: Seed of the run.
        data_sha256: Digest of the archive; without its pictures and labels in schema 1.
        metrics: What was measured, by log key.
        parameters: Number of the network's parameters.
        macs: Multiply-accumulates of one reconstruction at ``image_size``.
        image_size: Height and width of the image that comes out, the test's first.
        seconds_per_image: Median time of one reconstruction, the first left out.
        wall_seconds: Time of the whole run, over all of its legs.
        config: The complete configuration.
        config_hash: Digest of what it computes, and of the weights it begins with.
        versions: Versions of the libraries.
        commit: Commit of the code.
        checkpoint: The file that was tested.
        checkpoint_sha256: Digest of its weights.
        begins_with: Dotted key of the configuration -> the checkpoint it named, as ``path``,
            ``sha256`` of its weights and ``recipe`` of the run that made it.
        finished: When the run ended, UTC.
        legacy_data_sha256: Digest of the archive as records of schema 1 have it.
        images: How many images the metrics are means over.
        images_sha256: Digest of which, see :func:`spike_zoo.tracking.tested.digest_of_images`.
        schema: Version of this record's form.
    """

    method: str
    variant: str
    configs: list[str]
    profile: str | None
    seed: int | None
    data_sha256: str | None
    metrics: dict[str, float]
    parameters: int
    macs: int | None
    image_size: tuple[int, int] | None
    seconds_per_image: float | None
    wall_seconds: float
    config: dict[str, Any]
    config_hash: str
    versions: dict[str, str]
    commit: str | None
    checkpoint: str | None = None
    checkpoint_sha256: str | None = None
    begins_with: dict[str, dict[str, Any]] = field(default_factory=dict)
    finished: str | None = None
    legacy_data_sha256: str | None = None
    images: int | None = None
    images_sha256: str | None = None
    schema: int = field(default=SCHEMA_VERSION)

    def write(self, path: Path) -> None:
        """Write the record, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        text = json.dumps(asdict(self), indent=2, default=str)
        part.write_text(f"{text}\n", encoding="utf-8")
        part.replace(path)

    def summary(self) -> dict[str, Any]:
        """Return the record as a tracking service shows it: without the configuration.

        The metrics are left out too, for they were logged while they were measured.
        """
        kept = asdict(self)
        for name in ("config", "metrics"):
            del kept[name]
        return kept

    @classmethod
    def from_summary(
        cls, summary: Mapping[str, Any], shown: Mapping[str, Any] | None = None
    ) -> Self:
        """Rebuild a record from :meth:`summary` and the metrics logged beside it.

        Args:
            summary: The run's summary.
            shown: What the service shows as its configuration: ours below ``config``.

        Raises:
            FormatError: If a field is missing; names it.
        """
        metrics = {
            name: float(value)
            for name, value in summary.items()
            if "/" in name and isinstance(value, int | float)
        }
        config = (shown or {}).get("config") or {}
        content: dict[str, Any] = {"config": config, "metrics": metrics}
        names = cls.__dataclass_fields__
        content |= {name: summary[name] for name in names if name in summary}
        missing = [name for name in names if name not in content and name not in _OPTIONAL]
        if missing:
            raise FormatError(f"the summary of a run lacks the field {missing[0]!r}")
        content["image_size"] = content["image_size"] and tuple(content["image_size"])
        return cls(**content)

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a record; a folder means the one inside.

        Raises:
            MissingFileError: If there is none.
            VersionError: If a newer version of this package wrote it.
            FormatError: If it is not such a record; names the field.
        """
        file = Path(path)
        file = file / FILENAME if file.is_dir() else file
        if not file.is_file():
            raise MissingFileError(f"{file}: there is no such result; run fit or test first")
        try:
            content = json.loads(file.read_text(encoding="utf-8"))
        except (json.JSONDecodeError, UnicodeDecodeError) as error:
            raise FormatError(f"{file}: not a result ({error})", path=str(file)) from error
        version = content.get("schema") if isinstance(content, dict) else None
        if not isinstance(version, int):
            raise FormatError(f"{file}: no field 'schema', so not a result", path=str(file))
        if version > SCHEMA_VERSION:
            raise VersionError(
                f"{file}: schema {version}, this version reads up to {SCHEMA_VERSION}; update it",
                path=str(file),
            )
        names = cls.__dataclass_fields__
        missing = [name for name in names if name not in content and name not in _OPTIONAL]
        if missing:
            raise FormatError(f"{file}: field {missing[0]!r} is missing", path=str(file))
        if version == 1:
            content["image_size"] = image_size_of_schema_1(content)
        content["image_size"] = content["image_size"] and tuple(content["image_size"])
        return cls(**{name: content[name] for name in names if name in content})


def described_configs(files: list[str]) -> tuple[str, str | None]:
    """Return the variant's name and the profile among stacked configuration files."""
    profile, variant = None, "unnamed"
    for file in files:
        path = Path(file)
        if path.parent.name == "profiles":
            profile = path.stem
        elif path.parent.parent.name == "profiles":  # a method's own: profiles/cpu/student.yaml
            profile = path.parent.name
        elif path.parent.name != "loggers":
            variant = path.stem
    return variant, profile
