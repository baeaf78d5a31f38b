"""Calibration of simulated sensors with known noise."""

import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError, FormatError, GeometryError, UsageError
from spike_zoo.formats import write_recording
from spike_zoo.simulation.camera.calibration import Calibration, calibrate
from spike_zoo.simulation.camera.noise import CameraNoise, fixed_patterns, resolve_noise
from spike_zoo.simulation.camera.noise_estimates import reported
from spike_zoo.simulation.camera.spike_camera import SpikeCamera
from spike_zoo.spikes import SpikeRecording

NOISE = CameraNoise(100.0, 0.01, 0.03, 0.03, 0.4, 0.03, 500.0, 200.0, 0.004, sensor=5)

#: Light behind the filters of an RGGB sensor.
FILTERS = np.tile([[0.6, 1.0], [1.0, 0.4]], (24, 32))


def record(noise: CameraNoise, light: np.ndarray | float, planes: int = 1000) -> SpikeRecording:
    light = np.broadcast_to(np.asarray(light, np.float32), (planes, 48, 64))
    return SpikeCamera(noise=noise, generator=int(1000 * light.mean())).record([light])


@pytest.fixture(scope="module")
def recordings() -> list[SpikeRecording]:
    return [record(NOISE, level) for level in (0.0, 0.1, 0.8)]


@pytest.fixture(scope="module")
def estimate(recordings: list[SpikeRecording]) -> Calibration:
    return calibrate(recordings[0], recordings[1:])


def test_intervals_contain_the_parameters(estimate: Calibration) -> None:
    # gain and threshold, electrons and reset are reported together
    total = replace(NOISE, gain_deviation=np.hypot(0.03, 0.03), electrons=1 / (1 / 100 + 0.03**2))
    for name, (low, high) in estimate.intervals.items():
        spread = (high - low) / 2  # 95 % intervals are exceeded by some parameters
        assert low - spread <= getattr(total, name) <= high + spread, name


@pytest.mark.parametrize("name", ["dark", "dark_deviation", "spurious_mean", "missed"])
def test_estimates_are_near_the_parameters(estimate: Calibration, name: str) -> None:
    assert getattr(estimate.noise, name) == pytest.approx(getattr(NOISE, name), rel=0.05)


def test_terms_that_cannot_be_distinguished_are_reported_together(estimate: Calibration) -> None:
    assert "threshold_deviation" in estimate.undetermined
    assert estimate.noise.threshold_deviation == 0
    assert estimate.noise.gain_deviation == pytest.approx(np.hypot(0.03, 0.03), rel=0.1)


def test_maps_follow_the_sensor(estimate: Calibration) -> None:
    gain, threshold, dark = (m.reshape(48, 64) for m in fixed_patterns(NOISE, 48 * 64, 0))
    assert np.corrcoef(estimate.gain.ravel(), (gain / threshold).ravel())[0, 1] > 0.85
    assert np.corrcoef(estimate.dark.ravel(), (dark / threshold).ravel())[0, 1] > 0.85


def test_missed_spikes_beside_spurious_ones_are_counted() -> None:
    noise = CameraNoise(300.0, missed=0.02, spurious_mean=300.0, spurious_deviation=100.0)
    camera, light = SpikeCamera(noise=noise, generator=0), np.ones((500, 96, 96), np.float32)
    black, *flats = (camera.record([level * light]) for level in (0, 0.05, 0.8))
    estimate = calibrate(black, flats).noise
    assert (estimate.missed, estimate.spurious_deviation) == pytest.approx((0.02, 100), rel=0.05)
    assert estimate.spurious_mean == pytest.approx(300, rel=0.015)


def test_an_exact_camera_has_no_noise() -> None:
    exact = CameraNoise()
    noise = calibrate(record(exact, 0), [record(exact, 0.103), record(exact, 0.8)]).noise
    assert all(getattr(noise, field.name) == 0 for field in fields(noise)[1:-1])


def test_dead_and_hot_pixels_are_defective(recordings: list[SpikeRecording]) -> None:
    planes = [recording.read() for recording in recordings]
    for each in planes:
        each[:, 3, 4], each[:, 7, 9] = False, True
    changed = [SpikeRecording.from_planes(each) for each in planes]
    defective = calibrate(changed[0], changed[1:]).defective
    assert defective[3, 4]
    assert defective[7, 9]
    assert defective.sum() <= 5


