"""The trainer that tests the best checkpoint of a fit on one device."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning import Trainer

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lightning import Callback

#: Settings of the fit that decide how the test is computed and shown.
_SHARED = ("accelerator", "precision", "limit_test_batches", "enable_progress_bar", "deterministic")


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
    done = trained.fit_loop.epoch_loop._batches_that_stepped
    tester.fit_loop.epoch_loop._batches_that_stepped = done
    return tester
