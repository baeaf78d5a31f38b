"""Detection of diverged training (values that are not finite) and of constant images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from lightning import Callback, LightningModule, Trainer
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn.utils import get_total_norm
from torch.optim import Optimizer

from spike_zoo.checkpoints.weight_files import first_invalid, first_not_finite
from spike_zoo.errors import DivergenceError
from spike_zoo.tasks.evaluation import RECONSTRUCTION, Evaluation
from spike_zoo.training.evaluation import EvaluationCallback

_WAY_OUT = (
    "Lower the learning rate (--model.learning_rate), limit gradients "
    "(--trainer.gradient_clip_val 1), or check these recordings."
)

_CONSTANT = 1 / 255  # an image with a smaller range of values counts as constant


class _BufferCopies(Callback):
    """Copies of a module's buffers before an update, to restore them if the update is skipped.

    A forward pass changes the running statistics of batch norms: after one with values that are
    not finite, they would be NaN in all later evaluations and checkpoints.
    """

    _buffers: dict[str, Tensor]

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any
    ) -> None:
        """Copy the buffers before the first batch of an update."""
        _, batch_idx = arguments
        if batch_idx % trainer.accumulate_grad_batches == 0:
            self._buffers = {name: x.detach().clone() for name, x in pl_module.named_buffers()}

    def restore(self, module: LightningModule) -> None:
        """Set the buffers to their values before the update."""
        for name, x in module.named_buffers():
            x.detach().copy_(self._buffers[name])


class StopAtDivergence(_BufferCopies):
    """Raise an error before a value that is not finite reaches the weights or a checkpoint.

    The processes of distributed training stop at the same batch: a loss that is not finite in one
    process makes the averaged gradients of all processes not finite.

    Args:
        last: Path of the last checkpoint, for the message.
    """

    def __init__(self, last: Path) -> None:
        self.last = last
        self._names: list[str] = []
        self._loss: float | None = None  # loss of the batch if it is not finite

    def on_train_batch_start(
        self, trainer: Trainer, pl_module: LightningModule, *arguments: Any
    ) -> None:
        """Store the names of the batch's recordings for the message; copy the buffers."""
        batch, _ = arguments
        if _has_scaler(trainer):
            super().on_train_batch_start(trainer, pl_module, *arguments)
        self._names = list(batch.get("name", ())) if isinstance(batch, Mapping) else []
        self._loss = None

    def on_before_backward(
        self, trainer: Trainer, pl_module: LightningModule, loss: Tensor
    ) -> None:
        """Raise DivergenceError for a loss that is not finite."""
        if torch.isfinite(loss.detach()).all():
            return
        self._loss = float(loss.detach().sum())
        callbacks: list[Callback] = trainer.callbacks  # type: ignore[attr-defined]  # Lightning's list
        skips = any(isinstance(callback, SkipDivergedUpdates) for callback in callbacks)
        if trainer.world_size == 1 and not skips:
            raise self._error(trainer, f"the loss is {self._loss}")

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Raise DivergenceError for gradients that are not finite; names the first parameter.

        In float16 training the loss scaler skips such updates.
        """
        gradients = _gradients(pl_module)
        if _are_finite(gradients):
            return
        if _has_scaler(trainer):
            self.restore(pl_module)
            return
        name = first_not_finite(gradients)
        what = f"the gradient of {name} is not finite" if name else "the gradients' norm overflows"
        if self._loss is not None:
            what = f"the loss is {self._loss} and {what}"
        raise self._error(trainer, what)

    def on_validation_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the weights before an evaluation."""
        if (name := first_invalid(pl_module)) is not None:
            raise self._error(trainer, f"the weights {name} are not finite")

    def on_save_checkpoint(
        self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]
    ) -> None:
        """Check the weights before they replace the last good checkpoint."""
        self.on_validation_start(trainer, pl_module)

    def _error(self, trainer: Trainer, what: str) -> DivergenceError:
        logged = trainer.callback_metrics.items()
        terms = [name for name, value in logged if not torch.isfinite(value).all()]
        parts = [f"training diverged at step {trainer.global_step}: {what}."]
        if terms:
            parts.append(f"Logged values that are not finite: {', '.join(terms)}.")
        if self._names:
            parts.append(f"Recordings of the batch: {', '.join(self._names)}.")
        hint = f"The last good checkpoint is {self.last}." if self.last.is_file() else ""
        return DivergenceError(" ".join([*parts, hint or "No checkpoint was saved yet.", _WAY_OUT]))


class SkipDivergedUpdates(_BufferCopies):
    """Skip updates whose gradients are not finite; beyond a limit the run stops.

    The optimiser's step runs without gradients, so weights and moments are unchanged. Buffers,
    such as the running statistics of batch norms, are restored.

    Args:
        limit: Largest number of skipped updates of a run.
    """

    def __init__(self, limit: int = 10) -> None:
        if limit < 0:
            raise ValueError(f"limit must be at least 0, got {limit}")
        self.limit = limit
        self.skipped = 0

    def on_before_optimizer_step(
        self, trainer: Trainer, pl_module: LightningModule, optimizer: Optimizer
    ) -> None:
        """Remove gradients that are not finite, unless a float16 scaler skips the step."""
        if self.skipped == self.limit or _are_finite(_gradients(pl_module)):
            return
        self.restore(pl_module)
        if _has_scaler(trainer):
            return
        self.skipped += 1
        for parameter in pl_module.parameters():
            parameter.grad = None
        rank_zero_warn(
            f"step {trainer.global_step}: the gradients are not finite; this update is left out "
            f"({self.skipped} of at most {self.limit})"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return the number of skipped updates, for a resumed run."""
        return {"skipped": self.skipped}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the number of skipped updates."""
        self.skipped = state_dict["skipped"]


def _has_scaler(trainer: Trainer) -> bool:
    return getattr(trainer.precision_plugin, "scaler", None) is not None


def _gradients(module: LightningModule) -> list[tuple[str, Tensor]]:
    parameters = module.named_parameters()
    return [(name, parameter.grad) for name, parameter in parameters if parameter.grad is not None]


def _are_finite(gradients: list[tuple[str, Tensor]]) -> bool:
    return bool(torch.isfinite(get_total_norm(gradient for _, gradient in gradients)))


class WarnOfConstantImages(EvaluationCallback):
    """Warn if every image of a validation or test is constant, a sign of a collapsed network."""

    has_validation = True

    def reset(self) -> None:
        """Clear the counts of an earlier evaluation."""
        self._images = self._constant = 0

    def on_evaluation(self, trainer: Trainer, evaluation: Evaluation, batch_idx: int) -> None:
        """Count the images of a batch."""
        for sample in evaluation.samples:
            if (image := sample.images.get(RECONSTRUCTION)) is not None:
                low, high = torch.aminmax(image)
                self._images += 1
                self._constant += bool(high - low < _CONSTANT)

    def on_test_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Warn if all images are constant, and reset the counts."""
        if self._images and self._constant == self._images:
            rank_zero_warn(
                f"all {self._images} images are constant: the network has collapsed, or its "
                "input is empty. Lower the learning rate, and look at the recordings"
            )
        self.reset()

    on_validation_end = on_test_end
