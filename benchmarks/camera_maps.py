"""PSNR of reconstructions with the maps of a camera, on simulated scenes of known sensors.

``python -m benchmarks.camera_maps`` writes ``benchmarks/camera_maps.csv`` and prints the table of
docs/calibration.md. It takes about ten minutes of one core.
"""

from __future__ import annotations

import csv
import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from spike_zoo import load
from spike_zoo.metrics import psnr
from spike_zoo.simulation.camera.calibration import calibrate
from spike_zoo.simulation.camera.noise import NOISE_PRESETS, fixed_patterns
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.simulation.defaults import default_scenes
from spike_zoo.simulation.kinds.takes import simulate_take
from spike_zoo.spikes import PixelMaps, SpikeRecording, Take

FILE = Path(__file__).with_suffix(".csv")
COLUMNS = ["sensor", "method", "maps", "scene", "plane", "psnr"]
SIZE, SCENES, RATE_SCALE = (160, 160), 8, 0.6
DEFECTS = 40  # dead pixels, and as many hot ones
LOWLIGHT = replace(NOISE_PRESETS["lowlight-v1"], sensor=7)
UNIFORM = replace(LOWLIGHT, gain_deviation=0.0, threshold_deviation=0.0, dark_deviation=0.0)
SENSORS = {
    "lowlight-v1": (LOWLIGHT, False),
    "without patterns": (UNIFORM, False),
    "with defects": (LOWLIGHT, True),
}
METHODS = {
    "tfi, 1 plane": ("tfi", {}),
    "tfi, 9 planes": ("tfi", {"average": 9}),
    "tfp, 41 planes": ("tfp", {}),
    "tfi-aligned": ("tfi-aligned", {}),
    "plain": ("plain", {}),
    "stir-aligned": ("stir-aligned", {}),
    "stir": ("stir", {}),
}


def with_defects(recording: SpikeRecording) -> SpikeRecording:
    """Return a recording in which some pixels never fire and some fire at every plane."""
    spikes = recording.read()
    places = np.random.default_rng(1).choice(spikes[0].size, 2 * DEFECTS, replace=False)
    rows, columns = np.unravel_index(places, SIZE)
    spikes[:, rows, columns] = np.arange(2 * DEFECTS) < DEFECTS
    return SpikeRecording.from_planes(spikes, rate_scale=recording.rate_scale)


def sensor_maps(name: str) -> dict[str, PixelMaps | None]:
    """Return the maps of a sensor: none, those of three uniform recordings, and the true ones."""
    noise, has_defects = SENSORS[name]
    uniform = []
    for number, level in enumerate((0.0, 0.02, 0.5)):  # spikes per plane
        camera = SpikeCamera(gain=RATE_SCALE, noise=noise, generator=number)
        light = np.full((100, *SIZE), level / RATE_SCALE, np.float32)
        recording = camera.record([light] * 20)
        uniform.append(with_defects(recording) if has_defects else recording)
    found = calibrate(uniform[0], uniform[1:])
    gain, threshold, dark = (m.reshape(SIZE) for m in fixed_patterns(noise, SIZE[0] * SIZE[1], 0))
    counts = uniform[1].read().sum(axis=0)
    defective = (counts == 0) | (counts == len(uniform[1]))
    return {
        "none": None,
        "calibrate": PixelMaps(found.gain, found.dark, found.defective),
        "true": PixelMaps(gain / threshold, dark / threshold, defective),
    }


def takes(name: str) -> dict[str, Take]:
    """Return the scenes of a sensor, by name: photographs at three speeds."""
    noise, has_defects = SENSORS[name]
    height, width = SIZE
    specs = default_scenes(
        "test", SCENES, height=height, width=width, planes=181, testing="photographs"
    )
    found = {}
    for spec in specs:
        spec = replace(spec, rate_scale=RATE_SCALE)
        take = simulate_take(spec, margin=60, image_stride=30, noise=noise)
        recording = with_defects(take.recording) if has_defects else take.recording
        found[spec.name] = replace(take, recording=recording)
    return found


def rows(name: str) -> list[list[object]]:
    """Return one row for each image of a sensor."""
    found = []
    scenes, maps = takes(name), sensor_maps(name)
    for (label, (method, settings)), kind in itertools.product(METHODS.items(), maps):
        module: Any = load(method)
        module = module.adjusted(**settings) if settings else module
        for scene, take in scenes.items():
            take.recording.maps = maps[kind]
            truth = torch.from_numpy(np.asarray(take.images))[:, None].double() / 255
            planes = np.asarray(take.image_index).tolist()
            psnrs = psnr(module.reconstruct(take.recording, planes).double(), truth).tolist()
            found += [
                [name, label, kind, scene, plane, round(value, 4)]
                for plane, value in zip(planes, psnrs, strict=True)
            ]
        print(f"{name}: {label}, maps {kind}")
    return found


def main() -> None:
    """Write the file and print its table."""
    torch.set_num_threads(1)
    found = [row for name in SENSORS for row in rows(name)]
    with FILE.open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([COLUMNS, *found])
    means = pd.read_csv(FILE).groupby(COLUMNS[:3], sort=False)["psnr"].mean().unstack("maps")
    for (sensor, method), row in means.iterrows():
        gains = [f"{row[kind] - row['none']:+.2f}" for kind in ("calibrate", "true")]
        print(f"| {sensor} | {method} | {row['none']:.2f} | {' | '.join(gains)} |")


if __name__ == "__main__":
    main()
