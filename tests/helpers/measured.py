"""Reference PSNR of a run, computed from the archive and the method."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import spike_zoo
from spike_zoo import SpikeArchive
from spike_zoo.training.result import RunResult


def expected_psnr(result: RunResult, archive: str | Path) -> float:
    """Return the PSNR in dB of the reconstruction of the first test image with a complete clip."""
    data = result.config["data"]["init_args"]
    with SpikeArchive(archive) as opened, torch.inference_mode():
        name = opened.names(data["test_split"])[0]
        if "margin" in data:
            return _of_exposure(tested_module(result), opened, name)
        return _of_clip(tested_module(result), opened, name, data["clip_length"])


def tested_module(result: RunResult) -> Any:
    """Return the tested module of a run: its checkpoint, or a module without training."""
    if result.checkpoint is not None:
        return spike_zoo.load(result.checkpoint)
    module_name, _, name = result.config["model"]["class_path"].rpartition(".")
    return getattr(importlib.import_module(module_name), name)(
        **result.config["model"]["init_args"]
    )


def _of_clip(module: Any, opened: SpikeArchive, name: str, length: int) -> float:
    recording, half = opened[name], length // 2
    number, plane = next(
        (number, plane)
        for number, plane in enumerate(opened.image_index(name).tolist())
        if half <= plane <= len(recording) - length + half
    )
    spikes = torch.from_numpy(recording[plane - half : plane - half + length])[None].float()
    scale = torch.tensor([recording.rate_scale])
    return _psnr(module.eval()(spikes, scale)[0, 0].numpy(), opened.image(name, number))


def _of_exposure(module: Any, opened: SpikeArchive, name: str) -> float:
    """Return the PSNR in dB of the sharp image closest to the middle of an exposure."""
    start, stop = opened.blur_span(name)[0].tolist()
    middle = start + (stop - start) // 2
    index = opened.image_index(name)
    number = int(np.abs(index - middle).argmin())
    blur = opened.blurry_image(name, 0).transpose(2, 0, 1)
    planes, span = [int(index[number])], (start, stop)
    image = module.deblur(torch.from_numpy(blur.copy()), opened[name], planes, exposure=span)
    return _psnr(image[0].numpy(), opened.image(name, number).transpose(2, 0, 1))


def _psnr(image: NDArray[np.float32], truth: NDArray[np.uint8]) -> float:
    return float(-10 * np.log10(np.square(image - truth / 255).mean()))
