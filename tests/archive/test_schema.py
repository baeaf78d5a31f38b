"""Each rule of the schema, said in words where it is broken."""

from __future__ import annotations

import re

import numpy as np
import pytest

from spike_zoo.archive import schema


@pytest.mark.parametrize(("shape", "dtype"), [((2, 10, 16), "u1"), ((2, 40, 64, 3), "f4")])
def test_images_of_one_whole_factor_fit(shape: tuple[int, ...], dtype: str) -> None:
    assert schema.image_problem(shape, dtype, 10, 16) is None


@pytest.mark.parametrize(
    ("shape", "dtype", "problem"),
    [
        ((2, 10, 16), "f8", "images are float64, expected uint8, uint16 or float32"),
        ((10, 16), "u1", "images are (10, 16), expected (N, H', W') grey or (N, H', W', 3)"),
        ((2, 10, 16, 4), "u1", "expected (N, H', W') grey or (N, H', W', 3)"),
        ((2, 20, 16), "u1", "images of 20x16 are not 10x16 or an integer multiple"),
        ((2, 5, 8), "u1", "images of 5x8 are not 10x16"),
    ],
)
def test_images_that_do_not_fit_are_told(shape: tuple[int, ...], dtype: str, problem: str) -> None:
    assert problem in str(schema.image_problem(shape, dtype, 10, 16))


@pytest.mark.parametrize(
    ("index", "problem"),
    [
        ([0, 4, 4], "None"),
        ([0, 4], "image_index has shape (2,) for 3 images"),
        ([-1, 4, 8], "image_index -1..8 leaves the planes 0..8"),
        ([0, 4, 9], "image_index 0..9 leaves the planes 0..8"),
        ([4, 0, 8], "image_index decreases"),
    ],
)
def test_images_are_centred_on_planes_in_order(index: list[int], problem: str) -> None:
    assert str(schema.index_problem(np.array(index), 3, 9)) == problem


@pytest.mark.parametrize(
    ("span", "problem"),
    [
        ([[0, 9]], "None"),
        ([[0, 3], [3, 9]], "blur_span has shape (2, 2) for 1 blurry images"),
        ([[3, 3]], "blur_span must have 0 <= first < last <= 9"),
        ([[0, 10]], "blur_span must have 0 <= first < last <= 9"),
    ],
)
def test_exposures_are_ranges_of_planes(span: list[list[int]], problem: str) -> None:
    assert str(schema.span_problem(np.array(span), 1, 9)) == problem


@pytest.mark.parametrize(
    ("shape", "dtype", "message"),
    [
        ((3, 2, 12, 21), np.float16, None),
        ((3, 2, 12, 21), np.float32, "motion is float32, expected float16"),
        ((2, 2, 12, 21), np.float16, r"motion is \(2, 2, 12, 21\), expected \(3, 2, 12, 21\)"),
        ((3, 12, 21, 2), np.float16, "expected .*for each sharp image the pixels right and down"),
        ((3, 2, 24, 42), np.float16, "of the spikes' size"),
    ],
)
def test_motion_has_two_numbers_for_each_pixel_of_each_image(
    shape: tuple[int, ...], dtype: type, message: str | None
) -> None:
    problem = schema.motion_problem(shape, dtype, 3, (12, 21))
    assert (problem is None) == (message is None)
    assert problem is None or re.search(str(message), problem)


@pytest.mark.parametrize(
    ("shape", "dtype", "index", "message"),
    [
        ((2, 2, 2, 12, 21), np.float16, [[0, 8], [1, 36]], "None"),
        ((2, 2, 2, 12, 21), np.float64, [[0, 8], [1, 9]], "is float64, expected float16"),
        ((2, 2, 12, 21), np.float16, [[0, 8], [1, 9]], r"expected \(2, 2, 2, 12, 21\): for each"),
        ((2, 2, 2, 12, 21), np.float16, [0, 8], r"shape \(2,\) for 2 images, expected \(2, 2\)"),
        ((2, 2, 2, 12, 21), np.float16, [[0, 8], [1, 37]], "index 0..37 leaves the planes 0..36"),
        ((2, 2, 2, 12, 21), np.float16, [[-1, 8], [1, 9]], "index -1..9 leaves the planes 0..36"),
    ],
)
def test_motion_to_both_sides_leads_to_planes_of_the_recording(
    shape: tuple[int, ...], dtype: type, index: list[object], message: str
) -> None:
    problem = schema.around_problem(shape, dtype, np.array(index), 2, (37, 12, 21))
    assert re.search(message, str(problem))


@pytest.mark.parametrize(
    ("names", "problem"),
    [
        (["cat", "dog"], "None"),
        (["cat", "dog", "cat"], "label_names has 'cat' twice"),
        (["cat", ""], "label_names is \"['cat', '']\", expected a JSON list of names"),
        ("cat", "label_names is 'cat', expected a JSON list of names"),
    ],
)
def test_classes_have_different_names(names: object, problem: str) -> None:
    assert str(schema.label_names_problem(names)) == problem
