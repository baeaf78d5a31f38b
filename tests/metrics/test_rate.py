"""Rates and BD-rate against closed forms and values of another package."""

import math

import pytest

from spike_zoo.metrics.rate import Interpolation, accuracy_decrease, bd_rate, bit_saving, bpp, bpp_f
from tests.helpers.processes import run_python

METHODS: tuple[Interpolation, ...] = ("cubic", "pchip")
Curve = list[tuple[float, float]]
#: Points of x265 with two presets, from the page of the package bjontegaard.
SLOW: Curve = [(9487.76, 40.037), (4593.60, 38.615), (2486.44, 36.845), (1358.24, 34.851)]
FAST: Curve = [(9787.80, 40.121), (4469.00, 38.651), (2451.52, 36.970), (1356.24, 34.987)]


def test_bit_packed_spikes_have_one_bit_per_pixel_and_plane() -> None:
    assert bpp(41 * 256 * 256 / 8, (41, 256, 256)) == 1.0


def test_bits_per_feature_are_8_2_times_bits_per_plane_at_5_features_of_41_planes() -> None:
    shape = (41, 256, 256)
    assert bpp_f(1234, shape, 5) / bpp(1234, shape) == pytest.approx(8.2)


def test_empty_streams_and_negative_sizes_are_rejected() -> None:
    with pytest.raises(ValueError, match="expected"):
        bpp(10, (0, 4, 4))
    with pytest.raises(ValueError, match="-1 bytes"):
        bpp(-1, (1, 4, 4))


def test_a_rate_of_0_0124_saves_98_76_percent_of_the_raw_bits() -> None:
    assert bit_saving(0.0124) == pytest.approx(98.76)


def test_accuracy_decrease_is_in_points_and_percent() -> None:
    result = accuracy_decrease(0.8, 0.6)
    assert result.points == pytest.approx(20)
    assert result.percent == pytest.approx(25)
    from_zero = accuracy_decrease(0.0, 0.25)
    assert from_zero.points == -25
    assert math.isnan(from_zero.percent), "0 has no relative decrease"
    with pytest.raises(ValueError, match="shares of 1"):
        accuracy_decrease(99.6, 86.4)


@pytest.mark.parametrize("method", METHODS)
def test_bd_rate_is_0_for_the_same_curve_and_minus_20_percent_at_0_8_of_its_rate(
    method: Interpolation,
) -> None:
    cheaper = [(0.8 * rate, quality) for rate, quality in SLOW]
    assert bd_rate(SLOW, SLOW, method).percent == pytest.approx(0, abs=1e-9)
    assert bd_rate(SLOW, cheaper, method).percent == pytest.approx(-20, abs=1e-6)
    assert bd_rate(cheaper, SLOW, method).percent == pytest.approx(25, abs=1e-6)


def test_bd_rate_states_the_overlap_of_the_qualities() -> None:
    assert bd_rate(SLOW, SLOW).overlap == 1
    low, high = SLOW[0][1], SLOW[-1][1]
    shift = 0.9 * (high - low)
    assert bd_rate(SLOW, [(r, q + shift) for r, q in SLOW]).overlap == pytest.approx(0.1)


@pytest.mark.parametrize(
    ("method", "more", "percent"),
    [
        ("cubic", [], -4.420462706125383),
        ("cubic", [(700.0, 33.0)], -4.566943678865199),
        ("pchip", [], -4.417485350589045),
        ("pchip", [(700.0, 33.0)], -4.119457943109617),
    ],
)
def test_bd_rate_equals_the_package_bjontegaard(
    method: Interpolation, more: Curve, percent: float
) -> None:
    """Values of ``bjontegaard`` 1.3.0 (Herglotz et al.)."""
    assert bd_rate(SLOW, [*FAST, *more], method).percent == pytest.approx(percent, rel=1e-9)


def test_bd_rate_does_not_depend_on_the_order_of_points() -> None:
    assert bd_rate(SLOW[::-1], FAST).percent == bd_rate(SLOW, FAST[::-1]).percent


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("tested", "reason"),
    [
        (SLOW[:3], "the tested curve has 3 points, 4 are needed"),
        ([(rate, quality - 20) for rate, quality in SLOW], "no quality is on both curves: 34.85"),
        ([(rate, -quality) for rate, quality in SLOW], "does not grow with its rate"),
        ([*SLOW, (9487.76, 41.0)], "does not grow with its rate"),
        ([(0.0, 30.0), *SLOW], "not above 0"),
        ([(math.inf, 50.0), *SLOW], "not finite"),
    ],
)
def test_curves_without_a_bd_rate_give_nan_and_a_reason(
    method: Interpolation, tested: Curve, reason: str
) -> None:
    result = bd_rate(SLOW, tested, method)
    assert math.isnan(result.percent)
    assert reason in result.reason
    assert math.isnan(bd_rate(tested, SLOW, method).percent)


def test_an_unknown_method_is_rejected() -> None:
    with pytest.raises(ValueError, match="cubic or pchip, got 'akima'"):
        bd_rate(SLOW, FAST, "akima")  # type: ignore[arg-type]  # an invalid value


def test_rates_import_no_numerical_library_until_curves_are_compared() -> None:
    process = run_python(
        "import sys\nimport spike_zoo.metrics.rate as rate\nrate.bpp(1, (1, 2, 4))\n"
        "print(*{'torch', 'scipy', 'matplotlib'} & set(sys.modules))"
    )
    assert process.stdout.strip() == ""
