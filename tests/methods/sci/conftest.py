"""Fixtures: checkpoints of stages with random weights, a finalised codec and a bitstream."""

from __future__ import annotations

import copy
from pathlib import Path

import pytest
from lightning import seed_everything
from torch import Tensor

from spike_zoo.checkpoints.loading import save_weights
from spike_zoo.methods.sci import SCICodec
from spike_zoo.methods.sci.codec.bitstream import DecodedBitstream, scale_nets
from tests.methods.sci.codecs import features_of, random_codec, recording
from tests.methods.sci.coding import small


@pytest.fixture(scope="session")
def stage_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return files of stages ``fem`` and ``motion`` with random weights, by stage."""
    folder: Path = tmp_path_factory.mktemp("sci")
    seed_everything(5)
    fem = small("fem")
    save_weights(fem, folder / "fem.safetensors")
    motion = small("motion")
    motion.codec.fem.load_state_dict(fem.codec.fem.state_dict())
    save_weights(motion, folder / "motion.safetensors")
    return {name: str(folder / f"{name}.safetensors") for name in ("fem", "motion")}


@pytest.fixture(scope="session")
def all_stage_files(
    stage_files: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    """Return files of stages ``fem``, ``motion``, ``codec`` (finalised) and ``fam``, by stage."""
    folder: Path = tmp_path_factory.mktemp("sci-later")
    seed_everything(6)
    modules = {"codec": small("codec"), "fam": small("fam")}
    modules["codec"].codec.update_tables()
    for name, module in modules.items():
        save_weights(module, folder / f"{name}.safetensors")
    return {**stage_files, **{name: str(folder / f"{name}.safetensors") for name in modules}}


@pytest.fixture(scope="session")
def codec() -> SCICodec:
    """Return a finalised codec; tests must copy it before they change it."""
    return random_codec()


@pytest.fixture(scope="session")
def unfinished(codec: SCICodec) -> SCICodec:
    """Return the same codec, not finalised."""
    other = copy.deepcopy(codec)
    for net in scale_nets(other):
        net.is_final.fill_(False)
    return other


@pytest.fixture(scope="session")
def features(codec: SCICodec) -> list[Tensor]:
    """Return the ten features of the bitstream before coding."""
    return features_of(codec, recording())


@pytest.fixture(scope="session")
def stream(codec: SCICodec) -> bytes:
    """Return a bitstream of ten features, in groups of four, four and two."""
    return codec.compress(recording(), quality=2, gop=4)


@pytest.fixture(scope="session")
def decoded(codec: SCICodec, stream: bytes) -> DecodedBitstream:
    """Return the decoded bitstream."""
    return codec.decompress(stream)
