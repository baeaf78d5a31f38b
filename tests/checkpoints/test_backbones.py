"""Search for local backbones, and the error for a missing one."""

from pathlib import Path

import pytest
import torch

from spike_zoo.checkpoints.backbones import (
    BACKBONES,
    FOLDER_VARIABLE,
    backbone_folders,
    find_backbone,
    load_backbone,
)
from spike_zoo.errors import MissingFileError, WeightsError

FILENAME = BACKBONES["vgg19"].filename


@pytest.fixture
def folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Return the folder of the environment variable, and that of torch.hub."""
    environment_folder, hub_folder = tmp_path / "named", tmp_path / "hub" / "checkpoints"
    environment_folder.mkdir()
    hub_folder.mkdir(parents=True)
    monkeypatch.setenv(FOLDER_VARIABLE, str(environment_folder))
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(hub_folder.parent))
    return environment_folder, hub_folder


def test_the_named_folder_comes_before_the_cache(folders: tuple[Path, Path]) -> None:
    assert backbone_folders() == list(folders)
    assert find_backbone("vgg19") is None
    for folder in reversed(folders):
        (folder / FILENAME).touch()
        assert find_backbone("vgg19") == folder / FILENAME


def test_a_missing_backbone_is_named_with_the_searched_folders(folders: tuple[Path, Path]) -> None:
    with pytest.raises(MissingFileError) as error:
        load_backbone("vgg19")
    assert all(text in str(error.value) for text in (FILENAME, *map(str, folders)))


def test_other_content_under_the_published_name_is_rejected(folders: tuple[Path, Path]) -> None:
    torch.save({"features.0.bias": torch.zeros(64)}, folders[0] / FILENAME)
    with pytest.raises(
        WeightsError, match=r"SHA-256 begins with .*the published file.s with dcbb9e9d"
    ):
        load_backbone("vgg19")


def test_a_file_with_another_name_is_loaded_without_a_checksum(tmp_path: Path) -> None:
    state = {"features.0.bias": torch.ones(64)}
    torch.save(state, tmp_path / "mine.pth")
    assert torch.equal(load_backbone("vgg19", tmp_path / "mine.pth")["features.0.bias"],
                       state["features.0.bias"])  # fmt: skip
    torch.save([1], tmp_path / "list.pth")
    with pytest.raises(WeightsError, match=r"list\.pth: holds a list"):
        load_backbone("vgg19", tmp_path / "list.pth")
