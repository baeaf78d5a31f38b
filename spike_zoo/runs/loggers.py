"""The loggers of a run: CSV always, others as configured, W&B with the run's facts."""

from __future__ import annotations

import inspect
import os
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lightning.pytorch.loggers import CSVLogger, Logger, WandbLogger

from spike_zoo.errors import UsageError
from spike_zoo.loggers.csv import AppendingCSVLogger
from spike_zoo.loggers.wandb import SafeWandbLogger
from spike_zoo.runs.folders import RUN_DIR_VARIABLE

if TYPE_CHECKING:
    from lightning import LightningModule

    from spike_zoo.records.result import RunResult
    from spike_zoo.runs.planning import Plan

SWEEP_ID = "WANDB_SWEEP_ID"  # given by W&B's agent: it waits for the run to report
OURS = "spike_zoo.loggers.wandb.SafeWandbLogger"
_SHELF = "methods"  # a folder of many methods, whose own name says nothing about one
TENSORBOARD = ("tensorboard", "tensorboardX")  # either will do


def place_loggers(given: Any, folder: Path) -> None:  # noqa: ANN401  (parsed arguments)
    """Let configured loggers write into a run's folder, and W&B's be the one that is safe.

    Args:
        given: ``trainer.logger`` as parsed; changed in place.
        folder: Where the verb writes.

    Raises:
        UsageError: If TensorBoard is wanted and not installed.
    """
    for logger in given if isinstance(given, list) else [given]:
        name = str(getattr(logger, "class_path", "")).rpartition(".")[2]
        arguments = getattr(logger, "init_args", None) or {}
        if name == "WandbLogger":
            _make_safe(logger)
        if name == "TensorBoardLogger" and not any(map(find_spec, TENSORBOARD)):
            raise UsageError(
                "TensorBoard is not installed: pip install 'spike-zoo[tensorboard]', or leave its "
                "logger out"
            )
        if "save_dir" in arguments:
            arguments["save_dir"] = str(folder)
        if arguments.get("name") == "lightning_logs":  # Lightning's default
            arguments["name"] = ""


def _make_safe(logger: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Replace Lightning's logger by ours: Lightning's may stop a run and upload secrets."""
    known = inspect.signature(SafeWandbLogger).parameters
    lightnings = inspect.signature(WandbLogger).parameters
    for name, value in list(vars(logger.init_args).items()):
        default = lightnings[name].default if name in lightnings else None
        if name not in known and value != default:
            raise UsageError(f"{name}: {OURS} has no such argument; it has {', '.join(known)}")
        if name not in known or value is None:
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
    """Return CSV always, before whatever else was asked for.

    Args:
        given: The trainer's argument, built.
        plan: What the run is.
        run_dir: Its folder.
        module: What is trained.
        is_resumed: Whether an earlier run goes on.
    """
    if given is False:
        return False
    others = given if isinstance(given, list) else [given]
    others = [one for one in others if isinstance(one, Logger) and not isinstance(one, CSVLogger)]
    if SWEEP_ID in os.environ and not any(isinstance(one, SafeWandbLogger) for one in others):
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
    """Give W&B a run's record and, where the folder of checkpoints has any, those."""
    files = {name: checkpoints / f"{name}.ckpt" for name in ("best", "last")}
    files = {name: file for name, file in files.items() if file.is_file()}
    shown = {"method": result.method, "variant": result.variant, "metrics": result.metrics}
    for logger in loggers:
        if isinstance(logger, SafeWandbLogger):
            logger.log_result(result.summary())
            logger.log_checkpoints(files, shown)


def method_of(module: LightningModule) -> str:
    """Return the name of a module's method: its folder, or its file where that lies in none.

    ``spike_zoo.methods.stir.module`` is ``"stir"``, ``spike_zoo.methods.sci.training.module`` is
    ``"sci"``; outside this package ``mine`` and ``mine.module`` are ``"mine"``, as is
    ``theirs.methods.mine``, be it a folder or a file.
    """
    home = type(module).__module__
    *above, name = home.split(".")
    if _SHELF in above[:-1]:
        return above[above.index(_SHELF) + 1]
    is_folder = hasattr(sys.modules.get(home), "__path__")
    if is_folder or not above or above[-1] == _SHELF:
        return name
    return above[-1]
