"""Training on scenes: one optimiser step over all windows of a scene in bounded memory."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias, cast

import torch
from lightning import LightningModule
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.spikes.windows import centred_window
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.batch import ReconstructionBatch, SceneBatch

TermsOf: TypeAlias = Callable[[ReconstructionBatch], dict[str, Tensor]]


def scene_windows(batch: SceneBatch, length: int) -> Iterator[ReconstructionBatch]:
    """Yield the windows of a batch of scenes in order of time, each as a batch of clips."""
    for number in range(batch["planes"].shape[1]):
        plane = batch["planes"][:, number]
        spans = [centred_window(center, length) for center in plane.tolist()]
        pairs = zip(batch["spikes"], spans, strict=True)
        yield {
            "spikes": torch.stack([spikes[start:stop] for spikes, (start, stop) in pairs]).float(),
            "image": batch["images"][:, number],
            "rate_scale": batch["rate_scale"],
            "plane": plane,
            "name": batch["name"],
        }


def _loss_scale_of(module: LightningModule) -> float:
    """Return the loss scale of float16 training; 1 for other precisions."""
    try:
        scaler = getattr(module.trainer.precision_plugin, "scaler", None)
    except RuntimeError:  # no trainer is attached
        return 1.0
    return 1.0 if scaler is None else float(scaler.get_scale())


def scene_terms(
    module: MethodModule,
    terms_of: TermsOf,
    batch: ReconstructionBatch | SceneBatch,
    *,
    is_first_counted: bool,
) -> dict[str, Tensor]:
    """Run the windows of scenes one after the other and return the means of their loss terms.

    A batch of clips is one window.

    Each window's gradient is computed and its graph is freed before the next window, so memory
    does not grow with the number of windows. The gradient of the returned ``"total"`` equals that
    of the mean over one graph of all windows. Lightning's backward pass adds it to the parameters,
    so clipping, accumulation, precision and DDP work as for a usual step. Batch norms compute
    their statistics over one window at a time.

    Args:
        module: The module; its parameters that are not frozen are trained.
        terms_of: Returns the loss terms of one window, with their weighted sum ``"total"``.
        batch: The scenes, or clips.
        is_first_counted: Whether the first window has a loss. If not, it only updates the running
            statistics of the batch norms, as published.

    Source: Fan et al., *Spatio-Temporal Interactive Learning for Efficient Image Reconstruction of
    Spiking Cameras*, NeurIPS 2024.
    """
    if "images" not in batch:
        return terms_of(batch)
    scenes = cast("SceneBatch", batch)
    parameters = [weight for weight in module.parameters() if weight.requires_grad]
    windows, count = _counted_windows(terms_of, scenes, module.clip_length, is_first_counted)
    scale = _loss_scale_of(module)  # so that float16 can represent the gradients
    means, gradients = _means_and_gradients(terms_of, windows, count, parameters, scale)
    total = _KnownGradient.apply(means["total"], gradients, *parameters)  # type: ignore[no-untyped-call]  # torch's
    return {**means, "total": cast(Tensor, total)}


def _counted_windows(
    terms_of: TermsOf, batch: SceneBatch, length: int, is_first_counted: bool
) -> tuple[Iterator[ReconstructionBatch], int]:
    """Return the windows that have a loss and their number; run the first window if it has none."""
    windows = scene_windows(batch, length)
    count = batch["planes"].shape[1] - (not is_first_counted)
    if count < 1:
        raise ConfigError(
            f"{batch['name'][0]}: a scene of one image trains nothing, because the first window "
            "has no loss; set first_window, or use recordings with more images"
        )
    if not is_first_counted:
        with torch.no_grad():
            terms_of(next(windows))
    return windows, count


def _means_and_gradients(
    terms_of: TermsOf,
    windows: Iterator[ReconstructionBatch],
    count: int,
    parameters: Sequence[Tensor],
    loss_scale: float,
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """Return the means of the windows' loss terms and the gradient of the mean ``"total"``."""
    means: dict[str, Tensor] = {}
    gradients = [torch.zeros_like(parameter) for parameter in parameters]
    for window in windows:
        # The sum of the windows' gradients is the gradient of their sum because the weights do not
        # change in between; so each graph can be freed before the next is built.
        terms = {name: value / count for name, value in terms_of(window).items()}
        _add_gradients(gradients, loss_scale * terms["total"], parameters)
        for name, value in terms.items():
            means[name] = means.get(name, 0.0) + value.detach()
    # Remove the scale: the trainer scales the loss of its own backward pass.
    for gradient in gradients:
        gradient /= loss_scale
    return means, gradients


def _add_gradients(sums: list[Tensor], loss: Tensor, parameters: Sequence[Tensor]) -> None:
    """Add the gradients of a loss to ``sums``; backward passes run outside of autocast."""
    with torch.autocast(loss.device.type, enabled=False):
        gradients = torch.autograd.grad(loss, parameters, allow_unused=True)
    for total, gradient in zip(sums, gradients, strict=True):
        if gradient is not None:
            total += gradient


class _KnownGradient(torch.autograd.Function):
    """Identity of a value whose parameter gradients have been computed before."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: list[Tensor], *parameters: Tensor) -> Tensor:  # noqa: ANN401  (torch's context)
        """Return the value."""
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, *upstream: Tensor) -> tuple[Tensor | None, ...]:  # noqa: ANN401  (torch's context)
        """Return the stored gradients times the upstream gradient."""
        return None, None, *(upstream[0] * gradient for gradient in ctx.gradients)
