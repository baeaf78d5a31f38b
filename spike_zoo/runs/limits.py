"""Arguments of the trainer that Lightning takes and stumbles over, refused by name."""

from __future__ import annotations

from typing import Any

from spike_zoo.errors import ConfigError

#: Least value of each; None, where it may be given, is Lightning's own.
_LEAST = {
    "accumulate_grad_batches": 1,
    "check_val_every_n_epoch": 1,
    "num_nodes": 1,
    "gradient_clip_val": 0,
    "log_every_n_steps": 0,
}
_LENGTHS = ("max_epochs", "max_steps")  # of a fit; -1 is without end


def check_limits(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Refuse numbers that no run can have.

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
    for name in _LENGTHS:
        if verb == "fit" and trainer[name] == 0:
            raise ConfigError(
                f"trainer.{name}: 0 trains nothing; give at least 1, or test a checkpoint with "
                "'python -m spike_zoo test --ckpt_path FILE'"
            )
