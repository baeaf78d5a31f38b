"""Fixtures shared by the tests of metrics."""

from pathlib import Path

import pytest
import torch
import torchvision


@pytest.fixture(scope="session")
def random_alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights of AlexNet."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("backbones") / "random-alexnet.pth"
    torch.save(torchvision.models.alexnet(weights=None).state_dict(), path)
    return path
