"""Modules of all stages at an eighth of the width, and data for them."""

import inspect
from dataclasses import fields
from pathlib import Path
from typing import Any

from spike_zoo.data import SceneDataModule
from spike_zoo.methods.sci import (
    SCIAnalysisModule,
    SCICodecModule,
    SCIFeaturesModule,
    SCIJointModule,
    SCIMotionModule,
)
from spike_zoo.methods.sci.training.options import CodingOptions, NetworkOptions, Stage
from spike_zoo.testing import tiny_archive

MODULES: dict[str, Any] = {
    "fem": SCIFeaturesModule,
    "motion": SCIMotionModule,
    "codec": SCICodecModule,
    "fam": SCIAnalysisModule,
    "joint": SCIJointModule,
}

WIDTHS: dict[str, Any] = {"fem_width": 0.125, "codec_width": 0.125, "fam_width": 0.125}
SPLITS = ("train", "val", "test")


def grouped(**arguments: Any) -> dict[str, Any]:
    """Group the options of networks and of coding in a module's arguments."""
    groups = {"networks": NetworkOptions, "coding": CodingOptions}
    for group, options in groups.items():
        names = {field.name for field in fields(options)} & arguments.keys()
        if names:
            arguments[group] = options(**{name: arguments.pop(name) for name in names})
    return arguments


def stage_module(stage: Stage, **arguments: Any) -> Any:
    """Return the module of a stage for ungrouped options.

    Checkpoints of stages from which this stage does not start are ignored.
    """
    module_class, parameters = MODULES[stage], inspect.signature(MODULES[stage]).parameters
    ignored = {name for name in MODULES if name not in parameters}
    accepted = {name: value for name, value in arguments.items() if name not in ignored}
    return module_class(**grouped(**{"lpips": "off", **accepted}))


def small(stage: Stage, **arguments: Any) -> Any:
    """Return the module of a stage at an eighth of the width."""
    return stage_module(stage, **{**WIDTHS, **arguments})


def scenes_in(folder: Path) -> SceneDataModule:
    """Return data with five images per recording, 7 planes apart."""
    path = folder / "scenes.h5"
    if not path.exists():
        tiny_archive(path, planes=41, height=32, width=40, stride=7)
    options: dict[str, Any] = {
        "images_per_sample": 5,
        "full_sequence_splits": SPLITS,
        "batch_size": 2,
        "crop": None,
        "seed": 0,
    }
    return SceneDataModule(str(path), 13, **options)
