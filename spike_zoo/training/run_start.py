"""Digests of data and initial weights at the start of a run, compared when the run is resumed."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from spike_zoo.errors import FormatError
from spike_zoo.utils.files import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILENAME = "start.json"


def is_child() -> bool:
    """Return whether this process was started by another process of the same run."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


@dataclass(frozen=True)
class RunStart:
    """Digests of the files that the configuration of a run names.

    Attributes:
        data_sha256: Digest of the archive; None for data without a digest.
        begins_with: Dotted key of the configuration -> identity of the checkpoint, from
            :func:`spike_zoo.training.initial_weights.checkpoint_identity`.
    """

    data_sha256: str | None = None
    begins_with: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write ``start.json`` into a run's folder, atomically."""
        with new_file(folder / FILENAME, overwrite=True) as temporary:
            temporary.write_text(f"{json.dumps(asdict(self), indent=2)}\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read ``start.json`` of a run's folder; None if an older version started the run.

        Raises:
            FormatError: If the file is damaged.
        """
        file = folder / FILENAME
        if not file.is_file():
            return None
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise FormatError(
                f"{file}: not a record of the start of a run ({error}); start the run again",
                path=str(file),
            ) from error

    def changes(self, now: RunStart) -> Iterator[str]:
        """Yield a description of each difference between the start of a run and now."""
        if self.data_sha256 and now.data_sha256 and self.data_sha256 != now.data_sha256:
            yield f"the data are {now.data_sha256[:12]}, were {self.data_sha256[:12]}"
        for key in sorted(self.begins_with.keys() | now.begins_with.keys()):
            before, after = (start.begins_with.get(key, {}).get("sha256") for start in (self, now))
            if before != after:
                path = now.begins_with.get(key, self.begins_with.get(key, {})).get("path")
                yield f"{key}: the weights in {path} have changed"
