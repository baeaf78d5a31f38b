"""Modules of the coding stages at an eighth of the width, and scenes for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spike_zoo.data import SceneDataModule
from spike_zoo.methods.sci import SCICodecModule
from spike_zoo.testing import tiny_archive

if TYPE_CHECKING:
    from pathlib import Path

    from spike_zoo.methods.sci.training.stage_table import Stage

WIDTHS: dict[str, Any] = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}
SPLITS = ("train", "val", "test")


def small(stage: Stage, **arguments: Any) -> SCICodecModule:
    return SCICodecModule(stage, lpips="off", **{**WIDTHS, **arguments})


def scenes_in(folder: Path) -> SceneDataModule:
    """Return data of five images a recording, 7 planes apart, two batches an epoch."""
    path = folder / "scenes.h5"
    if not path.exists():
        tiny_archive(path, planes=41, height=32, width=40, stride=7)
    given: dict[str, Any] = {
        "images_per_sample": 5,
        "full_sequence_splits": SPLITS,
        "batch_size": 2,
        "crop": None,
        "seed": 0,
    }
    return SceneDataModule(str(path), 13, **given)
