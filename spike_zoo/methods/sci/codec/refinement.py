"""Refinement of the latent of an I-frame in an encoder, by gradient descent on its real cost."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.methods.sci.codec.entropy import FrameCoder, HyperPrior, UncodedLatent
from spike_zoo.methods.sci.codec.symbols import RateEstimator, gaussian_bits, sigma_of

STEPS = (0, 20, 60, 200)
"""Gradient steps of each effort."""
_RATE, _WARMEST, _COLDEST, _EDGE = 0.02, 0.5, 0.1, 1e-3


class AnnealedSymbols(RateEstimator):
    """Estimate bits of symbols that are rounded at random, with gradients.

    A value is rounded up or down with probabilities that depend on its distance to both integers.
    The lower the temperature, the closer is a sample to an integer.

    Args:
        generator: Random generator of the samples.
        temperature: From 0.5 at the start of a descent to 0.1.

    Source: Y. Yang et al., Improving Inference for Neural Image Compression, 2020.
    """

    def __init__(self, generator: torch.Generator, temperature: float) -> None:
        super().__init__(generator, is_rounded=True)
        self._temperature = temperature

    def hyper(self, latent: Tensor | None, prior: HyperPrior, size: Sequence[int]) -> Tensor:
        """Return the sampled hyper latent, and add its bits."""
        assert latent is not None
        sample = self._quantised(latent.float())
        self.bits = self.bits + prior.bits(sample).sum()
        return sample

    def residual(
        self, latent: Tensor | None, mean: Tensor, level: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return sampled residuals inside the mask, and add their bits; index 0 is not coded."""
        assert latent is not None
        coded = mask & (level > 0.5)
        sample = torch.where(coded, self._quantised(latent.float() - mean.float()), 0.0)
        bits = gaussian_bits(sample, sigma_of(level))
        self.bits = self.bits + torch.where(coded, bits, 0.0).sum()
        return sample, sample

    def _quantised(self, values: Tensor) -> Tensor:
        lower = values.detach().floor()
        above = (values - lower).clamp(_EDGE, 1 - _EDGE)
        uniform = torch.rand((2, *values.shape), generator=self._generator).to(values.device)
        noise = -torch.log(-torch.log(uniform.clamp(1e-9, 1 - 1e-7)))  # Gumbel
        logits = -torch.atanh(torch.stack([above, 1 - above])) / self._temperature
        return lower + torch.softmax((logits + noise) / self._temperature, dim=0)[1]


def refined(
    decode: Callable[[FrameCoder, UncodedLatent], Tensor],
    coder: FrameCoder,
    start: UncodedLatent,
    feature: Tensor,
    *,
    steps: int,
    weights: Sequence[float],
) -> UncodedLatent:
    """Return a latent whose bits plus weighted square error are less than those of ``start``.

    Args:
        decode: Codes a latent and returns the decoded feature.
        coder: The gains and the quality.
        start: The latent to start from; returned if the descent does not reduce the cost.
        feature: The feature to code, ``(B, 3, H, W)``.
        steps: Number of gradient steps.
        weights: Weight of the error against the bits per pixel, for each quality.
    """
    with torch.inference_mode(False), torch.enable_grad():
        target = feature.clone()
        latents = [part.clone().requires_grad_() for part in start]
        optimiser = torch.optim.Adam(latents, _RATE)
        generator = torch.Generator().manual_seed(0)

        def cost(symbols: RateEstimator, latent: UncodedLatent) -> Tensor:
            error = F.mse_loss(decode(coder._replace(symbols=symbols), latent).float(), target)
            return symbols.bits / target[:, 0].numel() + weights[coder.quality] * error

        for step in range(steps):
            left = 1 - step / steps
            optimiser.param_groups[0]["lr"] = _RATE * left
            symbols = AnnealedSymbols(generator, max(_COLDEST, _WARMEST * left))
            optimiser.zero_grad()  # autograd.grad fails under FlopCounterMode, as in a test
            cost(symbols, UncodedLatent(*latents)).backward(inputs=latents)
            optimiser.step()
        with torch.no_grad():
            end = UncodedLatent(*(latent.detach() for latent in latents))
            costs = [float(cost(RateEstimator(is_exact=True), x)) for x in (start, end)]
    return end if costs[1] < costs[0] else start
