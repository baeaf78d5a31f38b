"""Callbacks and loggers of every run: saved configuration, checks, images, CSV and W&B."""

import inspect
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import yaml
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.cli import SaveConfigCallback
from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from spike_zoo.checkpoints.weight_files import first_invalid
from spike_zoo.errors import ConfigError, UsageError, WeightsError
from spike_zoo.training.cost import CostMeter
from spike_zoo.training.csv_logger import AppendingCSVLogger
from spike_zoo.training.divergence import WarnOfConstantImages
from spike_zoo.training.evaluation import PerImageMetrics, PredictionFiles
from spike_zoo.training.folders import RUN_DIR_VARIABLE
from spike_zoo.training.images import ConfusionImage, FeatureMap, SampleImages, SampleVideo
from spike_zoo.training.initial_weights import CKPT_PATH
from spike_zoo.training.planning import Plan, dumped
from spike_zoo.training.provenance import versions
from spike_zoo.training.result import RunResult
from spike_zoo.training.wandb_logger import SafeWandbLogger
from spike_zoo.utils.files import new_file

SWEEP_ID = "WANDB_SWEEP_ID"  # set by W&B's agent, which waits for a report of the run
OURS = "spike_zoo.training.wandb_logger.SafeWandbLogger"
_METHODS_FOLDER = "methods"  # parent of the folders of methods


class SaveRunConfig(SaveConfigCallback):
    """Write the complete configuration into the run's folder and to W&B."""

    def save_config(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Write ``config.yaml`` without ``ckpt_path``, which would override that of a later run."""
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

    Args:
        is_initialised: Whether the module was initialised from weights.
    """

    def __init__(self, *, is_initialised: bool = False) -> None:
        self.is_initialised = is_initialised

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Raise ConfigError for random weights and WeightsError for weights that are not finite."""
        method = type(pl_module).__name__
        learns = any(parameter.requires_grad for parameter in pl_module.parameters())
        has_own = self.is_initialised or getattr(pl_module, "has_own_weights", False)
        if learns and not trainer.ckpt_path and not has_own:
            raise ConfigError(
                f"{method} has random weights: name a checkpoint with --ckpt_path FILE, "
                "weights with --init_from FILE, or --ckpt_path best and the --run_dir of a fit"
            )
        if (name := first_invalid(pl_module)) is not None:
            raise WeightsError(
                f"{trainer.ckpt_path or method}: the weights {name} are not finite; name another "
                "checkpoint"
            )

    on_test_start = on_predict_start = on_validation_start


def evaluation_callbacks(verb: str | None, out: Path, is_initialised: bool) -> list[Callback]:
    """Return the callbacks of ``validate``, ``test`` or ``predict``, which write into ``out``."""
    check = NoRandomWeights(is_initialised=is_initialised)
    if verb == "predict":
        return [check, PredictionFiles(out)]
    return [check, WarnOfConstantImages(), *measuring_callbacks(out)]


def measuring_callbacks(out: Path) -> list[Callback]:
    """Return the callbacks that measure a test and write its images into ``out``."""
    images = out / "images"
    callbacks = [SampleImages(images), SampleVideo(images), ConfusionImage(out), FeatureMap(out)]
    return [CostMeter(), *callbacks, PerImageMetrics(out)]


def configure_loggers(given: Any, folder: Path) -> None:  # noqa: ANN401  (parsed arguments)
    """Set the folder of configured loggers, and replace Lightning's W&B logger by ours."""
    for logger in given if isinstance(given, list) else [given]:
        name = str(getattr(logger, "class_path", "")).rpartition(".")[2]
        arguments = getattr(logger, "init_args", None) or {}
        if name == "WandbLogger":
            _make_safe(logger)
        if name == "TensorBoardLogger" and not any(map(find_spec, ("tensorboard", "tensorboardX"))):
            raise UsageError(
                "TensorBoard is not installed: pip install 'spike-zoo[tensorboard]', or remove its "
                "logger from the configuration"
            )
        if "save_dir" in arguments:
            save_dir = arguments["save_dir"]
            if save_dir is not None and not folder.absolute().is_relative_to(
                Path(save_dir).absolute()
            ):
                print(
                    f"{name}: writes into {folder}, as all loggers; save_dir {save_dir} is not used"
                )
            arguments["save_dir"] = str(folder)
        if arguments.get("name") == "lightning_logs":  # Lightning's default
            arguments["name"] = ""


def _make_safe(logger: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Replace Lightning's W&B logger by ours: Lightning's may stop a run and upload secrets."""
    accepted = inspect.signature(SafeWandbLogger).parameters
    lightnings = inspect.signature(WandbLogger).parameters
    for name, value in list(vars(logger.init_args).items()):
        if name in accepted and value is not None:
            continue
        if name not in accepted and name in lightnings and value != lightnings[name].default:
            raise UsageError(f"{name}: {OURS} has no such argument; it has {', '.join(accepted)}")
        del logger.init_args[name]
    logger.class_path = OURS


def loggers_of(
    given: Any,  # noqa: ANN401  (Trainer's union)
    plan: Plan,
    run_dir: Path,
    module: LightningModule,
    *,
    is_resumed: bool = False,
) -> list[Logger] | bool:
    """Return the CSV logger and the instantiated loggers; False if logging is disabled."""
    if given is False:
        return False
    others = [
        logger
        for logger in (given if isinstance(given, list) else [given])
        if isinstance(logger, Logger) and not isinstance(logger, CSVLogger)
    ]
    if SWEEP_ID in os.environ and not any(isinstance(logger, SafeWandbLogger) for logger in others):
        others.append(SafeWandbLogger(log_model=True))
    folder = plan.out(run_dir)
    is_swept = SWEEP_ID in os.environ or RUN_DIR_VARIABLE in os.environ
    tags = [method_of(module), plan.profile, "sweep" if is_swept else None]
    for logger in others:
        if isinstance(logger, SafeWandbLogger):
            logger.describe(
                run_dir.name,
                folder=folder,
                group=plan.variant,
                job_type=plan.verb,
                tags=[tag for tag in tags if tag],
                is_resumed=is_resumed,
            )
    return [AppendingCSVLogger(folder), *others]


def report_result(loggers: list[Logger], result: RunResult, checkpoints: Path) -> None:
    """Log a run's record and its checkpoints, if there are any, to W&B."""
    files = {name: checkpoints / f"{name}.ckpt" for name in ("best", "last")}
    files = {name: file for name, file in files.items() if file.is_file()}
    metadata = {"method": result.method, "variant": result.variant, "metrics": result.metrics}
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.log_result(result.summary())
            logger.log_checkpoints(files, metadata)


def method_of(module: LightningModule) -> str:
    """Return the name of a module's method: its folder, or its file if it has no folder.

    ``spike_zoo.methods.sci.training.module`` is ``"sci"``. Outside this package ``mine``,
    ``mine.module`` and ``theirs.methods.mine`` (a folder or a file) are ``"mine"``.
    """
    home = type(module).__module__
    *above, name = home.split(".")
    if _METHODS_FOLDER in above[:-1]:
        return above[above.index(_METHODS_FOLDER) + 1]
    is_folder = hasattr(sys.modules.get(home), "__path__")
    if is_folder or not above or above[-1] == _METHODS_FOLDER:
        return name
    return above[-1]
