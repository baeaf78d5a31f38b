"""Which scenes runs learned from and were tested on, as far as their records contain it."""

from __future__ import annotations

from typing import Any

import pytest

from spike_zoo.tables import RecordedRun, scenes_in_words
from tests.helpers.tables import make_run


def run_on(*, trained: bool, parameters: int = 5, **arguments: Any) -> RecordedRun:
    """Return a run on an archive; one that trained itself has logged a loss."""
    data = {"init_args": {"archive": "data/own.h5", "test_split": "test", **arguments}}
    metrics = {"test/psnr": 30.0, **({"train/total": 0.1} if trained else {})}
    return make_run("full", 30.0, metrics=metrics, config={"data": data}, parameters=parameters)


@pytest.mark.parametrize(
    ("runs", "words"),
    [
        (
            [run_on(trained=True)],
            "Measured on split 'test' of own.h5, which training did not use (split 'train').",
        ),
        ([run_on(trained=False, parameters=0)], "Measured on split 'test' of own.h5."),
        ([run_on(trained=False)], "Measured on split 'test' of own.h5."),
        ([run_on(trained=True, train_split="test")], "Measured on split 'test' of own.h5."),
        ([run_on(trained=True), make_run("full", 30.0)], ""),
    ],
    ids=["trained here", "learns nothing", "trained elsewhere", "seen", "unknown"],
)
def test_scenes_are_called_new_only_where_the_records_show_it(
    runs: list[RecordedRun], words: str
) -> None:
    assert scenes_in_words(runs) == words
