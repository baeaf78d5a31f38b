import math
from typing import Any, Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from spike_zoo.simulation import CameraNoise, SpikeCamera, simulate_spikes

EVERY_TERM = CameraNoise(
    electrons=60.0,
    dark=0.01,
    gain_deviation=0.05,
    threshold_deviation=0.05,
    dark_deviation=0.3,
    reset_deviation=0.05,
    spurious_mean=20.0,
    spurious_deviation=8.0,
    missed=0.05,
)
CAMERAS: list[dict[str, Any]] = [
    {},
    {"reset": "modulo", "strict": True, "gain": 1.3},
    {"reset": "hard", "start": "zero"},
    {"clock_steps": 3},
    {"noise": EVERY_TERM},
    {"noise": EVERY_TERM, "clock_steps": 2, "reset": "hard", "strict": True},
    {"noise": "ssdm-v1", "gain": 1.2},
]


def light_at(level: float, planes: int, height: int = 2, width: int = 3) -> NDArray[np.float32]:
    return np.full((planes, height, width), level, dtype=np.float32)


def moving_light(planes: int = 30, height: int = 9, width: int = 11) -> NDArray[np.float32]:
    return np.random.default_rng(0).random((planes, height, width), dtype=np.float32)


def charge_of(camera: SpikeCamera) -> NDArray[np.float32]:
    charge: Any = camera.charge
    return charge


def test_light_of_a_quarter_fires_on_every_fourth_plane() -> None:
    spikes = simulate_spikes(light_at(0.25, 16), gain=1.0, start="zero")
    np.testing.assert_array_equal(spikes[:, 0, 0], np.arange(1, 17) % 4 == 0)
    assert (spikes == spikes[:, :1, :1]).all()


def test_a_strict_camera_fires_only_above_the_threshold() -> None:
    spikes = simulate_spikes(light_at(0.25, 12), gain=1.0, start="zero", strict=True)
    assert np.flatnonzero(spikes[:, 0, 0]).tolist() == [4, 8]


@given(level=st.floats(0.02, 1.0), reset=st.sampled_from(["soft", "modulo"]))
@settings(max_examples=30, deadline=None)
def test_the_firing_rate_equals_the_light_within_the_spread(
    level: float, reset: Literal["soft", "modulo"]
) -> None:
    planes = 200
    spikes = simulate_spikes(light_at(level, planes, 20, 20), gain=1.0, reset=reset, generator=1)
    part = (planes * np.float64(np.float32(level))) % 1  # the count is one of two whole numbers
    error = np.sqrt(part * (1 - part) / 400) / planes
    assert abs(spikes.mean() - level) <= 3 * error + 1e-5


@given(level=st.integers(10, 256))
@settings(max_examples=30, deadline=None)
def test_hard_reset_rounds_the_interval_up(level: int) -> None:
    interval = math.ceil(256 / level)  # sums of 256ths are exact
    light = light_at(level / 256, 60)
    spikes = simulate_spikes(light, gain=1.0, reset="hard", start="zero")
    assert np.flatnonzero(spikes[:, 1, 1]).tolist() == list(range(interval - 1, 60, interval))


@given(
    level=st.floats(0.0, 1.0),
    threshold=st.floats(0.5, 8.0),
    seed=st.integers(0, 2**32 - 1),
    planes=st.integers(1, 300),
)
@settings(max_examples=40, deadline=None)
def test_soft_reset_keeps_the_charge_balance(
    level: float, threshold: float, seed: int, planes: int
) -> None:
    rng = np.random.default_rng(seed)
    light = (level * rng.random((planes, 3, 5))).astype(np.float32)
    start = (threshold * rng.random((3, 5), dtype=np.float32)).astype(np.float32)
    camera = SpikeCamera(threshold, gain=threshold, start=start)
    spikes = camera.expose(light)
    gathered = threshold * light.astype(np.float64).sum(axis=0)
    imbalance = threshold * spikes.sum(axis=0) + charge_of(camera) - start - gathered
    assert np.abs(imbalance).max() <= 1e-4 * planes * threshold


@pytest.mark.parametrize("camera", CAMERAS)
@given(cuts=st.lists(st.integers(0, 30), max_size=4).map(sorted))
@settings(max_examples=10, deadline=None)
def test_a_video_in_chunks_gives_the_same_spikes(camera: dict[str, Any], cuts: list[int]) -> None:
    light = moving_light()
    pieces = SpikeCamera(**camera, generator=7)
    spikes = np.concatenate([pieces.expose(piece) for piece in np.split(light, cuts)])
    np.testing.assert_array_equal(spikes, simulate_spikes(light, **camera, generator=7))


