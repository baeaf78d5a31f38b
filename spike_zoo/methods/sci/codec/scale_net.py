"""Integer network that predicts the scale index of each symbol, identical on every machine."""

import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.coding import errors as coding_errors
from spike_zoo.coding import tables as frequency_tables
from spike_zoo.nn.precision import exact_device

QUALITIES = 4
LEVELS = len(frequency_tables.SIGMAS)
"""Number of Gaussian probability tables, that is of scale indexes. Symbols with index 0, the
narrowest, are not coded."""
MAX_HYPER = 127  # inputs are clipped: hyper latent symbols to +-127
MAX_SYMBOL = 15  # other symbols to +-15
MAX_ACTIVATION = 255
FIRST_LEVEL = 22.0
"""Scale index of an untrained network. With a lower initial index, nothing is ever coded."""
FIRST_OFFSET = 0.5

_MAX_WEIGHT = 127
_MIN_STEP = 1e-12
_MIN_MULTIPLIER, _MAX_SHIFT = 2**14, 40
_INITIAL_STEP = 2.0**-6
_MOMENTUM = 0.99
_QUANTILE = 0.999
_QUANTILE_SAMPLES = 2**15  # about the number of activations for the quantile
_PROBE_SIDE = 8


def ste_round(x: Tensor) -> Tensor:
    """Round half to even, with a straight-through gradient."""
    return x + (x.round() - x).detach()


class _ClampFunction(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, low: float, high: float) -> Tensor:  # noqa: ANN401  (torch's)
        ctx.save_for_backward(x)
        ctx.bounds = low, high
        return x.clamp(low, high)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Any:  # noqa: ANN401  (torch's)
        (x,) = ctx.saved_tensors
        low, high = ctx.bounds
        # gradient descent raises a value that is too small if its gradient is negative
        passes = ((x >= low) | (gradient < 0)) & ((x <= high) | (gradient > 0))
        return gradient * passes, None, None


def clamp_with_gradient(x: Tensor, low: float, high: float) -> Tensor:
    """Clamp; outside the range, only gradients that move a value back into the range pass."""
    return _ClampFunction.apply(x, low, high)  # type: ignore[no-untyped-call]  # torch's


