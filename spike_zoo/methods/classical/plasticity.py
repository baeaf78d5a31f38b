"""Texture from short-term plasticity (TFSTP): rates from a model of a synapse."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Final, NamedTuple, Self

import numpy as np
import torch
from torch import Tensor

from spike_zoo.methods.classical.functional import in_order
from spike_zoo.methods.classical.streams import block_planes
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import wanted_planes

# parameters of the synapse as in the papers; times in planes
_BASELINE: Final = 0.15  # resting value of the utilisation, u0
_FACILITATION: Final = 0.15  # increment factor of the utilisation at a spike, f
_RECOVERY_TIME: Final = 1.0  # time constant of the resource, tau_D
_FACILITATION_TIME: Final = 10.0  # time constant of the utilisation, tau_F


class PlasticityRates(NamedTuple):
    """The two estimates of the firing rate, in spikes per plane."""

    resource: Tensor
    utilisation: Tensor


class PlasticityState(NamedTuple):
    """State of the synapses of ``(B, H, W)`` pixels between two planes.

    The resource R and the utilisation u are stored as 1 - R and u - u0, which keeps precision
    near their resting values.
    """

    spent: Tensor  #: 1 - R after the last spike
    raised: Tensor  #: u - u0 after the last spike
    last: Tensor  #: plane of the last spike, -1 before the first spike

    @classmethod
    def at_rest(cls, plane: Tensor) -> Self:
        """Return the synapses of the pixels of a plane before any spike."""
        spent = torch.zeros(plane.shape, device=plane.device)
        return cls(spent, spent.clone(), torch.full_like(spent, -1, dtype=torch.int64))

    def update(self, fired: Tensor, plane: int) -> None:
        """Update the state by one plane of spikes, bool ``(B, H, W)``, in place."""
        # computed for all pixels and kept for those that fired: faster than gathering pixels
        gap = plane - self.last
        used = _BASELINE + self.raised
        # the papers' recursion in 1 - R and u - u0: small numbers near rest keep their precision
        # in float32, whereas 1 - 1e-8 is rounded to 1
        spent = 1 - (1 - self.spent) * (1 - used)
        raised = self.raised + _FACILITATION * (1 - used)
        spent *= torch.exp(-gap / _RECOVERY_TIME)
        raised *= torch.exp(-gap / _FACILITATION_TIME)
        self.spent.copy_(torch.where(fired, spent, self.spent))
        self.raised.copy_(torch.where(fired, raised, self.raised))
        self.last.masked_fill_(fired, plane)

    def rates(self) -> PlasticityRates:
        """Return both rates by inversion of the steady state; 0 for pixels without a spike."""
        used = _BASELINE + self.raised
        # in a steady state, values before and after a spike have the ratio exp(-gap / tau)
        spike_ratio = self.spent / (1 - (1 - self.spent) * (1 - used))
        before = _FACILITATION - _BASELINE + used * (1 - _FACILITATION)
        used_ratio = self.raised / before
        return PlasticityRates(
            _inverted_decay(spike_ratio, _RECOVERY_TIME),
            _inverted_decay(used_ratio, _FACILITATION_TIME),
        )


def tfstp(spikes: Tensor, center: int | Sequence[int]) -> Tensor:
    """Return the mean of two estimates of the firing rate, by the resource and the utilisation.

    The input of the synapse are all planes from the first one up to the centre. The paper shows
    the sum, normalised to its range; the mean is in spikes per plane.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        center: A plane, or a sequence of N planes, which adds a dimension N after B.

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)``, spikes per plane; 0 for pixels without a spike.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.

    Source: Zheng et al., *High-speed Image Reconstruction through Short-term Plasticity for
    Spiking Cameras*, CVPR 2021.
    """
    if isinstance(center, int | np.integer):
        return tfstp(spikes, [int(center)]).squeeze(-3)

    def video(clips: Tensor, ordered: list[int]) -> Tensor:
        batch, _, height, width = clips.shape
        out = torch.empty(batch, len(ordered), height, width, device=clips.device)
        for index, state in enumerate(_run(clips.bool().unbind(dim=1), ordered)):
            out[:, index] = _mean(state.rates())
        return out

    return in_order(video, spikes, center)


def tfstp_stream(recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
    """Yield the images of :func:`tfstp` one by one, reading the recording once in blocks.

    The maps of the recording's camera are applied.

    Args:
        recording: The spikes.
        centers: Planes, not descending, because the state is updated plane by plane.

    Yields:
        float32 ``(H, W)``, spikes per plane.

    Raises:
        PlaneRangeError: If a centre lies outside the recording.
        ValueError: If the centres descend.
    """
    planes = wanted_planes(centers, len(recording))
    if planes != sorted(planes):
        raise ValueError("centres of TFSTP must be in ascending order")
    states = _run(_planes(recording, planes[-1] + 1 if planes else 0), planes)
    return (recording.corrected(_mean(state.rates())[0]) for state in states)


def _planes(recording: SpikeRecording, stop: int) -> Iterator[Tensor]:
    """Yield planes of a recording, bool ``(1, H, W)``, read in blocks."""
    step = block_planes(recording)
    for first in range(0, stop, step):
        yield from recording.to_tensor(first, min(first + step, stop), torch.bool)[:, None]


def _run(planes: Iterable[Tensor], centers: list[int]) -> Iterator[PlasticityState]:
    """Yield the state at each of the ascending centres; the same object is updated in place.

    The state depends on all earlier planes, so no plane is skipped.
    """
    state, wanted = None, iter(centers)
    center = next(wanted, None)
    for number, fired in enumerate(planes):
        state = PlasticityState.at_rest(fired) if state is None else state
        state.update(fired, number)
        while number == center:
            yield state
            center = next(wanted, None)
        if center is None:
            return


def _mean(rates: PlasticityRates) -> Tensor:
    return (rates.resource + rates.utilisation) / 2


def _inverted_decay(ratio: Tensor, time: float) -> Tensor:
    """Return one over the gap after which ``exp(-gap / time)`` is the ratio, 0 for a ratio of 0."""
    # log(0) is computed too and replaced here: no branch per pixel
    return torch.where(ratio > 0, -1 / (time * ratio.clamp(max=1).log()), 0)
