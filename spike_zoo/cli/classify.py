"""Command ``classify``: most probable classes of a recording."""

from __future__ import annotations

import sys
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import check_least, echo, report_rate_scale
from spike_zoo.coding.header import is_bitstream
from spike_zoo.formats import read_recording
from spike_zoo.formats.remote import local_path
from spike_zoo.spikes.rate_scale import rate_scale_of, stated_rate_scale
from spike_zoo.tasks.protocols import Classifies, codec_from, require_ability

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Unpack

    from torch import Tensor

    from spike_zoo.cli.lazy_signature import DatOptions

_LISTED: Final = 20  # names of classes in one line
#: Nine of ten digits that ``sci-digits`` classifies correctly have a higher probability.
_CONFIDENT: Final = 0.9


def classify(
    recording: str,
    *,
    method: str,
    name: str | None = None,
    rate_scale: float | str = "auto",
    top: int = 3,
    json: bool = False,
    device: str = "auto",
    trust: bool = False,
    **dat: Unpack[DatOptions],
) -> None:
    """Print the most probable classes of a recording.

    The classes of the method are printed on stderr. A recording that shows none of them is assigned
    to one of them too. A probability below 90 % is reported as low confidence.

    Args:
        recording: A recording (.dat, .npz, .npy, .h5 or .spl) or a bitstream (.sci).
        method: A method that classifies: a shipped name, a checkpoint or an export folder. A
            bitstream needs a method that was trained with its codec: sci-digits-coded for sci.
        name: Name of the recording in an archive.
        rate_scale: Spikes per plane at white; auto uses the value that the recording states, else
            an estimate from the brightest pixels, which is printed.
        top: Number of classes to print.
        json: Print JSON instead.
        device: auto, cpu, cuda or mps.
        trust: Import the class that a checkpoint names even if another package defines it.
    """
    check_least(1, top=top)
    stated = stated_rate_scale(rate_scale)
    check_method(method)
    source = None
    recording = str(local_path(recording))
    if not is_bitstream(recording):
        source = read_recording(recording, name, **dat, check_rows=True)
    from spike_zoo.checkpoints.loading import load, pick_device  # loads torch: after cheap checks

    loaded = load(method, device=pick_device(device), trust=trust)
    module = require_ability(loaded, Classifies, f"--method {method}")
    if source is None:
        codec = codec_from(loaded, f"--method {method}")
        probabilities = codec.classify(codec.decompress(Path(recording).read_bytes())).cpu()
    else:
        scale = rate_scale_of(source, stated)
        report_rate_scale(scale)
        probabilities = module.classify(source, rate_scale=scale.value)
    best = _best(probabilities, module.label_names, top)
    for line in _remarks(method, module.label_names, probabilities):
        echo(line, sys.stderr)
    if json:
        print(dumps({"recording": recording, "method": method, **best[0], "best": best}, indent=2))
        return
    for line in _lines(best):
        print(line)


def _best(probabilities: Tensor, names: Sequence[str], top: int) -> list[dict[str, Any]]:
    """Return the most probable classes: index, name if the method has names, probability."""
    ranked = probabilities.topk(min(top, len(probabilities)))
    pairs = zip(ranked.indices.tolist(), ranked.values.tolist(), strict=True)
    return [
        {
            "label": label,
            "label_name": names[label] if names else None,
            "probability": round(probability, 6),
        }
        for label, probability in pairs
    ]


def _remarks(method: str, names: Sequence[str], probabilities: Tensor) -> list[str]:
    """Return a line with the classes of a method, and one if the confidence is low."""
    classes = list(names) or [str(label) for label in range(len(probabilities))]
    listed = ", ".join(classes[:_LISTED]) + (", …" if len(classes) > _LISTED else "")
    lines = [
        f"classes of {method} ({len(classes)}): {listed}; anything else is assigned to one of them"
    ]
    highest = float(probabilities.max())
    if highest < _CONFIDENT:
        lines.append(
            f"low confidence: {highest:.0%} for the most probable class; the recording may show "
            "none of these classes"
        )
    return lines


def _lines(best: list[dict[str, Any]]) -> list[str]:
    """Return one line per class, with aligned probabilities."""
    words = [
        f"class {one['label']}" if one["label_name"] is None else str(one["label_name"])
        for one in best
    ]
    width = max(map(len, words))
    pairs = zip(words, best, strict=True)
    return [f"{word:<{width}}  {100 * one['probability']:5.1f} %" for word, one in pairs]
