"""Local execution of W&B sweep files, without an account."""

from spike_zoo.tables.sweeps.points import Point, expand_command, only_points, points_of
from spike_zoo.tables.sweeps.records import PlannedRun, keep_record, record_of, with_origins
from spike_zoo.tables.sweeps.runner import Outcome, keep_finished, run_all, run_on_cluster
from spike_zoo.tables.sweeps.spec import SweepSpec, needed_first, read_sweep

__all__ = [
    "Outcome",
    "PlannedRun",
    "Point",
    "SweepSpec",
    "expand_command",
    "keep_finished",
    "keep_record",
    "needed_first",
    "only_points",
    "points_of",
    "read_sweep",
    "record_of",
    "run_all",
    "run_on_cluster",
    "with_origins",
]
