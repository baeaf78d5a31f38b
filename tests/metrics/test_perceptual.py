"""LPIPS with a local backbone of random weights."""

from pathlib import Path

import lpips
import pytest
import torch

from spike_zoo.errors import WeightsError
from spike_zoo.metrics import LPIPS
from spike_zoo.metrics.perceptual import lpips_network

CLASSIFIER = {"classifier.1.weight": torch.zeros(4096, 1), "classifier.1.bias": torch.zeros(4096)}


def test_distance_equals_the_lpips_library_with_the_same_backbone(random_alexnet: Path) -> None:
    reference = lpips.LPIPS(net="alex", pnet_rand=True, verbose=False).eval()
    features = {
        key.removeprefix("features."): value
        for key, value in torch.load(random_alexnet, weights_only=True).items()
    }
    for name, parameter in reference.net.named_parameters():
        parameter.data.copy_(features[name.split(".", 1)[1]])
    generator = torch.Generator().manual_seed(1)
    images, targets = torch.rand(2, 2, 1, 64, 64, generator=generator)
    with torch.no_grad():
        expected = reference(2 * images.repeat(1, 3, 1, 1) - 1, 2 * targets.repeat(1, 3, 1, 1) - 1)
        without_rescaling = reference(images.repeat(1, 3, 1, 1), targets.repeat(1, 3, 1, 1))
    torch.testing.assert_close(LPIPS(random_alexnet)(images, targets), expected.flatten())
    stir = LPIPS(random_alexnet, rescale=False)(images, targets)
    torch.testing.assert_close(stir, without_rescaling.flatten())


def test_weights_of_another_network_are_rejected(tmp_path: Path) -> None:
    other = tmp_path / "other.pth"
    torch.save({"features.0.weight": torch.zeros(1)}, other)
    with pytest.raises(WeightsError, match=r"of alexnet: 9 missing, first features\.0\.bias"):
        LPIPS(other)


def test_layers_of_the_classifier_are_accepted_and_not_used(random_alexnet: Path) -> None:
    features = torch.load(random_alexnet, weights_only=True)
    images = torch.rand(1, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    whole, features_only = lpips_network({**features, **CLASSIFIER}), lpips_network(features)
    assert torch.equal(whole(images, 1 - images), features_only(images, 1 - images))
