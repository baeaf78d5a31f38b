"""What a name to write to means: a file of a known sort, or a folder."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from spike_zoo.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable


def refuse_other_suffix(out: str, known: Iterable[str]) -> None:
    """Refuse a name that looks like a file of another sort and would become a folder.

    Args:
        out: What the user gave.
        known: Suffixes of the files that are written.

    Raises:
        UsageError: If it ends in another suffix, without a slash behind it, and is no folder.
    """
    suffix = Path(out).suffix
    if not suffix or out.endswith(("/", os.sep)) or Path(out).is_dir():
        return
    if suffix not in known:
        raise UsageError(
            f"{out}: {suffix} is not written here; give a name ending in {', '.join(known)}, or a "
            "folder (a name with a dot in it needs a slash at its end)"
        )
