"""Curves of a metric over a condition, from the results of single recordings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from spike_zoo.errors import ConfigError
from spike_zoo.media.rendering import render_page
from spike_zoo.tables import read_table_file
from spike_zoo.tables.aggregate import FilledTable, fill_tables
from spike_zoo.tables.page import table_page
from tests.helpers.tables import make_run, write_spec

TABLE = """
title: Robustness
columns: [test/psnr]
rows:
  - {name: full, variant: variants/full.yaml}
  - {name: half, variant: variants/half.yaml}
curves:
  - {name: test/psnr, condition: light, x: rate scale, y: PSNR (dB)}
  - {name: test/psnr, condition: dead, x: share of dead pixels, y: PSNR (dB)}
"""
VALUES = {"a.light-0.05": 20.0, "b.light-0.05": 22.0, "a.light-1": 30.0, "a.dead-0": 31.0}


def filled(folder: Path) -> FilledTable:
    images = tuple(
        {"name": name, "plane": 75, "rate_scale": 0.6, "psnr": value}
        for name, value in VALUES.items()
    )
    run = replace(make_run("full", 28.0), images=images)
    return fill_tables(read_table_file(write_spec(folder, TABLE)).tables, [run])[0]


def test_points_are_means_over_the_recordings_of_a_value(tmp_path: Path) -> None:
    light, dead = filled(tmp_path).curves
    assert [line.row for line in light.lines] == ["full"]
    assert light.lines[0].points == ((0.05, 21.0), (1.0, 30.0))
    assert dead.lines[0].points == ((0.0, 31.0),)


def test_the_page_draws_them(tmp_path: Path) -> None:
    file = read_table_file(write_spec(tmp_path, TABLE))
    page = render_page(table_page(file, [filled(tmp_path)]))
    assert page.count("<svg") >= 2
    assert "PSNR (dB) against rate scale" in page


def test_one_condition_is_given_once_and_has_no_anchor(tmp_path: Path) -> None:
    again = TABLE + "  - {name: test/psnr, condition: light, x: light, y: PSNR}\n"
    with pytest.raises(ConfigError, match="'test/psnr@light' is given twice"):
        read_table_file(write_spec(tmp_path, again))
    anchored = TABLE.replace("condition: light,", "condition: light, anchor: half,")
    with pytest.raises(ConfigError, match="has no BD-rate: leave out the anchor"):
        read_table_file(write_spec(tmp_path, anchored))
