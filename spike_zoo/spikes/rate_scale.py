"""Rate scale of a recording: validation, selection and estimation."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from spike_zoo.errors import UsageError

if TYPE_CHECKING:
    from spike_zoo.spikes.recording import SpikeRecording

_PLANES: Final = 200  # planes around the middle whose firing rate is measured
_BLOCK: Final = 20  # planes in memory at a time
_QUANTILE: Final = 0.995  # quantile of the pixels' firing rates that is assumed to be white
MIN_RATE_SCALE: Final = 1e-3  # estimate if almost no pixel has a spike


class RateScale(NamedTuple):
    """Spikes per plane at white, stated or estimated."""

    value: float
    is_estimated: bool = False

    @property
    def note(self) -> str:
        """One line on the estimate: its value, method and the option that replaces it."""
        if self.value == MIN_RATE_SCALE:
            return (
                "warning: almost no pixel has a spike, so the rate scale cannot be estimated; "
                f"{MIN_RATE_SCALE:g} spikes per plane at white are assumed (--rate-scale sets it)"
            )
        return (
            f"rate scale: {self.value:.3g} spikes per plane at white, estimated from the brightest "
            "pixels (the recording states none; --rate-scale sets it)"
        )


def stated_rate_scale(option: float | str | None) -> float | None:
    """Return the value of ``--rate-scale``, or None for ``auto``.

    Raises UsageError if it is neither ``auto`` nor a number above 0 and at most 1.
    """
    if option is None or option == "auto":
        return None
    if isinstance(option, str) or not 0 < option <= 1:
        raise UsageError(
            f"--rate-scale {option}: expected auto, or spikes per plane at white, above 0 and at "
            "most 1 (a pixel fires at most once per plane)"
        )
    return float(option)


def rate_scale_of(
    recording: SpikeRecording, stated: float | None = None, own: float | None = None
) -> RateScale:
    """Return the rate scale: stated, of the recording, of the method, else an estimate.

    ``stated`` is the value of ``--rate-scale``; ``own`` is that which a method was trained with.
    """
    for value in (stated, recording.rate_scale, own):
        if value is not None:
            return RateScale(float(value))
    return RateScale(estimate_rate_scale(recording), is_estimated=True)


def estimate_rate_scale(recording: SpikeRecording) -> float:
    """Estimate the spikes per plane at white: the 99.5 % quantile of the pixels' firing rates.

    The rate is measured over up to 200 planes around the middle of the recording. Images of a
    scene without a white surface become too bright.
    """
    planes = len(recording)
    start = max(0, planes // 2 - _PLANES // 2)
    stop = min(planes, start + _PLANES)
    spikes = np.zeros(recording.shape[1:], np.uint16)
    for first in range(start, stop, _BLOCK):
        spikes += recording.read(first, min(first + _BLOCK, stop)).sum(axis=0, dtype=np.uint16)
    if recording.maps is not None:
        import torch

        rates = torch.from_numpy(spikes.astype(np.float32)) / (stop - start)
        return max(float(np.quantile(recording.corrected(rates), _QUANTILE)), MIN_RATE_SCALE)
    return max(float(np.quantile(spikes, _QUANTILE)) / (stop - start), MIN_RATE_SCALE)
