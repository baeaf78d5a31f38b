"""``classify``: what a recording shows, with its probability."""

from __future__ import annotations

import math
import sys
import warnings
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from spike_zoo.coding.header import is_bitstream
from spike_zoo.errors import UsageError
from spike_zoo.formats import read_recording
from spike_zoo.methods.loading import load, pick_device
from spike_zoo.tasks.abilities import Classifies, able, codec_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor

    from spike_zoo.spikes import SpikeRecording
    from spike_zoo.tasks.abilities import Compresses


def classify(
    recording: str,
    *,
    method: str,
    name: str | None = None,
    height: int | None = None,
    width: int | None = None,
    flip: bool | None = None,
    mirror: bool | None = None,
    rotate: Literal[0, 90, 180, 270] | None = None,
    allow_partial: bool = False,
    rate_scale: float | None = None,
    top: int = 3,
    json: bool = False,
    device: str = "auto",
    trust: bool = False,
) -> None:
    """Tell what a recording shows, the most probable class first.

    Args:
        recording: The recording: .dat, .npz, .npy, .h5 or .spl; or a bitstream: .sci.
        method: A shipped name, a checkpoint or an export folder of a method that tells classes.
        name: Which recording of an archive.
        height: Rows of a .dat file.
        width: Columns of a .dat file.
        flip: Whether a .dat stores its rows bottom to top, as cameras do; false: top to bottom. By
            default what its sidecar says, else true.
        mirror: Reverse the columns of a .dat; by default what its sidecar states, else false.
        rotate: Rotate a .dat clockwise by 0, 90, 180 or 270 degrees, after flip and mirror; by
            default what its sidecar states, else 0.
        allow_partial: Drop an incomplete last plane of a .dat file, with a warning.
        rate_scale: Spikes per plane at white; by default what the recording says.
        top: Classes to tell.
        json: Print JSON instead.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names though it is not of this package.
    """
    _check_numbers(top=top, rate_scale=rate_scale)
    loaded = load(method, device=pick_device(device), trust=trust)
    module = able(loaded, Classifies, f"--method {method}")
    if is_bitstream(recording):
        found = _of_bitstream(codec_of(loaded, f"--method {method}"), recording)
    else:
        source = read_recording(
            recording,
            name,
            height=height,
            width=width,
            flip=flip,
            mirror=mirror,
            rotate=rotate,
            allow_partial=allow_partial,
            check_rows=True,
        )
        found = _probabilities(module, source, rate_scale)
    best = _best(found, module.label_names, top)
    if json:
        print(dumps({"recording": recording, "method": method, **best[0], "best": best}, indent=2))
        return
    for line in _lines(best):
        print(line)


def _check_numbers(*, top: int, rate_scale: float | None) -> None:
    if top < 1:
        raise UsageError(f"--top {top}: at least 1 class is told")
    if rate_scale is not None and not 0 < rate_scale < math.inf:
        raise UsageError(f"--rate-scale {rate_scale:g}: spikes per plane at white are above 0")


def _probabilities(
    module: Classifies, recording: SpikeRecording, rate_scale: float | None
) -> Tensor:
    """Classify, and tell a missing rate scale as a plain line."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = module.classify(recording, rate_scale=rate_scale)
    for warning in caught:
        print(f"warning: {warning.message}", file=sys.stderr)
    return found


def _of_bitstream(codec: Compresses, path: str) -> Tensor:
    """Classify what a bitstream holds."""
    return codec.classify(codec.decompress(Path(path).read_bytes())).cpu()


def _best(found: Tensor, names: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Return the most probable classes: index, name where it is known, probability."""
    ranked = found.topk(min(top, len(found)))
    pairs = zip(ranked.indices.tolist(), ranked.values.tolist(), strict=True)
    return [
        {
            "label": label,
            "label_name": names[label] if names else None,
            "probability": round(probability, 6),
        }
        for label, probability in pairs
    ]


def _lines(best: list[dict[str, Any]]) -> list[str]:
    """Return one line for each class, the probabilities below each other."""
    words = [
        f"class {one['label']}" if one["label_name"] is None else str(one["label_name"])
        for one in best
    ]
    width = max(map(len, words))
    pairs = zip(words, best, strict=True)
    return [f"{word:<{width}}  {100 * one['probability']:5.1f} %" for word, one in pairs]
