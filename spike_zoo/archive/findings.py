"""What the check of an archive reports."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from spike_zoo.archive import schema

if TYPE_CHECKING:
    from collections.abc import Iterable

    from spike_zoo.errors import SpikeZooError
    from spike_zoo.formats.hdf5 import Hdf5File


@dataclass(frozen=True)
class Finding:
    """One rule that an archive breaks.

    Attributes:
        code: E01..E13 for errors, W01..W03 for warnings.
        path: Place inside the file.
        message: What is wrong there.
        severity: ``"error"`` or ``"warning"``.
    """

    code: str
    path: str
    message: str

    @property
    def severity(self) -> Literal["error", "warning"]:
        """``"error"`` if the archive is invalid, else ``"warning"``."""
        return "error" if self.code.startswith("E") else "warning"

    def __str__(self) -> str:
        return f"{self.code} {self.path} {self.message}"


def finding_of(
    error: SpikeZooError, code: str, inside: str, file: Hdf5File, path: str | None = None
) -> Finding:
    """Turn an error of a reader into a finding, without the file's name in front."""
    message = error.message.removeprefix(f"{file.path}: ").removeprefix(f"{inside}: ")
    return Finding(error.code or code, path or error.path or inside, message)


def counted(findings: Iterable[Finding]) -> list[Finding]:
    """Return each finding once; a warning that several recordings share is one, with a count."""
    groups: dict[tuple[str, ...], dict[Finding, None]] = {}
    for finding in findings:
        path = finding.path
        if finding.severity == "warning" and path.startswith(f"{schema.RECORDINGS}/"):
            path = "/".join(path.split("/")[2:])  # without the name of the recording
        groups.setdefault((finding.code, finding.message, path), {})[finding] = None
    return [
        replace(first, message=f"{first.message} (and {len(more)} more recordings)")
        if more
        else first
        for first, *more in groups.values()
    ]
