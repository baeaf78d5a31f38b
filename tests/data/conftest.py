"""Archives that several files of data modules read."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from spike_zoo.testing import tiny_archive

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(scope="session")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archive of drifting patterns, to be read only."""
    return tiny_archive(tmp_path_factory.mktemp("archives") / "tiny.h5")
