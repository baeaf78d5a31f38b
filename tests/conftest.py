"""Shared fixtures; importing spike_zoo first installs the import hook for torchvision."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import settings

import spike_zoo  # noqa: F401  (its guard must run before lightning and torchmetrics)

if TYPE_CHECKING:  # lightning takes seconds to import, also in processes that tests start
    from spike_zoo.tables.sweeps.line_reader import LineReader

ROOT = Path(__file__).resolve().parent.parent
collect_ignore = ["outside"]  # an external package, which test_outside.py installs elsewhere

settings.register_profile("tests", deadline=None)  # deadlines would fail on a busy machine
settings.load_profile("tests")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # Background jobs of a shell ignore SIGINT, and so do the processes that tests interrupt.
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the inherited tests that train the methods of this package as slow."""
    for item in items:
        if "methods" in item.path.parts and "overfits_one_batch" in item.name:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def golden() -> Path:
    """Folder of the reference data of tests."""
    return ROOT / "tests" / "golden"


@pytest.fixture(scope="session")
def clips_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only archive of small clips with an image each."""
    from spike_zoo.testing import (
        tiny_archive,
    )  # imported here, because most tests do not need torch

    folder = tmp_path_factory.mktemp("clips")
    return tiny_archive(folder / "clips.h5", planes=161, height=48, width=64)


@pytest.fixture(scope="session")
def exposures_archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only archive of small blurry images with the spikes of their exposure."""
    from spike_zoo.testing.exposures import exposure_archive  # as above

    return exposure_archive(tmp_path_factory.mktemp("exposures") / "exposures.h5")


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of sample clips and weights that are not part of the project."""
    folder = Path(os.environ.get("SPIKE_ZOO_SHARED", ROOT.parent / "shared"))
    if not folder.is_dir():
        pytest.skip(f"the sample clips are not here ({folder}); set SPIKE_ZOO_SHARED")
    return folder


@pytest.fixture(scope="session")
def official_path(shared: Path) -> Path:
    """File of the published weights of the S-SDM student, which are not part of the project."""
    file = shared / "weights" / "ssdm_ldn_official.pth"
    if not file.is_file():
        pytest.skip(f"{file.name} is not in the shared folder")
    return file


@pytest.fixture(scope="session")
def reader() -> LineReader:
    """Parser of command lines, which takes longer to create than to use."""
    from spike_zoo.tables.sweeps.line_reader import LineReader  # as above

    return LineReader()


@pytest.fixture
def checkout(monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in the folder of the repository."""
    monkeypatch.chdir(ROOT)
