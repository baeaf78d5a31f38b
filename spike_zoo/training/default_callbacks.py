"""Callbacks of a run: saved configuration, check of weights, pictures, costs, metrics per image."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import yaml
from lightning import Callback
from lightning.pytorch.cli import SaveConfigCallback

from spike_zoo.checkpoints.weight_files import first_invalid
from spike_zoo.errors import ConfigError, WeightsError
from spike_zoo.training.cost import CostMeter
from spike_zoo.training.divergence import WarnOfConstantImages
from spike_zoo.training.images import SampleImages, SampleVideo
from spike_zoo.training.initial_weights import CKPT_PATH
from spike_zoo.training.per_image import PerImageMetrics
from spike_zoo.training.planning import dumped
from spike_zoo.training.predictions import PredictionFiles
from spike_zoo.training.provenance import versions
from spike_zoo.training.recognition import ConfusionPicture, FeatureMap
from spike_zoo.training.wandb_logger import SafeWandbLogger
from spike_zoo.utils.files import new_file

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer


class SaveRunConfig(SaveConfigCallback):
    """Write the complete configuration into the run's folder and to W&B."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml`` atomically.

        ``ckpt_path`` is left out, because it would override the ``--ckpt_path`` of a later command
        that uses this file.
        """
        content = dumped(self.parser, self.config)
        content.pop(CKPT_PATH, None)
        path = Path(trainer.default_root_dir) / "config.yaml"
        with new_file(path, overwrite=True) as temporary:
            temporary.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")
        for logger in trainer.loggers:
            if isinstance(logger, SafeWandbLogger):
                logger.log_hyperparams({"config": content, "versions": versions()})


class NoRandomWeights(Callback):
    """Reject the evaluation of random weights.

    The check runs when evaluation starts, so other errors are reported first. A module that loads
    its own weights sets the attribute ``has_own_weights``.
    """

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise ConfigError for random weights and WeightsError for weights that are not finite."""
        method = type(pl_module).__name__
        learns = any(parameter.requires_grad for parameter in pl_module.parameters())
        has_own = getattr(pl_module, "has_own_weights", False)
        if learns and not trainer.ckpt_path and not has_own:
            raise ConfigError(
                f"{method} has random weights: name a checkpoint with --ckpt_path FILE, or "
                "--ckpt_path best and the --run_dir of a fit"
            )
        if (name := first_invalid(pl_module)) is not None:
            raise WeightsError(
                f"{trainer.ckpt_path or method}: the weights {name} are not finite; name another "
                "checkpoint"
            )

    on_test_start = on_predict_start = on_validation_start


def evaluation_callbacks(verb: str | None, out: Path) -> list[Callback]:
    """Return the callbacks of ``validate``, ``test`` or ``predict``, which write into ``out``."""
    if verb == "predict":
        return [NoRandomWeights(), PredictionFiles(out)]
    checks = [NoRandomWeights(), WarnOfConstantImages()]
    return [*checks, *picture_callbacks(out), CostMeter(), PerImageMetrics(out)]


def picture_callbacks(out: Path) -> list[Callback]:
    """Return the callbacks that write pictures of a test into ``out``, for all tasks."""
    images = out / "images"
    return [SampleImages(images), SampleVideo(images), ConfusionPicture(out), FeatureMap(out)]