@pytest.mark.parametrize("camera", CAMERAS)
def test_spikes_do_not_depend_on_the_number_of_threads(
    camera: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    light = moving_light(40, 90, 101)
    results = []
    for threads in ("1", "3"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", threads)
        results.append(simulate_spikes(light, **camera, generator=7))
    np.testing.assert_array_equal(results[0], results[1])


@pytest.mark.parametrize("camera", CAMERAS)
def test_spikes_are_reproducible_by_seed_and_differ_for_another_seed(
    camera: dict[str, Any],
) -> None:
    light = moving_light()
    first = simulate_spikes(light, **camera, generator=1)
    repeated = simulate_spikes(light, **camera, generator=np.random.default_rng(1))
    np.testing.assert_array_equal(first, repeated)
    if camera.get("start") != "zero":
        assert (simulate_spikes(light, **camera, generator=2) != first).any()


def test_clock_steps_read_out_whether_any_fired() -> None:
    light, start = moving_light(50), np.full((9, 11), 0.3, dtype=np.float32)
    fine = simulate_spikes(np.repeat(light, 4, axis=0), gain=0.25, start=start)  # a/4 is exact
    coarse = simulate_spikes(light, gain=1.0, start=start, clock_steps=4)
    np.testing.assert_array_equal(coarse, fine.reshape(50, 4, 9, 11).any(axis=1))


@pytest.mark.parametrize(("reset", "after"), [("soft", 1.0), ("modulo", 0.0), ("hard", 0.0)])
def test_charge_after_two_planes_of_two_and_a_half_follows_the_rule_chosen(
    reset: Literal["soft", "modulo", "hard"], after: float
) -> None:
    camera = SpikeCamera(gain=1.0, start="zero", reset=reset)
    assert camera.expose(light_at(2.5, 2)).all()
    np.testing.assert_array_equal(charge_of(camera), np.float32(after))


def test_rejected_light_does_not_change_the_camera() -> None:
    camera = SpikeCamera(gain=1.0, start="zero")
    camera.expose(light_at(0.75, 1))
    with pytest.raises(ValueError, match="finite and not negative"):
        camera.expose(light_at(-1.5, 3))
    assert camera.planes == 1
    np.testing.assert_array_equal(charge_of(camera), np.float32(0.75))


@pytest.mark.parametrize("bad", [-0.1, np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(
    "camera", [{}, {"reset": "hard"}, {"clock_steps": 2}, {"noise": EVERY_TERM}]
)
def test_impossible_light_is_rejected_at_any_pixel(bad: float, camera: dict[str, Any]) -> None:
    light = moving_light()
    light[17, 8, 10] = bad
    with pytest.raises(ValueError, match="finite and not negative"):
        simulate_spikes(light, **camera)


def test_a_negative_zero_is_dark() -> None:
    assert not simulate_spikes(light_at(-0.0, 5), start="zero").any()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"threshold": 0}, "threshold"),
        ({"gain": -1.0}, "gain"),
        ({"gain": (1.0, 0.0)}, "gain"),
        ({"reset": "quick"}, "reset must be one of"),
        ({"start": "ones"}, "start must be"),
        ({"start": -np.ones((2, 2))}, "start array"),
        ({"clock_steps": 0}, "clock_steps"),
        ({"noise": "street"}, r"'street'.*indoor-v1"),
    ],
)
def test_impossible_arguments_are_rejected(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SpikeCamera(**arguments)


@pytest.mark.parametrize(
    ("light", "message"),
    [
        (np.zeros((4, 5), np.float32), r"\(planes, height, width\)"),
        (np.zeros((2, 3, 4), np.uint8), "divide 8-bit images by 255"),
        (light_at(0.5, 1, 5, 4), r"\(4, 5\) pixels, got \(5, 4\)"),
        (light_at(0.5, 1, 2, 2), r"\(4, 5\) pixels, got \(2, 2\)"),
    ],
)
def test_light_of_another_shape_or_type_is_rejected(light: NDArray[Any], message: str) -> None:
    camera = SpikeCamera()
    camera.expose(light_at(0.5, 1, 4, 5))
    with pytest.raises(ValueError, match=message):
        camera.expose(light)
    with pytest.raises(ValueError, match=r"start is \(2, 2\), the light \(4, 5\)"):
        SpikeCamera(start=np.zeros((2, 2))).expose(light_at(0.5, 1, 4, 5))


def test_float64_light_and_strided_light_give_the_same_spikes() -> None:
    light = moving_light()
    expected = simulate_spikes(light, generator=0)
    np.testing.assert_array_equal(simulate_spikes(light.astype(np.float64), generator=0), expected)
    strided = np.asfortranarray(light)
    np.testing.assert_array_equal(simulate_spikes(strided, generator=0), expected)


def test_rate_scale_and_rate_at_white_are_gain_over_threshold() -> None:
    camera = SpikeCamera(threshold=2.0, gain=0.8, generator=0)
    assert camera.rate_scale == pytest.approx(0.4)
    assert camera.expose(light_at(1.0, 500)).mean() == pytest.approx(0.4, abs=2e-3)


def test_a_recording_contains_the_spikes_of_all_chunks_and_the_camera_parameters() -> None:
    light = moving_light(width=13)
    recording = SpikeCamera(gain=0.5, generator=3).record(
        np.split(light, 3), fps=20000.0, meta={"source": "noise"}
    )
    np.testing.assert_array_equal(recording[:], simulate_spikes(light, gain=0.5, generator=3))
    assert (recording.fps, recording.threshold, recording.rate_scale) == (20000.0, 1.0, 0.5)
    assert recording.meta["source"] == "noise"
    with pytest.raises(ValueError, match="at least one plane"):
        SpikeCamera().record([])
