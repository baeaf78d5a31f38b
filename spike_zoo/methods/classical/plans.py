"""Windows of TFP and boundaries of TFI as lists of integers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal, NamedTuple

from spike_zoo.spikes.windows import centred_window

if TYPE_CHECKING:
    from collections.abc import Sequence

Edge = Literal["shrink", "valid", "zero"]
Convention = Literal["forward", "backward"]
Missing = Literal["zero", "hold", "bound"]

MAX_INTERVAL: Final = 1024
"""Planes that TFI searches forward and backward. A longer interval is darker than half a grey level
of 8 bits if white has 0.6 spikes per plane."""


class Windows(NamedTuple):
    """Windows of planes in ascending order, and the factors of their spike counts."""

    starts: list[int]
    stops: list[int]
    weights: list[float]


def playback_windows(centers: Sequence[int], planes: int, window: int, edge: Edge) -> Windows:
    """Return the windows of TFP around ascending centres, cut to the clip.

    Raises:
        ValueError: If a window leaves the clip with ``edge="valid"``, or the edge is unknown.
    """
    if window < 1:
        raise ValueError(f"a window has at least 1 plane, got {window}")
    if edge not in ("shrink", "valid", "zero"):
        raise ValueError(f"edge is 'shrink', 'valid' or 'zero', got {edge!r}")
    windows = Windows([], [], [])
    for center in centers:
        start, stop = centred_window(center, window)
        if edge == "valid" and (start < 0 or stop > planes):
            raise ValueError(
                f"the window {start}..{stop} around plane {center} leaves the clip of {planes} "
                "planes; edge='shrink' cuts the window to the clip"
            )
        start, stop = max(start, 0), min(stop, planes)
        windows.starts.append(start)
        windows.stops.append(stop)
        windows.weights.append(1 / (window if edge == "zero" else stop - start))
    return windows


class IntervalRuns(NamedTuple):
    """Boundaries between planes whose intervals are needed, and the runs of boundaries to average.

    Attributes:
        boundaries: Boundaries in ascending order.
        starts: Index into ``boundaries`` of the first boundary of each run.
        stops: Index past the last boundary of each run.
    """

    boundaries: list[int]
    starts: list[int]
    stops: list[int]


def interval_runs(
    centers: Sequence[int], planes: int, average: int, convention: Convention
) -> IntervalRuns:
    """Return the boundaries that TFI needs at ascending centres.

    The interval of plane t spans the boundary after t (``"forward"``) or before t
    (``"backward"``). Boundary b lies between planes b - 1 and b.
    """
    shift = 1 if convention == "forward" else 0
    windows = playback_windows(centers, planes, average, "shrink")
    needed: list[int] = []
    starts, stops = [], []
    for start, stop in zip(windows.starts, windows.stops, strict=True):
        first_new = max(start, needed[-1] + 1 - shift) if needed else start
        needed.extend(range(first_new + shift, stop + shift))
        stops.append(len(needed))
        starts.append(len(needed) - (stop - start))
    return IntervalRuns(needed, starts, stops)


def check_interval_rules(
    average: int, convention: Convention, missing: Missing, max_search: int | None
) -> None:
    """Check the options of TFI.

    Raises:
        ValueError: If an option is outside its range, or ``max_search`` is combined with
            ``missing`` other than ``"zero"``.
    """
    if average < 1:
        raise ValueError(f"average is at least 1 plane, got {average}")
    if convention not in ("forward", "backward"):
        raise ValueError(f"convention is 'forward' or 'backward', got {convention!r}")
    if missing not in ("zero", "hold", "bound"):
        raise ValueError(f"missing is 'zero', 'hold' or 'bound', got {missing!r}")
    if max_search is not None and (max_search < 1 or missing != "zero"):
        raise ValueError(
            f"max_search is at least 1 plane and fills missing values itself, got {max_search} "
            f"with missing={missing!r}"
        )
