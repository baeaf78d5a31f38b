"""What a run began with, written before it learns: going on with something else is refused."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Self

from spike_zoo.errors import FormatError
from spike_zoo.files import new_file

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

FILENAME = "start.json"


def is_child() -> bool:
    """Return whether this process was started by another process of the same run."""
    return int(os.environ.get("LOCAL_RANK", "0")) > 0


@dataclass(frozen=True)
class RunStart:
    """What a run reads that its configuration only names.

    Attributes:
        data_sha256: Digest of the archive; None where the data have none.
        begins_with: Dotted key of the configuration -> the checkpoint it names, see
            :func:`spike_zoo.records.initial_weights.checkpoint_identity`.
    """

    data_sha256: str | None = None
    begins_with: dict[str, dict[str, Any]] = field(default_factory=dict)

    def write(self, folder: Path) -> None:
        """Write the record into a run's folder, whole or not at all."""
        with new_file(folder / FILENAME, overwrite=True) as temporary:
            temporary.write_text(f"{json.dumps(asdict(self), indent=2)}\n", encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Read the record of a run's folder; None where an older version began it.

        Raises:
            FormatError: If it is damaged.
        """
        file = folder / FILENAME
        if not file.is_file():
            return None
        try:
            return cls(**json.loads(file.read_text(encoding="utf-8")))
        except (ValueError, TypeError) as error:
            raise FormatError(
                f"{file}: not what the start of a run writes ({error}); begin the run again",
                path=str(file),
            ) from error

    def changes(self, now: RunStart) -> Iterator[str]:
        """Yield what has changed between the start of a run and now, in words."""
        if self.data_sha256 and now.data_sha256 and self.data_sha256 != now.data_sha256:
            yield f"the data are {now.data_sha256[:12]}, were {self.data_sha256[:12]}"
        for key in sorted(self.begins_with.keys() | now.begins_with.keys()):
            before, after = (one.begins_with.get(key, {}).get("sha256") for one in (self, now))
            if before != after:
                named = now.begins_with.get(key, self.begins_with.get(key, {})).get("path")
                yield f"{key}: the weights in {named} are others"
