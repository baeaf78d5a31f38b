"""Methods of others import what they derive from where it has always been."""

from __future__ import annotations

from spike_zoo.methods import base
from spike_zoo.tasks import ReconstructionModule, TaskModule
from spike_zoo.tasks.clips import known_rate_scale, read_clip


def test_the_old_path_has_the_very_names_of_the_tasks() -> None:
    assert {name: getattr(base, name) for name in base.__all__} == {
        "RebuildableModule": TaskModule,
        "ReconstructionModule": ReconstructionModule,
        "known_rate_scale": known_rate_scale,
        "read_clip": read_clip,
    }
