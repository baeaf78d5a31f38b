"""Headings, directions and number formats of columns."""

from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.tables import read_table_file, render_markdown
from spike_zoo.tables.columns import direction, plain_column
from spike_zoo.training.result import Cost
from tests.helpers.tables import SPEC, filled, make_run, write_spec


@pytest.mark.parametrize(
    ("key", "heading", "better", "value", "text"),
    [
        ("test/psnr", "PSNR (dB)", "higher", 30.456, "30.46"),
        ("val/ssim", "val SSIM", "higher", 0.91236, "0.9124"),
        ("test/psnr_middle", "PSNR (dB), middle", "higher", 30.456, "30.46"),
        ("test/accuracy", "accuracy", "higher", 0.97361, "0.9736"),
        ("test/recall_7", "recall of class 7", "higher", 0.95916, "0.9592"),
        ("test/lap1", "L1 of Laplacian", "lower", 0.10789, "0.1079"),
        ("test/psnr_fast", "PSNR (dB), fast", "higher", 30.456, "30.46"),
        ("val/ssim_slow", "val SSIM, slow", "higher", 0.91236, "0.9124"),
        ("test/indoor/lpips", "indoor LPIPS", "lower", 0.12345, "0.1235"),
        ("parameters", "parameters", "lower", 5_107_960.0, "5,107,960"),
        ("macs", "GMAC", "lower", 14.73e9, "14.7"),
        ("macs_per_pixel", "MAC per pixel", "lower", 442_665.0, "442,665"),
        ("seconds_per_image", "ms per image", "lower", 0.1666, "167"),
        ("costs/compress/seconds", "compress (ms)", "lower", 0.1666, "167"),
        ("costs/compress/macs", "compress (GMAC)", "lower", 14.73e9, "14.7"),
        ("costs/compress/macs_per_pixel", "compress (MAC per pixel)", "lower", 1234.5, "1,234"),
    ],
)
def test_a_key_determines_heading_direction_and_number_format(
    key: str, heading: str, better: str, value: float, text: str
) -> None:
    column = plain_column(key)
    assert (column.heading, column.better, column.text(value)) == (heading, better, text)


@pytest.mark.parametrize("key", ["test/sharpness", "costs/compress/hours", "costs/seconds", "psnr"])
def test_an_unknown_key_has_no_direction(key: str) -> None:
    assert direction(key) is None


def test_seeds_change_how_long_a_job_takes_but_not_its_operations() -> None:
    exact = {key: plain_column(key).is_exact for key in ("parameters", "costs/compress/macs")}
    assert all(exact.values())
    assert not plain_column("costs/compress/seconds").is_exact
    assert plain_column("costs/compress/seconds").is_cost


def test_a_table_shows_the_cost_of_a_job_by_name_and_of_which_image(tmp_path: Path) -> None:
    spec = SPEC.replace("parameters]", "costs/compress/seconds, costs/compress/macs]")
    costs = {"forward": Cost(7, 0.7, (7, 7)), "compress": Cost(2 * 10**9, 0.25, (250, 400))}
    text = render_markdown([filled(tmp_path, [make_run("full", 30.0, costs=costs)], spec)])
    assert "|  | PSNR (dB) ↑ | compress (ms) ↓ | compress (GMAC) ↓ |" in text
    assert "| full | 30.00 [38.80] | 250 | 2.00 |" in text
    assert "Cost of one image of 250 x 400 pixels." in text


def test_a_job_that_does_not_exist_is_rejected_with_suggestions(tmp_path: Path) -> None:
    spec = SPEC.replace("parameters]", "costs/comprss/seconds]")
    runs = [make_run("full", 30.0, costs={"compress": Cost(seconds=0.25)})]
    with pytest.raises(ConfigError, match="Did you mean 'costs/compress/seconds'"):
        filled(tmp_path, runs, spec)
    message = "costs/JOB/NUMBER, NUMBER one of macs, macs_per_pixel, seconds"
    with pytest.raises(ConfigError, match=message):
        read_table_file(write_spec(tmp_path, SPEC.replace("parameters]", "costs/compress/hours]")))


def test_a_metric_of_middle_images_has_the_values_of_these_images_alone() -> None:
    images = [
        {"name": name, "plane": plane, "rate_scale": 0.6, "psnr": plane + gain}
        for gain in (0.0, 0.5)  # two seeds
        for name, planes in (("a", (20, 68, 116)), ("b", (44,)))
        for plane in planes
    ]
    values = plain_column("test/psnr_middle").by_recording(images)
    assert values == {"a": [68.0, 68.5], "b": [44.0, 44.5]}
