"""Base class of callbacks that process the evaluations of validation and test steps."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning import Callback

from spike_zoo.tasks.evaluation import Evaluation

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer


class EvaluationCallback(Callback):
    """Pass each test batch's :class:`Evaluation` to :meth:`on_evaluation`.

    Other outputs of steps (of modules that are not task modules) are ignored. Subclasses
    initialise their collected data in :meth:`reset`, which runs at construction and at the start
    of each test.

    Attributes:
        has_validation: Whether validation batches are passed on, too.
    """

    has_validation = False

    def reset(self) -> None:
        """Clear the data of an earlier test."""

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Process the evaluation of one batch."""
        raise NotImplementedError

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Clear the data of an earlier test."""
        self.reset()

    def on_validation_batch_end(self, *arguments: Any) -> None:
        """Pass on the batch's evaluation if :attr:`has_validation`."""
        if self.has_validation:
            self.on_test_batch_end(*arguments)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (an Evaluation if the module is a TaskModule)
        batch: Any,  # noqa: ANN401  (Lightning's signature)
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Pass on the batch's evaluation."""
        if isinstance(outputs, Evaluation):
            self.on_evaluation(trainer, outputs, batch_idx)
