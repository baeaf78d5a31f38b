"""Brightness from a model of short-term synaptic plasticity (TFSTP)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple, Self

import torch

from spike_zoo.methods.classical.functional import as_clips, in_callers_form
from spike_zoo.methods.classical.streams import block_planes
from spike_zoo.spikes.windows import wanted_planes

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from torch import Tensor

    from spike_zoo.spikes import SpikeRecording

Compat = Literal["spikecv"]


@dataclass(frozen=True)
class PlasticityRules:
    """The constants of the synapse.

    Args:
        baseline: Utilisation that the synapse returns to, the papers' u0.
        facilitation: What a spike adds to the utilisation, f.
        recovery_time: Time constant of the resource, tau_D, in units.
        facilitation_time: Time constant of the utilisation, tau_F, in units.
        unit: Planes in one unit of time.
        compat: ``"spikecv"`` inverts the utilisation as SpikeCV's code does, with tau_F where the
            steady state has f; that estimate is too low.

    Raises:
        ValueError: If a constant is not positive, or ``compat`` is unknown.
    """

    baseline: float = 0.15
    facilitation: float = 0.15
    recovery_time: float = 1.0
    facilitation_time: float = 10.0
    unit: float = 1.0
    compat: Compat | None = None

    def __post_init__(self) -> None:
        constants = (self.facilitation, self.recovery_time, self.facilitation_time, self.unit)
        if min(self.baseline, *constants) <= 0 or self.compat not in (None, "spikecv"):
            raise ValueError(f"constants are above 0 and compat is None or 'spikecv', got {self}")


class PlasticityRates(NamedTuple):
    """The two estimates of the firing rate, in spikes per plane."""

    resource: Tensor
    utilisation: Tensor


class PlasticityState(NamedTuple):
    """What the synapses of ``(B, H, W)`` pixels hold between two planes.

    The resource R and the utilisation u are kept as 1 - R and u - u0, which stay exact when both
    are near their resting values.
    """

    spent: Tensor
    raised: Tensor
    last: Tensor

    @classmethod
    def at_rest(cls, batch: int, height: int, width: int, device: torch.device) -> Self:
        """Return synapses that have seen no spike."""
        spent = torch.zeros(batch, height, width, device=device)
        return cls(spent, spent.clone(), torch.full_like(spent, -1, dtype=torch.int64))

    def update(self, fired: Tensor, plane: int, rules: PlasticityRules) -> None:
        """Take in one plane of spikes, bool ``(B, H, W)``, in place."""
        # all pixels are computed and the few that fired kept: a plane is one pass without gathering
        gap = (plane - self.last) / rules.unit
        used = rules.baseline + self.raised
        # the papers' recursion in 1 - R and u - u0: near rest these are small numbers, and float32
        # keeps their digits where 1 - 1e-8 would be 1
        spent = 1 - (1 - self.spent) * (1 - used)
        raised = self.raised + rules.facilitation * (1 - used)
        spent *= torch.exp(-gap / rules.recovery_time)
        raised *= torch.exp(-gap / rules.facilitation_time)
        self.spent.copy_(torch.where(fired, spent, self.spent))
        self.raised.copy_(torch.where(fired, raised, self.raised))
        self.last.masked_fill_(fired, plane)

    def rates(self, rules: PlasticityRules) -> PlasticityRates:
        """Invert the steady state; 0 where no spike has come yet."""
        used = rules.baseline + self.raised
        # in a steady state the decay undoes a spike: before over after it is exp(-gap / tau)
        spike_ratio = self.spent / (1 - (1 - self.spent) * (1 - used))
        gain = rules.facilitation if rules.compat is None else rules.facilitation_time
        used_ratio = self.raised / (gain - rules.baseline + used * (1 - rules.facilitation))
        return PlasticityRates(
            _inverted_decay(spike_ratio, rules.recovery_time * rules.unit),
            _inverted_decay(used_ratio, rules.facilitation_time * rules.unit),
        )


def plasticity_rates(
    spikes: Tensor, center: int, rules: PlasticityRules | None = None
) -> PlasticityRates:
    """Return both estimates of the firing rate after the spikes up to a plane, that one included.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        center: The plane.
        rules: Constants of the synapse.

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)`` each.

    Raises:
        PlaneRangeError: If the plane lies outside the clip.
    """
    rules = rules or PlasticityRules()
    clips = as_clips(spikes).bool()
    wanted_planes(center, clips.shape[1])
    states = list(_run(clips, [center], rules))
    rates = states[0].rates(rules)
    return rates if spikes.ndim == 4 else PlasticityRates(*(rate[0] for rate in rates))


def tfstp(
    spikes: Tensor, center: int | Sequence[int], rules: PlasticityRules | None = None
) -> Tensor:
    """Return the mean of the two estimates of :func:`plasticity_rates`.

    The synapse sees every plane from the first one on and none behind the centre. The paper
    shows the sum, stretched to its own range; the mean keeps the unit.

    Args:
        spikes: ``(T, H, W)`` or ``(B, T, H, W)``.
        center: A plane; several give a leading dimension N behind B.
        rules: Constants of the synapse.

    Returns:
        float32 ``(H, W)`` or ``(B, H, W)``, spikes per plane; 0 where no spike has come yet.

    Raises:
        PlaneRangeError: If a centre lies outside the clip.

    Source: Zheng et al., *High-speed Image Reconstruction through Short-term Plasticity for
    Spiking Cameras*, CVPR 2021.
    """
    if isinstance(center, int):
        return tfstp(spikes, [center], rules).squeeze(-3)
    rules = rules or PlasticityRules()
    clips = as_clips(spikes).bool()
    wanted_planes(center, clips.shape[1])

    def video(ordered: list[int]) -> Tensor:
        batch, _, height, width = clips.shape
        out = torch.empty(batch, len(ordered), height, width, device=clips.device)
        for index, state in enumerate(_run(clips, ordered, rules)):
            out[:, index] = _mean(state.rates(rules))
        return out

    return in_callers_form(video, list(center), spikes)


def tfstp_stream(
    recording: SpikeRecording,
    centers: Sequence[int],
    rules: PlasticityRules | None = None,
) -> Iterator[Tensor]:
    """Yield the images of :func:`tfstp` one by one, reading the recording once in blocks.

    Args:
        recording: The spikes.
        centers: Planes, not descending; the synapse has to see all planes before.
        rules: Constants of the synapse.

    Yields:
        float32 ``(H, W)``, spikes per plane.

    Raises:
        PlaneRangeError: If a centre lies outside the recording.
        ValueError: If the centres descend.
    """
    planes = wanted_planes(centers, len(recording))
    if planes != sorted(planes):
        raise ValueError("TFSTP takes its centres in ascending order")
    return _stream(recording, planes, rules or PlasticityRules())


def _stream(
    recording: SpikeRecording, centers: list[int], rules: PlasticityRules
) -> Iterator[Tensor]:
    _, height, width = recording.shape
    state = PlasticityState.at_rest(1, height, width, torch.device("cpu"))
    done = 0
    for center in centers:
        while done <= center:  # the state is a sum over all planes before: none may be skipped
            stop = min(done + block_planes(recording), center + 1)
            for plane in recording.to_tensor(done, stop, torch.bool):
                state.update(plane[None], done, rules)
                done += 1
        yield _mean(state.rates(rules))[0]


def _run(clips: Tensor, centers: list[int], rules: PlasticityRules) -> Iterator[PlasticityState]:
    """Yield the one state, updated in place, at each of the ascending centres."""
    batch, _, height, width = clips.shape
    state = PlasticityState.at_rest(batch, height, width, clips.device)
    done = 0
    for center in centers:
        for plane in range(done, center + 1):
            state.update(clips[:, plane], plane, rules)
        done = center + 1
        yield state


def _mean(rates: PlasticityRates) -> Tensor:
    return (rates.resource + rates.utilisation) / 2


def _inverted_decay(ratio: Tensor, time: float) -> Tensor:
    """Return one over the gap after which ``exp(-gap / time)`` is the ratio, 0 for a ratio of 0."""
    # logarithms of 0 are computed too and left out here: no branch per pixel
    return torch.where(ratio > 0, -1 / (time * ratio.clamp(max=1).log()), 0)
