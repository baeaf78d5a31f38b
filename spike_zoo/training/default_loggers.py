"""Loggers of a run: CSV always, W&B and others as configured."""

from __future__ import annotations

import inspect
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from spike_zoo.errors import UsageError
from spike_zoo.training.csv_logger import AppendingCSVLogger
from spike_zoo.training.folders import RUN_DIR_VARIABLE
from spike_zoo.training.wandb_logger import SafeWandbLogger

if TYPE_CHECKING:
    from lightning import LightningModule

    from spike_zoo.training.planning import Plan
    from spike_zoo.training.result import RunResult

SWEEP_ID = "WANDB_SWEEP_ID"  # set by W&B's agent, which waits for a report of the run
OURS = "spike_zoo.training.wandb_logger.SafeWandbLogger"
_METHODS_FOLDER = "methods"  # parent of the folders of methods
TENSORBOARD = ("tensorboard", "tensorboardX")  # one of them is sufficient


def configure_loggers(given: Any, folder: Path) -> None:  # noqa: ANN401  (parsed arguments)
    """Set the folder of configured loggers, and replace Lightning's W&B logger by ours.

    Args:
        given: ``trainer.logger`` as parsed; changed in place.
        folder: Output folder of the verb.

    Raises:
        UsageError: If TensorBoard is configured and not installed.
    """
    for logger in given if isinstance(given, list) else [given]:
        name = str(getattr(logger, "class_path", "")).rpartition(".")[2]
        arguments = getattr(logger, "init_args", None) or {}
        if name == "WandbLogger":
            _make_safe(logger)
        if name == "TensorBoardLogger" and not any(map(find_spec, TENSORBOARD)):
            raise UsageError(
                "TensorBoard is not installed: pip install 'spike-zoo[tensorboard]', or remove its "
                "logger from the configuration"
            )
        if "save_dir" in arguments:
            arguments["save_dir"] = str(folder)
        if arguments.get("name") == "lightning_logs":  # Lightning's default
            arguments["name"] = ""


def _make_safe(logger: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Replace Lightning's W&B logger by ours: Lightning's may stop a run and upload secrets."""
    accepted = inspect.signature(SafeWandbLogger).parameters
    lightnings = inspect.signature(WandbLogger).parameters
    for name, value in list(vars(logger.init_args).items()):
        default = lightnings[name].default if name in lightnings else None
        if name not in accepted and value != default:
            raise UsageError(f"{name}: {OURS} has no such argument; it has {', '.join(accepted)}")
        if name not in accepted or value is None:
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
    """Return the CSV logger and the configured loggers; False if logging is disabled.

    Args:
        given: ``trainer.logger`` after its classes are instantiated.
        plan: Plan of the run.
        run_dir: Folder of the run.
        module: The module that is trained or evaluated.
        is_resumed: Whether an earlier run is resumed.
    """
    if given is False:
        return False
    others = given if isinstance(given, list) else [given]
    others = [
        item for item in others if isinstance(item, Logger) and not isinstance(item, CSVLogger)
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

    ``spike_zoo.methods.stir.module`` is ``"stir"``, ``spike_zoo.methods.sci.training.module`` is
    ``"sci"``. Outside this package ``mine``, ``mine.module`` and ``theirs.methods.mine`` (a folder
    or a file) are ``"mine"``.
    """
    home = type(module).__module__
    *above, name = home.split(".")
    if _METHODS_FOLDER in above[:-1]:
        return above[above.index(_METHODS_FOLDER) + 1]
    is_folder = hasattr(sys.modules.get(home), "__path__")
    if is_folder or not above or above[-1] == _METHODS_FOLDER:
        return name
    return above[-1]
