"""Rate scale of a recording: validation, selection and estimation."""

import math
import warnings
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from spike_zoo.errors import UsageError
from spike_zoo.spikes.cfa import Cfa
from spike_zoo.spikes.recording import SpikeRecording

_PLANES: Final = 200  # longest window, in planes
_BLOCK: Final = 20  # planes in memory at a time
_TYPICAL: Final = 0.995  # quantile of the rates of bright pixels, for the length of the windows
_WINDOWS, _MIN_WINDOW, _SPIKES = 9, 21, 10  # number, shortest length, spikes of a bright pixel
_QUANTILE: Final = 0.9999  # of the rates in a window: at most 0.01 % of the pixels are brighter
_MARGIN: Final = 1.1  # few scenes have white areas, and other planes may be brighter
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


def user_rate_scale(option: float | str | None) -> float | None:
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
    recording: SpikeRecording,
    user_value: float | None = None,
    own: float | None = None,
    *,
    estimates: bool = True,
) -> RateScale:
    """Return the rate scale: stated, of the recording, of the method, else an estimate.

    Args:
        recording: The recording.
        user_value: Stated value, which overrides that of the recording.
        own: Value for which the method was made.
        estimates: Estimate an unknown value, as commands do; if False, it is 1 with a warning, so
            that images of parts of a recording are equally bright.

    Raises:
        UsageError: If the value is not a finite number above 0.
    """
    for value in (user_value, recording.rate_scale, own):
        if value is not None:
            if isinstance(value, str) or not 0 < value < math.inf:
                raise UsageError(
                    f"rate_scale is {value}, expected spikes per plane at white, above 0"
                )
            return RateScale(float(value))
    if estimates:
        return RateScale(estimate_rate_scale(recording), is_estimated=True)
    warnings.warn(
        "the recording does not state its rate scale (spikes per plane at white); 1 is assumed, so "
        "images may be too dark and dark recordings misclassified. Give the rate scale "
        "(rate_scale=R; for commands --rate-scale R).",
        stacklevel=4,
    )
    return RateScale(1.0)


def estimate_rate_scale(recording: SpikeRecording) -> float:
    """Estimate the spikes per plane at white from the brightest areas, so that almost none clip.

    It is the largest 99.99 % quantile of the firing rates in nine short windows, in which motion
    does not blur highlights, and 10 % more. A median over 3 x 3 pixels of one colour removes noise
    and defective pixels. Images of a scene without a white surface become too bright.
    """
    planes = len(recording)
    middle = max(0, planes // 2 - _PLANES // 2)
    typical = _rates(recording, middle, min(planes, middle + _PLANES))
    brightest = max(float(np.quantile(typical, _TYPICAL)), MIN_RATE_SCALE)
    length = min(max(round(_SPIKES / brightest), _MIN_WINDOW), _PLANES, planes)
    starts = sorted(set(np.linspace(0, planes - length, _WINDOWS).astype(int).tolist()))
    windows = (_rates(recording, start, start + length) for start in starts)
    value = _MARGIN * max(_brightest(rates, recording.cfa) for rates in windows)
    return min(max(value, MIN_RATE_SCALE), 1.0)


def _rates(recording: SpikeRecording, start: int, stop: int) -> NDArray[np.float32]:
    """Return the firing rate of every pixel in some planes, corrected by the maps of the camera."""
    spikes = np.zeros(recording.shape[1:], np.uint16)
    for first in range(start, stop, _BLOCK):
        spikes += recording.read(first, min(first + _BLOCK, stop)).sum(axis=0, dtype=np.uint16)
    rates = spikes.astype(np.float32) / np.float32(stop - start)
    if recording.maps is None:
        return rates
    import torch

    corrected: NDArray[np.float32] = recording.corrected(torch.from_numpy(rates)).numpy()
    return corrected


def _brightest(rates: NDArray[np.float32], cfa: Cfa | None) -> float:
    """Return the 99.99 % quantile of the medians over 3 x 3 pixels of one colour."""
    import cv2

    step = 1 if cfa is None else 2
    parts = [rates[row::step, column::step] for row in range(step) for column in range(step)]
    medians = (cv2.medianBlur(np.ascontiguousarray(part), 3) for part in parts if part.size)
    return max(float(np.quantile(part, _QUANTILE)) for part in medians)
