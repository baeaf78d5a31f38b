"""Checkpoints of tiny first stages, as files: what later stages begin with."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from lightning import seed_everything

from spike_zoo.methods.loading import save_weights
from spike_zoo.methods.sci import SCICodecModule

if TYPE_CHECKING:
    from pathlib import Path

TINY = {"fem_width": 0.125, "codec_width": 0.125}


@pytest.fixture(scope="session")
def beginnings(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return the files of stages ``fem`` and ``motion``, with random weights, by stage."""
    folder: Path = tmp_path_factory.mktemp("sci")
    seed_everything(5)
    fem = SCICodecModule("fem", fem_width=TINY["fem_width"])
    save_weights(fem, folder / "fem.safetensors")
    motion = SCICodecModule("motion", **TINY)  # type: ignore[arg-type]  # plain values
    motion.codec.fem.load_state_dict(fem.codec.fem.state_dict())
    save_weights(motion, folder / "motion.safetensors")
    return {name: str(folder / f"{name}.safetensors") for name in ("fem", "motion")}
