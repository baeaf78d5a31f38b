"""Fixtures shared by the tests of metrics."""

from pathlib import Path

import pytest
import torch
import torchvision


@pytest.fixture(scope="session")
def random_alexnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a file of random weights of the layers of AlexNet that compute features."""
    with torch.device("meta"):  # the classifier has 59 million weights
        entries = torchvision.models.alexnet(weights=None).state_dict().items()
    generator = torch.Generator().manual_seed(0)
    path = tmp_path_factory.mktemp("backbones") / "random-alexnet.pth"
    weights = {
        name: 0.05 * torch.randn(entry.shape, generator=generator)
        for name, entry in entries
        if name.startswith("features.")
    }
    torch.save(weights, path)
    return path
