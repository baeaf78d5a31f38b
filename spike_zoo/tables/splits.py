"""Which scenes runs learned from and were tested on, as far as their records tell."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spike_zoo.tables.recorded import RecordedRun


@dataclass(frozen=True)
class Scenes:
    """Splits of one archive, None where a record does not tell.

    Attributes:
        archive: Name of the archive's file.
        learned: The split that the run itself trained on.
        tested: The split that it was tested on.
    """

    archive: str
    learned: str | None
    tested: str | None


def scenes_of(run: RecordedRun) -> Scenes:
    """Return what a run learned from and was tested on."""
    data = (run.result.config.get("data") or {}).get("init_args") or {}
    has_trained = any(name.startswith("train/") for name in run.result.metrics)
    return Scenes(
        run.archive,
        data.get("train_split", "train") if has_trained and "archive" in data else None,
        data.get("test_split"),
    )


def has_seen_its_test(run: RecordedRun) -> bool:
    """Tell whether a run was tested on the split it had learned from."""
    scenes = scenes_of(run)
    return scenes.learned is not None and scenes.learned == scenes.tested


def scenes_in_words(runs: Sequence[RecordedRun]) -> str:
    """Return on which scenes runs were tested, and that they are new to them where that is known.

    It is known of methods that learn nothing and of runs that trained themselves on another split;
    what a checkpoint from elsewhere has seen is in no record of its test.
    """
    tested = [(scenes.archive, scenes.tested) for scenes in map(scenes_of, runs)]
    if not tested or any(None in pair or "" in pair for pair in tested):
        return ""
    places = " and ".join(dict.fromkeys(f"split {split!r} of {file}" for file, split in tested))
    text = f"Measured on {places}"
    learning = [scenes_of(run) for run in runs if run.is_trained]
    if not all(scenes.learned not in (None, scenes.tested) for scenes in learning):
        return f"{text}."
    sources = " and ".join(dict.fromkeys(f"{scenes.learned!r}" for scenes in learning))
    return f"{text}, none of it seen in training (split {sources})." if learning else f"{text}."
