"""Lightning and jsonargparse: warnings, imports, arguments of the trainer, private attributes."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Union, get_args

from spike_zoo.errors import ConfigError, visible

if TYPE_CHECKING:
    from jsonargparse import ArgumentParser
    from lightning import Callback, Trainer

#: Warnings that a user cannot act on, or that concern intended behaviour of this package.
_IGNORED_WARNINGS = (
    ".*LeafSpec.*",
    ".*does not have many workers.*",
    ".*callbacks used to create the checkpoint.*",
    ".*Checkpoint directory .* exists and is not empty.*",
    ".*is not supported by the model summary.*",
    ".*is an instance of `nn.Module` and is already saved during checkpointing.*",
)
#: Packages whose classes a configuration may import with ``--safe``.
TRUSTED = ("spike_zoo", "lightning", "torch", "torchmetrics")
#: Omitted lines of Lightning's log: advertisements, absent devices, and a report of
#: SIGTERM without a message.
_OMITTED = ("Tip:", "SIGTERMException was raised", "GPU available: False", "TPU available:")
#: Option of the trainer -> smallest value. None selects Lightning's default.
_MIN_VALUE = {
    **dict.fromkeys(("accumulate_grad_batches", "check_val_every_n_epoch", "num_nodes"), 1),
    **dict.fromkeys(("gradient_clip_val", "log_every_n_steps", "min_epochs", "min_steps"), 0),
    "num_sanity_val_steps": -1,
}
#: Callback that replaces a setting of the configuration -> option of the setting.
_REPLACING = {
    "LearningRateFinder": "--model.learning_rate",
    "BatchSizeFinder": "--data.init_args.batch_size",
}
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")
_STEP_TASKS = "SLURM_STEP_NUM_TASKS"  # set by srun only
_UNSUPPORTED = ("spawn", "fork", "notebook")  # their processes skip our setup before imports
#: Settings of the fit that its test uses too.
_SHARED = (
    *("accelerator", "precision", "limit_test_batches", "enable_progress_bar", "deterministic"),
    *("benchmark", "inference_mode", "default_root_dir"),
)


def import_trusted_only() -> None:
    """Restrict the imports of configurations to :data:`TRUSTED`, for the rest of this process.

    The module that defines an object decides: ``torch.os.system`` is rejected.
    """
    from jsonargparse import set_parsing_settings

    set_parsing_settings(import_path_denylist=["*"], import_path_allowlist=list(TRUSTED))


def plain_warning(message: Warning | str, *_: object, **__: object) -> str:
    """Return a warning without its source file and line, and without a traceback in its text."""
    text = str(message).partition("\nThe parse failed")[0]  # numba's, of an invalid variable
    return f"warning: {visible(text)}\n"


def quiet_libraries() -> None:
    """Filter warnings and advertisements of libraries; print warnings without source lines."""
    warnings.formatwarning = plain_warning  # overwrites the one that Lightning sets on import
    for message in _IGNORED_WARNINGS:
        warnings.filterwarnings("ignore", message=message)
    for name in ("lightning.pytorch.utilities.rank_zero", "lightning.fabric.utilities.rank_zero"):
        logging.getLogger(name).addFilter(
            lambda record: not any(part in record.getMessage() for part in _OMITTED)
        )


def whole_numbers_first(parser: ArgumentParser) -> None:
    """Parse ``1`` as int for arguments whose type is a union of int and float.

    A parser tries the types of a union in their order. Lightning's annotations have int first, but
    ``typing`` caches ``Optional[Union[...]]`` without regard to order. If another library has used
    the union with float first, Lightning gets this order.
    """
    for action in parser._actions:
        kinds = list(get_args(getattr(action, "_typehint", None)))
        if int in kinds and float in kinds[: kinds.index(int)]:
            kinds.remove(int)
            action._typehint = Union[(int, *kinds)]  # type: ignore[attr-defined]


@contextmanager
def process_arguments(arguments: list[str]) -> Iterator[None]:
    """Set ``sys.argv``, which Lightning reads, also in the processes that it starts."""
    before = sys.argv
    sys.argv = [before[0], *arguments]
    try:
        yield
    finally:
        sys.argv = before


def options_of(parser: Any) -> list[str]:  # noqa: ANN401  (jsonargparse's)
    """Return the options of a parser, with their hyphens."""
    return [name for action in parser._actions for name in action.option_strings]


def stop_after_batch(trainer: Trainer) -> None:
    """Stop the fit of a trainer at the end of the batch, as after SIGTERM."""
    trainer._signal_connector.received_sigterm = True


def is_validation_due(trainer: Trainer) -> bool:
    """Return whether a validation follows the batch that was trained last."""
    fit = trainer.fit_loop
    return fit.epoch_loop._should_check_val_fx(fit._data_fetcher)  # type: ignore[arg-type]  # it is set


def is_gradient_pending(trainer: Trainer) -> bool:
    """Return whether gradients of the last batch are accumulated without an update."""
    return trainer.fit_loop.epoch_loop._should_accumulate()


def step_plateau_schedules(trainer: Trainer) -> None:
    """Let schedules that monitor a metric step after the first epoch of a resumed run, too."""
    trainer.fit_loop._restarting = False


def discard_loader(trainer: Trainer) -> None:
    """Discard the training loader; Lightning creates it again and restores its position."""
    trainer.fit_loop._combined_loader = None


def checkpoint_in_memory(trainer: Trainer) -> dict[str, Any]:
    """Return the checkpoint that a trainer would save now."""
    content: dict[str, Any] = trainer._checkpoint_connector.dump_checkpoint(weights_only=False)
    return content


def is_update_uncounted(trainer: Trainer) -> bool:
    """Return whether an update is done that the progress of the epoch does not include yet."""
    loop = trainer.fit_loop.epoch_loop
    batches: Any = loop.batch_progress.current
    return batches.processed > batches.completed and not is_gradient_pending(trainer)


def check_limits(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (parsed arguments)
    """Raise ConfigError for the first trainer argument that is out of range or not supported."""
    if trainer["barebones"]:
        raise ConfigError(
            "trainer.barebones: turns off loggers, checkpoints and every logged metric, which a "
            "run's record needs. To save time: --trainer.limit_val_batches 0 --test_after_fit false"
        )
    for name, least in _MIN_VALUE.items():
        value = trainer[name]
        if isinstance(value, int | float) and value < least:
            raise ConfigError(f"trainer.{name}: at least {least}, got {value}")
    for callback in trainer["callbacks"] or ():
        name = str(getattr(callback, "class_path", "")).rpartition(".")[2]
        if name == "StochasticWeightAveraging":
            raise ConfigError(
                f"trainer.callbacks: {name} averages after the last checkpoint is saved, so its "
                "weights would be lost; use EMAWeightAveraging"
            )
        if name in _REPLACING:
            raise ConfigError(
                f"trainer.callbacks: {name} replaces a setting after the run's configuration is "
                f"recorded; find the value in a separate script and set it with {_REPLACING[name]}"
            )
    for name in ("max_epochs", "max_steps"):  # -1 is unlimited
        if verb == "fit" and trainer[name] == 0:
            raise ConfigError(
                f"trainer.{name}: 0 trains nothing; give at least 1, or test a checkpoint with "
                "'python -m spike_zoo test --ckpt_path FILE'"
            )


def configure_devices(verb: str | None, trainer: Any) -> None:  # noqa: ANN401  (its arguments)
    """Run validation and test on one device; raise ConfigError for unsupported processes.

    Metrics of a table come from one process. With two processes and an odd number of images, one
    image would count twice, and both would write the same files.
    """
    from lightning.pytorch.utilities import rank_zero_info

    _check_started_by_srun()
    start = trainer.strategy  # a name, or an object
    start = start if isinstance(start, str) else str(getattr(start, "_start_method", ""))
    if any(word in start for word in _UNSUPPORTED):
        raise ConfigError(
            f"trainer.strategy: {start} forks or spawns processes, which is not supported; use "
            "ddp, which starts new processes"
        )
    if verb not in ("validate", "test"):
        return
    processes = os.environ.get("WORLD_SIZE") or os.environ.get(_STEP_TASKS) or "1"
    if int(processes) > 1:
        raise ConfigError(
            f"{verb}: {processes} processes were started, but evaluation needs one; start it "
            "without torchrun, or with srun --ntasks 1"
        )
    devices = trainer.devices
    if isinstance(devices, str) and "," in devices:
        devices = [int(device) for device in devices.split(",") if device.strip()]
    is_one = len(devices) < 2 if isinstance(devices, list) else str(devices) in ("auto", "1")
    if not is_one or trainer.num_nodes > 1:
        rank_zero_info(f"{verb}: on one device, so that every image counts once")
    trainer.devices = devices[:1] if isinstance(devices, list) else 1
    trainer.num_nodes, trainer.strategy = 1, "auto"


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


def check_rank(trainer: Trainer) -> None:
    """Reject a trainer of one process in a process of a group: it would write no logs."""
    from lightning.pytorch.utilities import rank_zero_only

    rank: int = rank_zero_only.rank  # type: ignore[attr-defined]  # from the environment, at import
    if trainer.world_size == 1 and rank:
        named = [name for name in os.environ if name.endswith(("RANK", "PROCID"))]
        raise ConfigError(
            f"{', '.join(sorted(named))}: these variables state that this is process "
            f"{rank} of a group, but trainer.devices is 1. Unset them, or set "
            "--trainer.devices to the number of processes"
        )


def check_precision(trainer: Trainer) -> None:
    """Reject weights that are not float32; print a warning if bf16 is slower on this machine."""
    from lightning.pytorch.utilities import rank_zero_info

    from spike_zoo.nn.precision import has_fast_bf16

    if trainer.precision not in PRECISIONS:
        raise ConfigError(
            f"trainer.precision: {trainer.precision} is not supported, because weights are "
            f"float32; use {', '.join(PRECISIONS)}"
        )
    is_gpu = trainer.strategy.root_device.type == "cuda"
    if trainer.precision == "bf16-mixed" and not has_fast_bf16(gpu=is_gpu):
        rank_zero_info("warning: trainer.precision bf16-mixed: slower than 32-true on this machine")


def tester_of(settings: Mapping[str, Any], trained: Trainer, callbacks: list[Callback]) -> Trainer:
    """Return a trainer that tests on one device and continues the log of a fit's trainer."""
    from lightning import Trainer

    device = trained.strategy.root_device
    tester = Trainer(
        **{name: settings[name] for name in _SHARED},
        devices=[device.index] if device.type == "cuda" else 1,
        enable_model_summary=False,
        enable_checkpointing=False,
        logger=trained.loggers,
        callbacks=callbacks,
    )
    # continues the steps of the log: a trainer that only tests would start from 0
    tester.fit_loop.epoch_loop.load_state_dict(trained.fit_loop.epoch_loop.state_dict())
    return tester
