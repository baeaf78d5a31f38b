"""Arguments of the trainer: limits, devices, precision, and the trainer that tests after a fit."""

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

#: Least value of each; None, where it may be given, is Lightning's own.
_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
}
_LENGTHS = ("max_epochs", "max_steps")  # of a fit; -1 is without end
#: Callbacks that replace a setting of the configuration, and the setting.
_REPLACING = {
    "LearningRateFinder": "--model.learning_rate",
    "BatchSizeFinder": "--data.init_args.batch_size",
}
_EVALUATING = ("validate", "test")
_UNFIT = ("spawn", "fork", "notebook")  # their processes lack what ours prepared before imports
#: Settings of the fit that decide how the test is computed and shown.
_SHARED = ("accelerator", "precision", "limit_test_batches", "enable_progress_bar", "deterministic")


def check_limits(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Reject numbers that no run can have.

    Args:
        verb: What is run.
        trainer: The trainer's arguments.

    Raises:
        ConfigError: Naming the first, its value and the least.
    """
    if trainer["barebones"]:
        raise ConfigError(
            "trainer.barebones: turns off loggers, checkpoints and every logged metric, which a "
            "run's record and its best checkpoint are made of. To train without what costs time "
            "beside it: --trainer.limit_val_batches 0 --trainer.enable_progress_bar false "
            "--test_after_fit false"
        )
    for name, least in _LEAST.items():
        value = trainer[name]
        if isinstance(value, int | float) and value < least:
            raise ConfigError(f"trainer.{name}: at least {least}, got {value}")
    for callback in trainer["callbacks"] or ():
        name = str(getattr(callback, "class_path", "")).rpartition(".")[2]
        if name in _REPLACING:
            raise ConfigError(
                f"trainer.callbacks: {name} replaces a setting after the run's configuration is "
                f"recorded; find the value in a script of yours and give it with {_REPLACING[name]}"
            )
    for name in _LENGTHS:
        if verb == "fit" and trainer[name] == 0:
            raise ConfigError(
                f"trainer.{name}: 0 trains nothing; give at least 1, or test a checkpoint with "
                "'python -m spike_zoo test --ckpt_path FILE'"
            )


def nothing_trained(trainer: Trainer) -> str:
    """Return in words which limits a fit had reached before its first batch."""
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
        callbacks: What is measured and shown.
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
    # where the log continues: a trainer that only tests would count from 0
    tester.fit_loop.epoch_loop.load_state_dict(trained.fit_loop.epoch_loop.state_dict())
    return tester


def configure_devices(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (its arguments)
    """Run validation and test on one device; reject strategies that fork or spawn.

    Numbers of a table are those of one process. A second process would see some images twice where
    their number is odd, and write the same files.

    Raises:
        ConfigError: If a strategy forks or spawns, or several processes were started to evaluate.
    """
    if any(word in name for name in _starters(trainer.strategy) for word in _UNFIT):
        raise ConfigError(
            f"trainer.strategy: {'/'.join(_starters(trainer.strategy))} forks or spawns its "
            "processes, which this program does not support; use ddp, which starts new ones"
        )
    if verb not in _EVALUATING:
        return
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise ConfigError(
            f"{verb}: {os.environ['WORLD_SIZE']} processes were started, and evaluation is done by "
            "one; start it without torchrun"
        )
    first, is_one = _first_device(trainer.devices)
    if not is_one or trainer.num_nodes > 1:
        rank_zero_info(f"{verb}: on one device, so that every image counts once")
    trainer.devices, trainer.num_nodes, trainer.strategy = first, 1, "auto"


def warn_about_slow_precision(trainer: Any) -> None:  # noqa: ANN401  (its arguments)
    """Say that bf16 is asked for where single precision is faster."""
    on_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
    if "bf16" in str(trainer.precision) and not has_fast_bf16(gpu=on_gpu):
        rank_zero_info(
            f"warning: trainer.precision {trainer.precision}: slower than 32-true on this machine"
        )


def _starters(strategy: Any) -> list[str]:  # noqa: ANN401  (a name, or Lightning's)
    """Return the words of a strategy that say how its processes begin."""
    if isinstance(strategy, str):
        return [strategy]
    start = getattr(strategy, "_start_method", None)  # of Lightning's, once it is built
    return [str(start)] if start else []


def _first_device(devices: Any) -> tuple[Any, bool]:  # noqa: ANN401  (Lightning's many forms)
    """Return the first of some devices, and whether no more were asked for."""
    listed = devices.split(",") if isinstance(devices, str) and "," in devices else devices
    if isinstance(listed, list):
        kept = [int(device) for device in listed if str(device).strip()]
        return kept[:1], len(kept) <= 1
    return 1, str(listed) in ("auto", "1")
