"""Integer network that predicts the scale index of each symbol: exact on every machine."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from spike_zoo.coding.errors import DeviceNotExactError, NotFinalizedError
from spike_zoo.methods.sci.codec.quantization import LEVELS, bounded, rounded

QUALITIES = 4
LARGEST_HYPER = 127  # z symbols that the network sees
LARGEST_SYMBOL = 15  # context symbols that it sees
LARGEST_ACTIVATION = 255
FIRST_LEVEL = 22.0
"""Index that an untrained network predicts: from a lower one, nothing is ever coded."""
FIRST_OFFSET = 0.5

#: Types of devices that have none: integers are computed on the processor, and sent back.
WITHOUT_FLOAT64 = {"mps"}
_WEIGHTS = 127
_LEAST_STEP = 1e-12
_FASTEST, _SLOWEST = 2**14, 40  # smallest multiplier, largest shift
_UNSEEN = 2.0**-6
_MOMENTUM = 0.99
_QUANTILE = 0.999
_PROBED = 2**15  # activations whose quantile is taken
_PROBE_SIDE = 8


class IntegerLayer(nn.Module):
    """A convolution in integers, and the float weights it is trained as.

    Float weights are rounded to steps of 1/127 of the largest of their output channel; sums are
    multiplied by ``m / 2^s``, rounded and clipped. Training rounds in the same places, with
    gradients that pass (fake quantisation), so that both agree but for the last digit of floats.

    Args:
        inputs: Channels.
        outputs: Channels.
        kernel: Side of the kernel.
        rows: How many biases there are to choose from; 1 for all but the first layer.
        largest: What the layer's outputs are clipped to, from 0.
        step: Value of one integer of the output; None learns it from activations.
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
        largest: int = LARGEST_ACTIVATION,
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
        """Value of one integer of the output; a guess before anything was seen."""
        return torch.where(self.step > 0, self.step, _UNSEEN)

    def weight_steps(self) -> Tensor:
        """Return the value of one integer of each output channel's weights, ``(O,)``."""
        largest = self.weight.detach().abs().amax(dim=(1, 2, 3))
        return (largest / _WEIGHTS).clamp(min=_LEAST_STEP)

    def trained(self, x: Tensor, input_step: Tensor, row: int) -> Tensor:
        """Return the outputs before rounding and clipping, as in training.

        Args:
            x: ``(B, C, H, W)``, integers as floats.
            input_step: Value of one of them.
            row: Which bias.
        """
        steps = self.weight_steps()
        weight = rounded(self.weight / steps.view(-1, 1, 1, 1))
        bias = rounded(self.bias[row] / (steps * input_step))
        sums = F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)
        if self.learns_step and self.training:
            self._follow(sums.detach() * (steps * input_step).view(1, -1, 1, 1))
        multiplier, shift = scaling(steps.double() * input_step.double() / self.value.double())
        factor = (multiplier * torch.exp2(-shift)).to(sums.dtype)
        return sums * factor.view(1, -1, 1, 1)

    def _follow(self, values: Tensor) -> None:
        """Let the step follow the largest activations but for one in a thousand."""
        flat = values.relu().flatten()
        flat = flat[:: max(1, flat.numel() // _PROBED)]
        found = (torch.quantile(flat, _QUANTILE) / LARGEST_ACTIVATION).clamp(min=_LEAST_STEP)
        kept = _MOMENTUM if self.step else 0.0
        self.step.copy_(kept * self.step + (1.0 - kept) * found)

    @torch.no_grad()
    def export(self, input_step: Tensor, largest_inputs: Tensor) -> None:
        """Write the integers that this layer computes with from now on.

        Args:
            input_step: Value of one integer of the input.
            largest_inputs: Largest magnitude of each input channel, ``(C,)``.

        Raises:
            ValueError: If sums could leave 32 bits, or a scale has no such form.
        """
        steps = self.weight_steps()
        weight = (self.weight / steps.view(-1, 1, 1, 1)).round()
        bias = (self.bias / (steps * input_step)).round().double()
        multiplier, shift = scaling(steps.double() * input_step.double() / self.value.double())
        reach = (weight.double().abs().sum(dim=(2, 3)) * largest_inputs).sum(dim=1)
        if not bool((reach + bias.abs() < 2.0**31).all()):  # so that no number is refused too
            raise ValueError("the sums of a scale network leave 32 bits: its training diverged")
        self.weight_integer.copy_(weight)
        self.bias_integer.copy_(bias)
        self.multiplier.copy_(multiplier)
        self.shift.copy_(shift)

    def exact(self, x: Tensor, row: int) -> Tensor:
        """Return the outputs, ``(B, C, H, W)`` float64 -> ``(B, O, H, W)``, all integers.

        Every number on the way is an integer, or one divided by a power of two, below 2^53: the
        order of sums, the device and the layout change nothing.
        """
        kernel = self.weight_integer.shape[-1]
        patches = F.unfold(x, kernel, padding=kernel // 2)
        held = (self.weight_integer, self.bias_integer[row], self.multiplier, self.shift)
        weight, bias, multiplier, shift = (one.to(x.device).double() for one in held)
        sums = weight.flatten(1) @ patches + bias[:, None]
        multiplier, shift = multiplier[:, None], shift[:, None]
        found = torch.floor((sums * multiplier + torch.exp2(shift - 1)) * torch.exp2(-shift))
        return found.clamp(0, self.largest).unflatten(-1, x.shape[-2:])


def scaling(factors: Tensor) -> tuple[Tensor, Tensor]:
    """Return integers m and s with ``m / 2^s`` as near to each factor as 15 bits allow.

    Args:
        factors: float64, above 0.

    Returns:
        m of [2^14, 2^15) and s of [1, 40], float64.

    Raises:
        ValueError: If a factor is 2^14 or more, or no number.
    """
    if not bool((factors < _FASTEST).all()):
        raise ValueError("a scale network has a factor above 16384; its training has diverged")
    shift = (14 - torch.floor(torch.log2(factors.clamp(min=2.0**-60)))).clamp(1, _SLOWEST)
    multiplier = torch.round(factors * torch.exp2(shift))
    carried = multiplier >= 2 * _FASTEST  # rounding went over the top
    shift = shift - carried.double()
    multiplier = torch.where(carried, torch.round(factors * torch.exp2(shift)), multiplier)
    return multiplier.clamp(min=_FASTEST), shift


class ScaleNet(nn.Module):
    """Predict the scale index of every symbol from symbols that are decoded before it.

    Whatever selects a probability table must be the same to the last bit where a stream is written
    and where it is read. So this network sees integers alone (symbols of the hyper latent, of the
    first pass, of the frame before) and computes with integers; floats move the value a symbol
    approximates, never its table.

    Args:
        hyper: Channels of the hyper latent.
        context: Channels of other symbols.
        hidden: Channels of both hidden layers.
        outputs: Channels of the latent.

    Source: the project's own; the paper leaves entropy coding open.
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
        """Return the level of every symbol in training, not rounded, with gradients.

        Args:
            hyper: ``(B, Z, h/4, w/4)``, rounded symbols.
            context: Other symbols, rounded, ``(B, C_i, h, w)`` each.
            quality: Which bias row.

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
                x = rounded(x)
                within = (x >= 0) & (x <= LARGEST_ACTIVATION)
                # gradients pass at the limits too; those of clamp() do not from torch 2.14 on
                x = torch.where(within, x, x.detach().clamp(0, LARGEST_ACTIVATION))
                step = layer.value
            return bounded(self._layer(2).trained(x, step, 0), 0.0, LEVELS - 1.0)

    @torch.no_grad()
    def scale_indexes(self, hyper: Tensor, context: Sequence[Tensor], quality: int) -> Tensor:
        """Return the level of every symbol, exact, int64 ``(B, N, h, w)``; see :meth:`forward`.

        Raises:
            NotFinalizedError: Before :meth:`finalize`.
        """
        if not self.is_final:
            raise NotFinalizedError(
                "this codec's entropy model is not final yet: call update_tables() once its "
                "training is done; checkpoints of stage 'codec' that ran to their end have it"
            )
        place = exact_device(hyper.device)
        with torch.autocast(place.type, enabled=False):
            seen = joined(hyper.to(place), [one.to(place) for one in context], torch.float64)
            return self._exact(seen, quality).to(hyper.device)

    def _exact(self, x: Tensor, quality: int) -> Tensor:
        for number in range(len(self.layers)):
            x = self._layer(number).exact(x, quality if number == 0 else 0)
        return x.long()

    @torch.no_grad()
    def finalize(self) -> None:
        """Export all layers to integers, and note what they say of a known input."""
        first = self._layer(0)
        largest = first.weight.new_full((first.weight.shape[1],), LARGEST_SYMBOL).double()
        largest[: self.hyper] = LARGEST_HYPER
        step = first.step.new_ones(())
        for number in range(len(self.layers)):
            layer = self._layer(number)
            layer.export(step, largest)
            step = layer.value
            largest = layer.weight.new_full((layer.weight.shape[0],), LARGEST_ACTIVATION).double()
        self.probe_crc.fill_(self._probe(self.probe_crc.device))
        self.is_final.fill_(True)

    def check(self, device: torch.device) -> None:
        """Compare what this device computes of the known input with what was noted.

        Raises:
            DeviceNotExactError: If it differs, as where float64 is emulated with less precision.
        """
        found = self._probe(device)
        if found != int(self.probe_crc):
            raise DeviceNotExactError(
                f"{device} does not compute integers of float64 exactly ({found:#010x} instead of "
                f"{int(self.probe_crc):#010x}): streams would not be readable elsewhere. "
                "Code on the processor (--device cpu)"
            )

    @torch.no_grad()
    def _probe(self, device: torch.device) -> int:
        """Return the CRC-32 of the levels of a seeded random input of 8 x 8."""
        inputs = self._layer(0).weight.shape[1]
        generator = np.random.default_rng(inputs)
        limit = np.full((inputs, 1, 1), LARGEST_SYMBOL)
        limit[: self.hyper] = LARGEST_HYPER
        drawn = generator.integers(-limit, limit + 1, (inputs, _PROBE_SIDE, _PROBE_SIDE))
        place = exact_device(device)
        x = torch.from_numpy(drawn).to(place, torch.float64)[None]
        with torch.autocast(place.type, enabled=False):
            return zlib.crc32(self._exact(x, 0).to("cpu", torch.uint8).numpy().tobytes())


def exact_device(device: torch.device) -> torch.device:
    """Return where levels are computed for a device: on the processor where it has no float64."""
    return torch.device("cpu") if device.type in WITHOUT_FLOAT64 else device


def joined(hyper: Tensor, context: Sequence[Tensor], dtype: torch.dtype) -> Tensor:
    """Return what the network sees: all symbols at the latent's size, clipped.

    Args:
        hyper: ``(B, Z, h/4, w/4)``.
        context: ``(B, C_i, h, w)`` each.
        dtype: Of the result.
    """
    repeated = hyper.repeat_interleave(4, dim=-2).repeat_interleave(4, dim=-1)
    parts = [bounded(repeated, -LARGEST_HYPER, LARGEST_HYPER)]
    parts += [bounded(one, -LARGEST_SYMBOL, LARGEST_SYMBOL) for one in context]
    return torch.cat([part.to(dtype) for part in parts], dim=1)
