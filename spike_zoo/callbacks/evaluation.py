"""The base of callbacks that read what a module's validation and test steps return."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from lightning import Callback

from spike_zoo.tasks.evaluation import Evaluation

if TYPE_CHECKING:
    from lightning import LightningModule, Trainer


class EvaluationCallback(Callback):
    """Hand each test batch's :class:`Evaluation` to :meth:`on_evaluation`.

    Modules whose steps return anything else, as those of no task, are left alone. What a test
    collects is set by :meth:`reset`, at construction and at the start of each test.

    Attributes:
        has_validation: Whether batches of validation are handed on, too.
    """

    has_validation = False

    def reset(self) -> None:
        """Forget an earlier test."""

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Take the evaluation of one test batch."""
        raise NotImplementedError

    def on_test_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Forget an earlier test."""
        self.reset()

    def on_validation_batch_end(self, *arguments: Any) -> None:
        """Hand on the batch's evaluation if validation counts."""
        if self.has_validation:
            self.on_test_batch_end(*arguments)

    def on_test_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,  # noqa: ANN401  (an Evaluation of modules whose task is known)
        batch: Any,  # noqa: ANN401  (Lightning's signature)
        batch_idx: int,
        dataloader_idx: int = 0,
    ) -> None:
        """Hand on the batch's evaluation."""
        if isinstance(outputs, Evaluation):
            self.on_evaluation(trainer, outputs, batch_idx)