@pytest.mark.parametrize(
    ("lights", "message"),
    [
        ((0.0, 0.8, 0.8), r"0\.48.* is the darkest level; record one of at most 0\.17"),
        ((0.08, 0.1, 0.8), r"is not dark beside .*; cover the lens"),
        ((0.0, 0.1, 0.11), r"is as bright as .*; record two levels"),
        ((0.0, 0.1, 1.6), "is saturated; record a darker level"),
        ((0.0, 0.1, 0.6 + 0.1 * np.sin(np.arange(1000) / 30)[:, None, None]), "flickers by"),
        ((0.0, 0.1, np.linspace(0.5, 0.6, 1000)[:, None, None]), "drifts by"),
        ((0.0, 0.1, 0.6 + 0.2 * (np.arange(64) % 8 > 3)), "shows a scene, not uniform light"),
        ((0.0, 0.1 + 0.05 * (np.arange(64) % 8 > 3), 0.8), "shows a scene, not uniform light"),
        ((0.02 + 0.01 * (np.arange(64) % 8 > 3), 0.1, 0.8), "a scene, .* cover the lens"),
        ((0.0, 0.1 * FILTERS, 0.8 * FILTERS), r"differ by 1\d\d%, .* state .* --cfa RGGB"),
    ],
)
def test_light_that_is_not_suitable_is_rejected(
    lights: tuple[float | np.ndarray, ...], message: str
) -> None:
    dark, *flats = (record(replace(NOISE, electrons=0.0), light) for light in lights)
    with pytest.raises(FormatError, match=message):
        calibrate(dark, flats)


def pulses(period: float, share: float = 0.5) -> np.ndarray:
    return (np.arange(1000) % period < share * period)[:, None, None] / share


def scanned(period: int) -> np.ndarray:
    """Return the light of a screen whose rows are pulsed one after the other."""
    phases = np.arange(1000)[:, None, None] + np.arange(48)[:, None] * period // 48
    return 2.0 * (phases % period < period / 2)


@pytest.mark.parametrize(
    ("level", "shape"),
    [
        *((0.4, pulses(period)) for period in (2, 4, 8, 16, 3.7)),
        *((level, pulses(2)) for level in (0.05, 0.1, 0.9)),
        (0.4, pulses(5, 0.8)),
        (0.4, 1 + 0.1 * np.sin(np.pi * np.arange(1000) + 1)[:, None, None]),
        (0.4, 1 + 0.1 * np.sin(2.2 * np.arange(1000))[:, None, None]),
        (0.4, 1 + 0.2 * np.random.default_rng(0).choice([-1, 1], 1000)[:, None, None]),
        *((level, scanned(period)) for level, period in ((0.4, 2), (0.1, 8), (0.4, 32))),
    ],
)
def test_flicker_of_any_period_is_rejected_at_every_level(
    recordings: list[SpikeRecording], level: float, shape: np.ndarray
) -> None:
    dark, *flats = recordings
    with pytest.raises(FormatError, match="flickers by"):
        calibrate(dark, [*flats, record(NOISE, level * shape)])


def shifting(recording: SpikeRecording) -> SpikeRecording:
    """Return planes as they are read with a wrong size: each starts 100 pixels later."""
    planes = [np.roll(plane, -100 * n) for n, plane in enumerate(recording.read())]
    return SpikeRecording.from_planes(np.array(planes))


@pytest.mark.parametrize("level", [1, 2])
def test_spikes_that_do_not_integrate_light_are_rejected(
    recordings: list[SpikeRecording], level: int
) -> None:
    generator, rate = np.random.default_rng(0), recordings[level].read().mean()
    random = SpikeRecording.from_planes(generator.random(recordings[level].shape) < rate)
    for wrong in (random, shifting(recordings[level])):
        levels = [*recordings[:level], wrong, *recordings[level + 1 :]]
        with pytest.raises(FormatError, match=r"do not integrate|are not those of pixels"):
            calibrate(levels[0], levels[1:])