class IntegerLayer(nn.Module):
    """An integer convolution that is trained with float weights and fake quantisation.

    Float weights are rounded to steps of 1/127 of the largest magnitude of their output channel.
    Sums are multiplied by ``m / 2^s``, rounded and clipped. Training rounds at the same places with
    straight-through gradients, so that both results differ by float rounding only.

    Args:
        inputs: Input channels.
        outputs: Output channels.
        kernel: Side of the kernel.
        rows: Number of selectable biases; 1 for all layers except the first.
        largest: Outputs are clipped to [0, ``largest``].
        step: Quantisation step of the output; None estimates it from activations.
    """

    weight_integer: Tensor
    bias_integer: Tensor
    multiplier: Tensor
    shift: Tensor
    step: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        rows: int = 1,
        largest: int = MAX_ACTIVATION,
        step: float | None = None,
    ) -> None:
        super().__init__()
        plain = nn.Conv2d(inputs, outputs, kernel)
        self.weight = nn.Parameter(plain.weight.detach())
        self.bias = nn.Parameter(torch.zeros(rows, outputs))
        self.largest = largest
        self.learns_step = step is None
        self.register_buffer("step", torch.tensor(0.0 if step is None else step))
        shape = outputs, inputs, kernel, kernel
        self.register_buffer("weight_integer", torch.zeros(shape, dtype=torch.int8))
        self.register_buffer("bias_integer", torch.zeros(rows, outputs, dtype=torch.int32))
        self.register_buffer("multiplier", torch.zeros(outputs, dtype=torch.int32))
        self.register_buffer("shift", torch.zeros(outputs, dtype=torch.int32))

    @property
    def value(self) -> Tensor:
        """Quantisation step of the output; 2^-6 before the first activations."""
        return torch.where(self.step > 0, self.step, _INITIAL_STEP)

    def weight_steps(self) -> Tensor:
        """Return the quantisation step of the weights of each output channel, ``(O,)``."""
        largest = self.weight.detach().abs().amax(dim=(1, 2, 3))
        return (largest / _MAX_WEIGHT).clamp(min=_MIN_STEP)

    def trained(self, x: Tensor, input_step: Tensor, row: int) -> Tensor:
        """Return the outputs in training, before rounding and clipping.

        Args:
            x: ``(B, C, H, W)``, integers as floats.
            input_step: Quantisation step of ``x``.
            row: Index of the bias.
        """
        steps = self.weight_steps()
        weight = ste_round(self.weight / steps.view(-1, 1, 1, 1))
        bias = ste_round(self.bias[row] / (steps * input_step))
        sums = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        if self.learns_step and self.training:
            self._update_step(sums.detach() * (steps * input_step).view(1, -1, 1, 1))
        multiplier, shift = scaling(steps.double() * input_step.double() / self.value.double())
        factor = (multiplier * torch.exp2(-shift)).to(sums.dtype)
        return sums * factor.view(1, -1, 1, 1)

    def _update_step(self, values: Tensor) -> None:
        """Update the moving average of the step, so that 99.9 % of activations are not clipped."""
        flat = values.relu().flatten()
        flat = flat[:: max(1, flat.numel() // _QUANTILE_SAMPLES)]
        step = (torch.quantile(flat, _QUANTILE) / MAX_ACTIVATION).clamp(min=_MIN_STEP)
        momentum = _MOMENTUM if self.step else 0.0
        self.step.copy_(momentum * self.step + (1.0 - momentum) * step)

    @torch.no_grad()
    def export(self, input_step: Tensor, largest_inputs: Tensor) -> None:
        """Compute the integer weights, biases, multipliers and shifts from the float weights.

        ``largest_inputs`` is the largest magnitude of each input channel, ``(C,)``.
        """
        steps = self.weight_steps()
        weight = (self.weight / steps.view(-1, 1, 1, 1)).round()
        bias = (self.bias / (steps * input_step)).round().double()
        multiplier, shift = scaling(steps.double() * input_step.double() / self.value.double())
        bound = (weight.double().abs().sum(dim=(2, 3)) * largest_inputs).sum(dim=1)
        if not bool((bound + bias.abs() < 2.0**31).all()):  # negated, to reject NaN too
            raise ValueError("the sums of a scale network leave 32 bits: its training diverged")
        self.weight_integer.copy_(weight)
        self.bias_integer.copy_(bias)
        self.multiplier.copy_(multiplier)
        self.shift.copy_(shift)

    def exact(self, x: Tensor, row: int) -> Tensor:
        """Return the outputs, ``(B, C, H, W)`` float64 -> ``(B, O, H, W)``, all integers.

        All intermediate values are integers below 2^53, or such integers divided by a power of two.
        They are exact in float64, whatever the order of sums, the device and the memory layout.
        """
        kernel = self.weight_integer.shape[-1]
        patches = F.unfold(x, kernel, padding=kernel // 2)
        buffers = (self.weight_integer, self.bias_integer[row], self.multiplier, self.shift)
        weight, bias, multiplier, shift = (buffer.to(x.device).double() for buffer in buffers)
        sums = weight.flatten(1) @ patches + bias[:, None]
        multiplier, shift = multiplier[:, None], shift[:, None]
        outputs = torch.floor((sums * multiplier + torch.exp2(shift - 1)) * torch.exp2(-shift))
        return outputs.clamp(0, self.largest).unflatten(-1, x.shape[-2:])


def scaling(factors: Tensor) -> tuple[Tensor, Tensor]:
    """Approximate each factor by ``m / 2^s`` with integers m, of 15 bits, and s.

    Args:
        factors: float64, above 0.

    Returns:
        m in [2^14, 2^15) and s in [1, 40], float64.
    """
    if not bool((factors < _MIN_MULTIPLIER).all()):
        raise ValueError("a scale network has a factor above 16384; its training has diverged")
    shift = (14 - torch.floor(torch.log2(factors.clamp(min=2.0**-60)))).clamp(1, _MAX_SHIFT)
    multiplier = torch.round(factors * torch.exp2(shift))
    carried = multiplier >= 2 * _MIN_MULTIPLIER  # rounded up to 2^15
    shift = shift - carried.double()
    multiplier = torch.where(carried, torch.round(factors * torch.exp2(shift)), multiplier)
    return multiplier.clamp(min=_MIN_MULTIPLIER), shift


class ScaleNet(nn.Module):
    """Predict the scale index of each symbol from symbols that are decoded before it.

    Encoder and decoder must select identical probability tables. Therefore the inputs are integers
    (symbols of the hyper latent, of the first pass and of the previous frame) and the arithmetic is
    exact. Floats affect only the value that a symbol encodes, not its table.

    Args:
        hyper: Channels of the hyper latent.
        context: Channels of other symbols.
        hidden: Channels of both hidden layers.
        outputs: Channels of the latent.

    Source: not in the paper, which does not describe entropy coding.
    """

    probe_crc: Tensor
    is_final: Tensor

    def __init__(self, hyper: int, context: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.hyper = hyper
        inputs = hyper + context
        self.layers = nn.ModuleList(
            [
                IntegerLayer(inputs, hidden, 3, rows=QUALITIES),
                IntegerLayer(hidden, hidden, 3),
                IntegerLayer(hidden, outputs, 1, largest=LEVELS - 1, step=1.0),
            ]
        )
        self.register_buffer("probe_crc", torch.zeros((), dtype=torch.int64))
        self.register_buffer("is_final", torch.zeros((), dtype=torch.bool))
        nn.init.constant_(self._layer(0).bias, FIRST_OFFSET)
        nn.init.constant_(self._layer(2).bias, FIRST_LEVEL)

    def _layer(self, number: int) -> IntegerLayer:
        layer = self.layers[number]
        assert isinstance(layer, IntegerLayer)
        return layer

    def forward(self, hyper: Tensor, context: Sequence[Tensor], quality: int) -> Tensor:
        """Return the scale index of each symbol in training, not rounded, with gradients.

        Args:
            hyper: ``(B, Z, h/4, w/4)``, rounded symbols.
            context: Other symbols, rounded, ``(B, C_i, h, w)`` each.
            quality: 0 to 3, the index of the bias.

        Returns:
            ``(B, N, h, w)`` in [0, 63].
        """
        device = hyper.device.type
        with torch.autocast(device, enabled=False):
            x = joined(hyper, context, torch.float32)
            step = x.new_ones(())
            for number in range(2):
                layer = self._layer(number)
                x = layer.trained(x, step, quality if number == 0 else 0)
                x = ste_round(x)
                within = (x >= 0) & (x <= MAX_ACTIVATION)
                # gradients pass at the limits too; those of clamp() do not from torch 2.14 on
                x = torch.where(within, x, x.detach().clamp(0, MAX_ACTIVATION))
                step = layer.value
            return clamp_with_gradient(self._layer(2).trained(x, step, 0), 0.0, LEVELS - 1.0)

    @torch.no_grad()
    def scale_indexes(self, hyper: Tensor, context: Sequence[Tensor], quality: int) -> Tensor:
        """Return the exact scale index of each symbol, int64; arguments as of :meth:`forward`."""
        if not self.is_final:
            raise coding_errors.NotFinalizedError(
                "this codec's entropy model is not final yet: call update_tables() once its "
                "training is done; checkpoints of stage 'codec' that ran to their end have it"
            )
        device = exact_device(hyper.device)
        with torch.autocast(device.type, enabled=False):
            symbols = [part.to(device) for part in context]
            inputs = joined(hyper.to(device), symbols, torch.float64)
            return self._exact(inputs, quality).to(hyper.device)

    def _exact(self, x: Tensor, quality: int) -> Tensor:
        for number in range(len(self.layers)):
            x = self._layer(number).exact(x, quality if number == 0 else 0)
        return x.long()

    @torch.no_grad()
    def finalize(self) -> None:
        """Export all layers to integers, and store the checksum of the output for a test input."""
        first = self._layer(0)
        largest = first.weight.new_full((first.weight.shape[1],), MAX_SYMBOL).double()
        largest[: self.hyper] = MAX_HYPER
        step = first.step.new_ones(())
        for number in range(len(self.layers)):
            layer = self._layer(number)
            layer.export(step, largest)
            step = layer.value
            largest = layer.weight.new_full((layer.weight.shape[0],), MAX_ACTIVATION).double()
        self.probe_crc.fill_(self._probe(self.probe_crc.device))
        self.is_final.fill_(True)

    def check(self, device: torch.device) -> None:
        """Raise DeviceNotExactError if the output of a device has another checksum than stored.

        This happens if float64 is emulated inexactly.
        """
        crc = self._probe(device)
        if crc != int(self.probe_crc):
            raise coding_errors.DeviceNotExactError(
                f"{device} does not compute integers of float64 exactly ({crc:#010x} instead of "
                f"{int(self.probe_crc):#010x}): streams would not be readable elsewhere. "
                "Code on the processor (--device cpu)"
            )

    @torch.no_grad()
    def _probe(self, device: torch.device) -> int:
        """Return the CRC-32 of the scale indexes of a seeded random input of 8 x 8."""
        inputs = self._layer(0).weight.shape[1]
        generator = np.random.default_rng(inputs)
        limit = np.full((inputs, 1, 1), MAX_SYMBOL)
        limit[: self.hyper] = MAX_HYPER
        symbols = generator.integers(-limit, limit + 1, (inputs, _PROBE_SIDE, _PROBE_SIDE))
        device = exact_device(device)
        x = torch.from_numpy(symbols).to(device, torch.float64)[None]
        with torch.autocast(device.type, enabled=False):
            return zlib.crc32(self._exact(x, 0).to("cpu", torch.uint8).numpy().tobytes())


def joined(hyper: Tensor, context: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return the input of the network: all symbols at the latent's size, clipped."""
    repeated = hyper.repeat_interleave(4, dim=-2).repeat_interleave(4, dim=-1)
    parts = [clamp_with_gradient(repeated, -MAX_HYPER, MAX_HYPER)]
    parts += [clamp_with_gradient(symbols, -MAX_SYMBOL, MAX_SYMBOL) for symbols in context]
    return torch.cat([part.to(dtype) for part in parts], dim=1)
