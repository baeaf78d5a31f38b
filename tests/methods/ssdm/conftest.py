"""Fixtures of the published S-SDM: seeded weights, inputs and reference outputs."""

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from lightning import LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import Tensor

from spike_zoo.data import DeblurDataModule
from spike_zoo.methods.ssdm import BSN, EDSR, LDN, SSDMStudentModule, SSDMTeacherModule
from spike_zoo.testing import QUIET
from spike_zoo.testing.exposures import exposed_take, exposure_batch
from tests.helpers.golden import Golden

VGG16 = (64, 64, 0, 128, 128, 0, 256, 256, 256, 0, 512, 512, 512, 0, 512, 512, 512)  # 0: pooling


Entries = list[tuple[str, tuple[int, ...]]]


def _gain(network: str, name: str, shape: tuple[int, ...]) -> float:
    fan = math.prod(shape[1:])
    rules = [
        (network == "BSN" and name.startswith("nin_C"), 1.1 * math.sqrt(1.9 / fan)),
        (network == "BSN", math.sqrt(1.9 / fan)),
        (network == "SR" and name == "tail.1.weight", 0.35 * math.sqrt(1 / fan)),
        (network == "SR" and name.endswith("body.2.weight"), math.sqrt(0.1 / fan)),
        (network == "SR", math.sqrt(1.5 / fan)),
        (network == "VGG", math.sqrt(2 / fan)),
        (name.startswith("decoder"), math.sqrt(1.5 * 4 / (shape[0] * 25))),
        (True, math.sqrt(1.5 / fan)),
    ]
    return next(gain for applies, gain in rules if applies)


def recipe(network: str, entries: Entries, seed: int) -> dict[str, Tensor]:
    """Return weights that are generated from a seed, equal in every implementation."""
    generator = np.random.RandomState(seed)  # a frozen stream
    state = {}
    for name, shape in entries:
        if "_mean." in name:  # fixed shifts
            continue
        z = generator.standard_normal(shape)
        value = 0.02 * z if name.endswith("bias") else _gain(network, name, shape) * z
        value = np.abs(value) if network == "BSN" and name.startswith("nin_C") else value
        state[name] = torch.from_numpy(value.astype(np.float16).astype(np.float32))
    return state


def _vgg_entries() -> Iterator[tuple[str, tuple[int, ...]]]:
    layer, before = 0, 3
    for channels in VGG16:
        if channels:
            yield f"features.{layer}.weight", (channels, before, 3, 3)
            yield f"features.{layer}.bias", (channels,)
            before = channels
        layer += 2 if channels else 1


@pytest.fixture(scope="session")
def ssdm_golden(golden: Path) -> Golden:
    return Golden(golden / "ssdm_golden.npz")


@pytest.fixture(scope="session")
def official_entries(golden: Path) -> dict[str, Entries]:
    stored = json.loads((golden / "ssdm_state_dict.json").read_text())
    return {
        network: [(entry["name"], tuple(entry["shape"])) for entry in entries]
        for network, entries in stored.items()
    }


@pytest.fixture(scope="session")
def bsn_weights(ssdm_golden: Golden, official_entries: dict[str, Entries]) -> dict[str, Tensor]:
    return recipe("BSN", official_entries["BSN"], ssdm_golden.meta["config"]["bsn_seed"])


@pytest.fixture(scope="session")
def bsn(bsn_weights: dict[str, Tensor]) -> BSN:
    """Return the denoiser with recipe weights; tests that train must copy it."""
    return BSN.from_official(bsn_weights)


@pytest.fixture(scope="session")
def sr_weights(ssdm_golden: Golden, official_entries: dict[str, Entries]) -> dict[str, Tensor]:
    return recipe("SR", official_entries["SR"], ssdm_golden.meta["config"]["sr_seed"])


@pytest.fixture(scope="session")
def edsr(sr_weights: dict[str, Tensor]) -> EDSR:
    """Return the upsampling network with recipe weights; tests that train must copy it."""
    return EDSR.from_official(sr_weights)


@pytest.fixture(scope="session")
def ldn_weights(official_entries: dict[str, Entries]) -> dict[str, Tensor]:
    """Return recipe weights of the student for a window of 21 planes, with varying attention."""
    return recipe("LDN", official_entries["LDN"], 700 + 21)


@pytest.fixture(scope="session")
def official_ldn(official_path: Path) -> LDN:
    """Return the student with published weights; tests that train must copy it."""
    return LDN.from_official(official_path)


@pytest.fixture(scope="session")
def vgg_path(ssdm_golden: Golden, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the path of the convolutions of VGG-16 with recipe weights."""
    path = tmp_path_factory.mktemp("backbones") / "recipe-vgg16.pth"
    seed = ssdm_golden.meta["config"]["vgg_seed"]
    torch.save(recipe("VGG", list(_vgg_entries()), seed), path)
    return path


@pytest.fixture
def archive(exposures_archive: Path) -> Path:
    return exposures_archive


def fit(
    module: LightningModule, archive: Path, folder: Path, steps: int, every: int = 1, **options: Any
) -> Trainer:
    """Train on the tiny archive, two batches per epoch, and save a checkpoint every n steps."""
    data = DeblurDataModule(str(archive), batch_size=2, crop=16, seed=0)
    saving = ModelCheckpoint(folder, every_n_train_steps=every, save_top_k=-1)
    trainer = Trainer(max_steps=steps, limit_val_batches=0, callbacks=saving, logger=False, **QUIET)
    trainer.fit(module, data, **options)
    return trainer


def assert_agrees_in_bf16(module: SSDMStudentModule | SSDMTeacherModule) -> Tensor:
    """Check that an image in bfloat16 agrees with single precision, and return it."""
    batch = exposure_batch(exposed_take(0, 16, 16))
    with torch.no_grad():
        exact = module.eval().predict_step(batch, 0)
        with torch.autocast("cpu", torch.bfloat16):
            coarse = module.predict_step(batch, 0)
    assert coarse.dtype == torch.float32
    assert (coarse - exact).abs().mean() < 0.01
    return coarse
