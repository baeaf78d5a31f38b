"""Command ``classify``: most probable classes of a recording."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from json import dumps
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Unpack

from spike_zoo.checkpoints.published import check_method
from spike_zoo.cli.console import echo, warn_of_filters
from spike_zoo.cli.inputs import chosen_rate_scale, load_method, named_errors, recording_source
from spike_zoo.cli.options import DatSize
from spike_zoo.coding.header import is_bitstream
from spike_zoo.errors import UsageError
from spike_zoo.formats.remote import local_path
from spike_zoo.media.output import progress_bar
from spike_zoo.tasks.protocols import Classifies, require_ability

if TYPE_CHECKING:
    from torch import Tensor


_PRINTED: Final = 3
_MAX_CLASSES: Final = 20  # names of classes in one line
#: Nine of ten digits that ``sci-mnist`` classifies correctly have a higher probability.
_CONFIDENT: Final = 0.89


def classify(
    recording: str,
    *,
    method: str,
    name: str | None = None,
    rate_scale: float | str = "auto",
    json: bool = False,
    device: str = "auto",
    trust: bool = False,
    **dat: Unpack[DatSize],
) -> None:
    """Print the three most probable classes of a recording; as JSON, all classes.

    The classes of the method are printed on stderr. A recording that shows none of them is assigned
    to one of them too. A probability below 89 % is reported as low confidence.

    Args:
        recording: A recording (.dat, .npz, .npy, .h5 or .spl) or a bitstream (.sci).
        method: A method that classifies: a shipped name (sci-mnist, sci-cifar), a checkpoint or an
            export folder. A bitstream needs a method that was trained with its codec, as sci-mnist
            with sci.
    """
    source = recording_source(recording, name, dat, rate_scale)
    check_method(method)
    recording = str(local_path(recording))
    if is_bitstream(recording):
        for option, value in ({"name": name, "rate-scale": rate_scale} | dat).items():
            if value not in (None, "auto"):
                raise UsageError(f"--{option} {value}: does not apply to a bitstream")
    opened = None if is_bitstream(recording) else source.open(check_rows=True)
    loaded = load_method(method, device, trust=trust)
    module = require_ability(loaded, Classifies, f"--method {method}")
    if opened is None:
        if not hasattr(loaded, "classify_bitstream"):
            raise UsageError(f"--method {method}: {type(loaded).__name__} decodes no bitstreams")
        with progress_bar("classifying"):
            probabilities = loaded.classify_bitstream(Path(recording).read_bytes())
    else:
        warn_of_filters(opened, method)
        scale = chosen_rate_scale(opened, None)
        with named_errors(recording), progress_bar("classifying") as progress:
            probabilities = module.classify(opened, rate_scale=scale, progress=progress)
    best = _best(probabilities, module.label_names)
    for line in _remarks(method, module.label_names, probabilities):
        echo(line, sys.stderr)
    if json:
        print(dumps({"recording": recording, "method": method, **best[0], "best": best}, indent=2))
        return
    for line in _lines(best[:_PRINTED]):
        print(line)


def _best(probabilities: Tensor, names: Sequence[str]) -> list[dict[str, Any]]:
    """Return the classes by probability: index, name if the method has names, probability."""
    ranked = probabilities.sort(descending=True, stable=True)
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
    text = ", ".join(classes[:_MAX_CLASSES]) + (", …" if len(classes) > _MAX_CLASSES else "")
    lines = [
        f"classes of {method} ({len(classes)}): {text}; anything else is assigned to one of them"
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
