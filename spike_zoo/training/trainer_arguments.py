"""Checks of the trainer's arguments (limits, devices, precision), and the trainer after a fit."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from lightning import Trainer
from lightning.pytorch.utilities import rank_zero_info

from spike_zoo.errors import ConfigError
from spike_zoo.nn.precision import has_fast_bf16

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning import Callback

#: Option of the trainer -> smallest value. None selects Lightning's default.
_MIN_VALUE = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
    "min_epochs": 0,
    "min_steps": 0,
    "num_sanity_val_steps": -1,
}
_LENGTHS = ("max_epochs", "max_steps")  # of a fit; -1 is unlimited
#: Callback that replaces a setting of the configuration -> option of the setting.
_REPLACING = {
    "LearningRateFinder": "--model.learning_rate",
    "BatchSizeFinder": "--data.init_args.batch_size",
}
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_EVALUATING = ("validate", "test")
_STEP_TASKS = "SLURM_STEP_NUM_TASKS"  # set by srun only
_UNSUPPORTED = ("spawn", "fork", "notebook")  # their processes skip our setup before imports
#: Settings of the fit that its test uses too.
_SHARED = (
    *("accelerator", "precision", "limit_test_batches", "enable_progress_bar", "deterministic"),
    *("benchmark", "inference_mode"),
)


def check_limits(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Reject arguments of the trainer that are out of range or not supported.

    Args:
        verb: The verb.
        trainer: The trainer's arguments.

    Raises:
        ConfigError: For the first such argument; states its value and its smallest value.
    """
    if trainer["barebones"]:
        raise ConfigError(
            "trainer.barebones: turns off loggers, checkpoints and every logged metric, which a "
            "run's record and its best checkpoint need. To save time in training: "
            "--trainer.limit_val_batches 0 --trainer.enable_progress_bar false "
            "--test_after_fit false"
        )
    for name, least in _MIN_VALUE.items():
        value = trainer[name]
        if isinstance(value, int | float) and value < least:
            raise ConfigError(f"trainer.{name}: at least {least}, got {value}")
    for callback in trainer["callbacks"] or ():
        name = str(getattr(callback, "class_path", "")).rpartition(".")[2]
        if name in _REPLACING:
            raise ConfigError(
                f"trainer.callbacks: {name} replaces a setting after the run's configuration is "
                f"recorded; find the value in a separate script and set it with {_REPLACING[name]}"
            )
    for name in _LENGTHS:
        if verb == "fit" and trainer[name] == 0:
            raise ConfigError(
                f"trainer.{name}: 0 trains nothing; give at least 1, or test a checkpoint with "
                "'python -m spike_zoo test --ckpt_path FILE'"
            )


def no_training_message(trainer: Trainer) -> str:
    """Return a message with the limits that a fit reached before its first batch."""
    return (
        f"nothing was trained: {trainer.current_epoch} epochs and {trainer.global_step} updates "
        f"are done, trainer.max_epochs is {trainer.max_epochs}, trainer.max_steps "
        f"{trainer.max_steps}, trainer.limit_train_batches {trainer.limit_train_batches}"
    )


def tester_of(settings: Mapping[str, Any], trained: Trainer, callbacks: list[Callback]) -> Trainer:
    """Return a trainer that tests on one device and continues the log of a fit.

    Args:
        settings: The trainer's arguments of the fit.
        trained: The trainer of the fit.
        callbacks: Callbacks that measure and write pictures.
    """
    tester = Trainer(
        **{name: settings[name] for name in _SHARED},
        devices=1,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=trained.loggers,
        callbacks=callbacks,
        default_root_dir=settings["default_root_dir"],
    )
    # continues the steps of the log: a trainer that only tests would start from 0
    tester.fit_loop.epoch_loop.load_state_dict(trained.fit_loop.epoch_loop.state_dict())
    return tester


def configure_devices(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (its arguments)
    """Run validation and test on one device; reject strategies that fork or spawn.

    Metrics of a table come from one process. With two processes and an odd number of images, one
    image would count twice, and both would write the same files.

    Raises:
        ConfigError: If a strategy forks or spawns, several processes were started to evaluate, or
            a SLURM allocation of several tasks runs this process without srun.
    """
    _check_started_by_srun()
    if any(word in name for name in _start_methods(trainer.strategy) for word in _UNSUPPORTED):
        raise ConfigError(
            f"trainer.strategy: {'/'.join(_start_methods(trainer.strategy))} forks or spawns "
            "processes, which is not supported; use ddp, which starts new processes"
        )
    if verb not in _EVALUATING:
        return
    processes = os.environ.get("WORLD_SIZE") or os.environ.get(_STEP_TASKS) or "1"
    if int(processes) > 1:
        raise ConfigError(
            f"{verb}: {processes} processes were started, but evaluation needs one; start it "
            "without torchrun, or with srun --ntasks 1"
        )
    first, is_one = _first_device(trainer.devices)
    if not is_one or trainer.num_nodes > 1:
        rank_zero_info(f"{verb}: on one device, so that every image counts once")
    trainer.devices, trainer.num_nodes, trainer.strategy = first, 1, "auto"


def _check_started_by_srun() -> None:
    """Reject an allocation whose other tasks were not started: Lightning would wait for them."""
    tasks = os.environ.get("SLURM_NTASKS", "1")
    is_started = not {_STEP_TASKS, "TORCHELASTIC_RUN_ID"}.isdisjoint(os.environ)
    is_alone = os.environ.get("SLURM_JOB_NAME") in ("bash", "interactive")  # Lightning's rule
    if int(tasks) > 1 and not is_started and not is_alone:
        raise ConfigError(
            f"this SLURM job has {tasks} tasks, but srun did not start this process, so it would "
            "wait for the others: put srun before the command, ask for one task (--ntasks 1), or "
            "set SLURM_JOB_NAME=interactive to use this process alone"
        )


def check_precision(trainer: Trainer) -> None:
    """Raise ConfigError unless the weights of a run are float32; others enter its checkpoints."""
    if trainer.precision not in PRECISIONS:
        raise ConfigError(
            f"trainer.precision: {trainer.precision} is not supported, because weights are "
            f"float32; use {', '.join(PRECISIONS)}"
        )


def warn_about_slow_precision(trainer: Any) -> None:  # noqa: ANN401  (its arguments)
    """Print a warning if bf16 is requested and single precision is faster on this machine."""
    on_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
    if "bf16" in str(trainer.precision) and not has_fast_bf16(gpu=on_gpu):
        rank_zero_info(
            f"warning: trainer.precision {trainer.precision}: slower than 32-true on this machine"
        )


def _start_methods(strategy: Any) -> list[str]:  # noqa: ANN401  (a name, or Lightning's)
    """Return the name or the start method of a strategy."""
    if isinstance(strategy, str):
        return [strategy]
    start = getattr(strategy, "_start_method", None)  # attribute of a built strategy
    return [str(start)] if start else []


def _first_device(devices: Any) -> tuple[Any, bool]:  # noqa: ANN401  (Lightning's many forms)
    """Return the first of the requested devices, and whether it is the only one."""
    listed = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    if isinstance(listed, list):
        kept = [int(device) for device in listed if str(device).strip()]
        return kept[:1], len(kept) <= 1
    return 1, str(listed) in ("auto", "1")
