"""On how many devices a verb runs, in what precision, by which means of starting processes."""

from __future__ import annotations

import os
from typing import Any

from lightning.pytorch.utilities import rank_zero_info

from spike_zoo.errors import ConfigError
from spike_zoo.nn.precision import has_fast_bf16

_EVALUATING = ("validate", "test")
_UNFIT = ("spawn", "fork", "notebook")  # their processes lack what ours prepared before imports


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


def warn_about_emulation(trainer: Any) -> None:  # noqa: ANN401  (its arguments)
    """Say that bf16 is asked for where it is computed by other means, ten times slower."""
    on_gpu = trainer.accelerator in ("auto", "gpu", "cuda")
    if "bf16" in str(trainer.precision) and not has_fast_bf16(gpu=on_gpu):
        rank_zero_info(
            f"warning: trainer.precision {trainer.precision}: this machine emulates it; "
            "--trainer.precision 32-true takes a fraction of the time"
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
