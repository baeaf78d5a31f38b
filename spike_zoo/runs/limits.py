"""Arguments of the trainer that Lightning takes and stumbles over, refused by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from spike_zoo.errors import ConfigError

if TYPE_CHECKING:
    from lightning import Trainer

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
