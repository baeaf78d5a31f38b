"""Tests of images from cached blocks against images computed per window."""

import shutil

import numpy as np
import pytest
import torch
from torch import Tensor

from spike_zoo.errors import PlaneRangeError
from spike_zoo.methods.stir import STIRModule
from spike_zoo.methods.stir.streaming import CACHED_WINDOWS, WindowStream, blocks_of
from spike_zoo.methods.stir.tiling import TileGrid
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks.clips import read_clip

LENGTH = 130


@pytest.fixture(scope="module")
def module() -> STIRModule:
    torch.manual_seed(0)
    module = STIRModule(pyramid_levels=3, width=0.34)
    with torch.no_grad():
        for _ in range(3):  # running statistics other than 0 and 1
            module.network.embedding((torch.rand(2, 21, 16, 16) < 0.4).float())
    return module.eval()


def recording(height: int = 32, width: int = 24, planes: int = LENGTH) -> SpikeRecording:
    generator = np.random.default_rng(height + width)
    rate = generator.uniform(0.1, 0.6, (height, width))
    spikes = generator.uniform(size=(planes, height, width)) < rate
    return SpikeRecording.from_planes(spikes, rate_scale=0.6)


@pytest.mark.parametrize(
    "centers",
    [
        list(range(0, LENGTH, 20)),  # from one mirrored end to the other
        list(range(LENGTH - 1, -1, -20)),
        [9, 9, 29, 9, 30],
        [],
        [0, 10, 20, 30, 40],  # blocks at -20..20: 10 mirrored is not -10
    ],
)
@pytest.mark.parametrize("size", [(16, 16), (37, 51)])
def test_images_with_shared_blocks_equal_images_of_single_windows(
    centers: list[int], size: tuple[int, int], module: STIRModule
) -> None:
    source = recording(*size)
    for center, image in zip(centers, module.reconstruct_stream(source, centers), strict=True):
        with torch.no_grad():
            (expected,) = module(read_clip(source, center, 61)[None].float(), torch.tensor([0.6]))
        torch.testing.assert_close(image, expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("centers", "encoded"),
    [
        (range(0, 121, 20), 7 + 2),  # one new block a window
        (range(120, -1, -20), 7 + 2),
        (range(0, 121, 10), 13 + 4),
        (range(41), 41 + 40),
        ([50, 50, 50], 3),
        ([0, 60, 120], 9),  # nothing in common
        ([0, 40, 80], 7),
        ([0, *range(61, 81), 0], 60 + 6),  # too far apart to be cached
    ],
)
def test_every_block_is_encoded_once(
    centers: list[int], encoded: int, module: STIRModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    stacks: list[int] = []
    encode = module.network.encode

    def counting_encode(blocks: Tensor) -> tuple[Tensor, ...]:
        stacks.append(len(blocks))
        return encode(blocks)

    monkeypatch.setattr(module.network, "encode", counting_encode)
    module.reconstruct(recording(16, 16), list(centers))
    assert sum(stacks) == encoded


@pytest.mark.parametrize("stride", [3, 20])
def test_only_blocks_of_the_next_windows_are_cached(stride: int, module: STIRModule) -> None:
    stream = WindowStream(module.network, recording(16, 16))
    centers = list(range(0, LENGTH, stride))
    for index, _ in enumerate(stream.images(centers)):
        following = centers[index + 1 : index + 1 + CACHED_WINDOWS]
        assert stream.encoded.keys() <= {block for later in following for block in blocks_of(later)}
    assert not stream.encoded


def test_a_recording_shorter_than_half_a_window_is_rejected(module: STIRModule) -> None:
    images = module.reconstruct_stream(recording(16, 16, planes=30), [0])
    with pytest.raises(PlaneRangeError, match="30 planes"):
        next(images)


def test_tiles_and_shared_blocks_can_be_combined(
    module: STIRModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, centers = recording(150, 40), [30, 50, 70]
    whole = module.reconstruct(source, centers)
    monkeypatch.setattr(module, "tile", 128)
    tiled = module.reconstruct(source, centers)
    assert len(TileGrid(150, 40, module.network.multiple, 128).tiles) == 2
    assert (tiled - whole).abs().max() < 1e-3
    assert (tiled - whole).abs().mean() < 1e-5


def test_bf16_is_optional_and_close_to_single_precision(
    module: STIRModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, centers = recording(), [30, 50]
    exact = module.reconstruct(source, centers)
    monkeypatch.setattr(module, "precision", "bf16")
    coarse = module.reconstruct(source, centers)
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - exact).abs().mean() < 3e-3


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`torch.jit.script_method` is deprecated")  # torch's compiler
@pytest.mark.filterwarnings(r"ignore:\s*Only use the public API")  # in jsonargparse
@pytest.mark.skipif(shutil.which("g++") is None, reason="needs a C++ compiler")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of jsonargparse, in inductor's pickling
def test_a_compiled_network_makes_the_same_images(
    module: STIRModule, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, centers = recording(), [30, 50, 70]
    expected = module.reconstruct(source, centers)
    monkeypatch.setattr(module, "compiled", True)
    images = module.reconstruct(source, centers)
    torch.testing.assert_close(images, expected, rtol=0, atol=1e-5)


def test_options_out_of_range_are_rejected_when_set(module: STIRModule) -> None:
    with pytest.raises(ValueError, match="at least 128"):
        module.tile = 100
    with pytest.raises(ValueError, match="one of 32, bf16"):
        module.precision = "16"  # type: ignore[assignment]  # an invalid value


def test_reconstruct_restores_the_training_mode(module: STIRModule) -> None:
    module.train()
    module.reconstruct(recording(16, 16), [40])
    assert module.training
    module.eval()
