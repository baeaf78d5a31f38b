"""Calibration of simulated sensors with known noise: errors, and coverage of the intervals.

``python -m benchmarks.calibration --sensors 100`` appends to ``benchmarks/calibration.csv`` what is
missing there, and prints the table of benchmarks/results.md.
"""

from __future__ import annotations

import argparse
import csv
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pandas as pd

from spike_zoo.simulation.camera.calibration import calibrate
from spike_zoo.simulation.camera.noise import NOISE_PRESETS, CameraNoise
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.spikes import SpikeRecording

FILE = Path(__file__).with_suffix(".csv")
NOISES = {
    "indoor-v1": NOISE_PRESETS["indoor-v1"],
    "between": CameraNoise(600.0, 0.003, 0.03, 0.01, 0.4, 0.01, 700.0, 300.0, 0.003),
    "lowlight-v1": NOISE_PRESETS["lowlight-v1"],
}
SIZES = {"64x64": (64, 64), "128x128": (128, 128), "250x400": (250, 400)}
LEVELS = (0.0, 0.035, 0.8)
NAMES = [field.name for field in fields(CameraNoise)[:-1]]


def record(noise: CameraNoise, size: tuple[int, int], level: float, seed: int) -> SpikeRecording:
    """Return a recording of 2000 planes of uniform light."""
    camera = SpikeCamera(noise=noise, generator=seed)
    light = np.full((100, *size), level, np.float32)
    return camera.record([light] * 20)


def rows(name: str, size: str, sensor: int) -> list[list[object]]:
    """Return one row for each parameter of a calibrated sensor."""
    seed = len(NOISES) * sensor + list(NOISES).index(name)
    noise = replace(NOISES[name], sensor=seed)
    recordings = [
        record(noise, SIZES[size], level, 10 * seed + n) for n, level in enumerate(LEVELS)
    ]
    found = calibrate(recordings[0], recordings[1:])
    return [
        [
            *(name, size, sensor, parameter, getattr(noise, parameter)),
            getattr(found.noise, parameter),
            *found.intervals.get(parameter, (0.0, 0.0)),
            parameter in found.undetermined,
        ]
        for parameter in NAMES
    ]


def main() -> None:
    """Calibrate the sensors that are not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sensors", type=int, default=100)
    parser.add_argument("--sizes", nargs="*", default=list(SIZES))
    options = parser.parse_args()
    columns = ["noise", "size", "sensor", "parameter", "true", "estimate", "low", "high", "unknown"]
    if not FILE.exists():
        FILE.write_text(",".join(columns) + "\n")
    done = set(pd.read_csv(FILE)[["noise", "size", "sensor"]].itertuples(index=False, name=None))
    for size in options.sizes:
        for sensor in range(options.sensors):
            for name in NOISES:
                if (name, size, sensor) not in done:
                    new = rows(name, size, sensor)
                    with FILE.open("a", newline="") as file:
                        csv.writer(file, lineterminator="\n").writerows(new)
    print("| noise | size | sensors | parameter | true | error | covered | undetermined |")
    print("|---|---|---:|---|---:|---:|---:|---:|")
    found = table()
    for (noise, size, parameter), row in found.iterrows():
        numbers = (
            f"{row['true']:g} | {row['error']:.1%} | {row['covered']:.0%} | {row['unknown']:.0%}"
        )
        print(f"| {noise} | {size} | {row['sensors']:.0f} | `{parameter}` | {numbers} |")
    found["covered"] *= found["sensors"]
    for names in ("size", ["size", "parameter"]):
        sums = found.groupby(names, sort=False)[["covered", "sensors"]].sum()
        print((sums["covered"] / sums["sensors"]).map("{:.0%}".format).to_string())


def table() -> pd.DataFrame:
    """Return median error, coverage and number of undetermined estimates of each parameter."""
    data = pd.read_csv(FILE)
    data = data[data["true"] > 0]
    for one, other, total in (
        ("gain_deviation", "threshold_deviation", np.hypot),
        ("electrons", "reset_deviation", lambda n, r: 1 / (1 / n + r**2)),
    ):  # terms that are reported as one
        rows_of = {name: data[data["parameter"] == name].index for name in (one, other)}
        both = data.loc[rows_of[other], "unknown"].to_numpy()
        true = [data.loc[rows_of[name], "true"].to_numpy() for name in (one, other)]
        data.loc[rows_of[one], "true"] = np.where(both, total(*true), true[0])
    data["covered"] = (data["low"] <= data["true"]) & (data["true"] <= data["high"])
    data["error"] = (data["estimate"] / data["true"] - 1).abs()
    data.loc[data["unknown"], "error"] = np.nan
    groups = data.groupby(["noise", "size", "parameter"], sort=False)
    return groups.agg(
        sensors=("sensor", "count"),
        true=("true", "first"),
        error=("error", "median"),
        covered=("covered", "mean"),
        unknown=("unknown", "mean"),
    )


if __name__ == "__main__":
    main()
