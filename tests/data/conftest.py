"""Archives shared by the tests of data modules."""

from pathlib import Path

import pytest

from spike_zoo.testing import tiny_archive


@pytest.fixture(scope="session")
def archive_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only archive of drifting patterns."""
    return tiny_archive(tmp_path_factory.mktemp("archives") / "tiny.h5")