@pytest.mark.parametrize("level", [0, 1, 2])
def test_levels_of_other_orientation_are_rejected(
    recordings: list[SpikeRecording], level: int
) -> None:
    turned = SpikeRecording.from_planes(recordings[level].read()[:, ::-1])
    levels = [*recordings[:level], turned, *recordings[level + 1 :]]
    with pytest.raises(FormatError, match="fixed patterns differ"):
        calibrate(levels[0], levels[1:])
    stated = {"source_format": "dat", "source_flipped": True, "source_rotated": 180}
    turned.meta |= stated
    others = [SpikeRecording(each.packed, 64, meta=each.meta) for each in recordings]
    for other in others:
        other.meta |= stated | {"source_rotated": 0}
    levels = [*others[:level], turned, *others[level + 1 :]]
    with pytest.raises(GeometryError, match="rotate differ from"):
        calibrate(levels[0], levels[1:])


def test_colour_filters_and_a_vignette_are_not_part_of_the_gain() -> None:
    noise = CameraNoise(500.0, gain_deviation=0.02, dark=0.003, sensor=1)
    row, column = np.mgrid[-1:1:48j, -1:1:64j]
    light = FILTERS * (1 - 0.25 * (row**2 + column**2))
    recordings = [record(noise, level * light, 2000) for level in (0.0, 0.1, 0.9)]
    for recording in recordings:
        recording.cfa = "RGGB"
    found = calibrate(recordings[0], recordings[1:])
    assert found.noise.gain_deviation == pytest.approx(0.02, rel=0.04)
    assert found.noise.electrons == pytest.approx(500, rel=0.04)
    assert not found.defective.any()
    gain = fixed_patterns(noise, 48 * 64, 0)[0].reshape(48, 64)
    assert np.corrcoef(found.gain.ravel(), gain.ravel())[0, 1] > 0.95
    assert found.sensor == {"height": 48, "width": 64, "cfa": "RGGB"}


def test_noise_without_electrons_is_undetermined() -> None:
    values = dict.fromkeys(
        ("variance", "reset_deviation", "missed", "spurious", "dispersion", "dark"), 0.01
    )
    values |= {"electrons": 0.0, "spurious": 0.0, "pattern": 0.01}
    values |= dict.fromkeys(("dark_deviation", "threshold_deviation", "gain_deviation"), 0.01)
    noise, _, undetermined = reported(values, dict.fromkeys(values, 1e-5), 1000)
    assert (noise.electrons, "electrons" in undetermined) == (0, True)


def test_a_black_level_is_rejected() -> None:
    black, white = (record(CameraNoise(), level) for level in (0, 0.8))
    with pytest.raises(FormatError, match=r"is too dark; record a level of at least 0\.005"):
        calibrate(black, [black, white])


def test_other_sizes_and_short_recordings_are_rejected(recordings: list[SpikeRecording]) -> None:
    dark, *flats = recordings
    with pytest.raises(GeometryError, match="at least 500 planes of 16x16"):
        calibrate(dark.between(0, 100), flats)
    other = SpikeRecording.from_planes(dark.read()[:, :, :32])
    with pytest.raises(GeometryError, match=r"those of .* 48x32; record all levels"):
        calibrate(other, flats)


def test_the_command_writes_a_camera_that_simulate_reads(
    recordings: list[SpikeRecording],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["dark.npz", "grey.npz", "white.npz"]
    for name, recording in zip(names, recordings, strict=True):
        write_recording(recording, tmp_path / name)
    assert main(["calibrate", *names, "--out", "camera.yaml"]) == 0
    # not 0, which its interval may exclude
    assert re.search(r"threshold_deviation +- ", capsys.readouterr().out)
    noise = resolve_noise("camera.yaml")
    assert noise.electrons == pytest.approx(100, rel=0.3)
    maps = np.load(tmp_path / "camera.npz")
    shapes = {name: maps[name].shape for name in maps}
    assert shapes == dict.fromkeys(("gain", "dark", "defective"), (48, 64))
    size = ["--train", "1", "--val", "0", "--test", "0", "--height", "32", "--width", "32"]
    assert main(["simulate", "--out", "own.h5", "--noise", "camera.yaml", *size]) == 0


def test_a_file_that_is_not_a_camera_is_rejected(tmp_path: Path) -> None:
    file = tmp_path / "camera.yaml"
    file.write_text("noise: {electrns: 3}")
    with pytest.raises(ConfigError, match=r"unknown key 'electrns'\. Did you mean 'electrons'"):
        resolve_noise(str(file))
    with pytest.raises(UsageError, match="no noise preset is called 'dim'"):
        resolve_noise("dim")
