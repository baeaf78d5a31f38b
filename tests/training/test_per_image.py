"""Table of metrics per image: its rows, and means that equal the run's metrics."""

from __future__ import annotations

import csv
import hashlib
import random
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from spike_zoo.cli.main import main
from spike_zoo.metrics import MeanPerImage, psnr
from spike_zoo.testing import tiny_archive
from spike_zoo.training.per_image import image_set_digest
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT

IMAGES = st.lists(
    st.tuples(st.sampled_from(["street", "alley", "a-1"]), st.integers(0, 9)), unique=True
)


def test_a_test_writes_a_row_per_image_and_their_means_equal_its_metrics(tmp_path: Path) -> None:
    archive = tiny_archive(tmp_path / "tiny.h5", planes=201, height=32, width=48, stride=20)
    arguments = ["--config", str(ROOT / "configs" / "classical" / "tfi9.yaml")]
    arguments += ["--data.init_args.archive", str(archive), "--data.init_args.eval_batch_size", "2"]
    arguments += ["--run_dir", str(tmp_path / "run"), "--trainer.enable_progress_bar", "false"]
    assert main(["test", *arguments]) == 0
    with (tmp_path / "run" / "test" / "per_image.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    result = RunResult.read(tmp_path / "run" / "test")
    for name in ("psnr", "ssim"):
        mean = sum(float(row[name]) for row in rows) / len(rows)
        assert mean == pytest.approx(result.metrics[f"test/{name}"], rel=1e-6)
    assert len({(row["name"], row["plane"]) for row in rows}) == len(rows) > 2
    assert all(float(row["rate_scale"]) > 0 for row in rows)


def test_reset_clears_the_values_of_single_images() -> None:
    metric = MeanPerImage(psnr)
    images = torch.rand(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    metric.update(images, images.flip(0))
    assert len(metric.per_image) == 3
    assert metric.compute() == pytest.approx(float(sum(metric.per_image)) / 3)
    metric.reset()
    assert metric.per_image == []


def test_the_digest_equals_the_sha256_of_a_sorted_text_list() -> None:
    content = b"alley\t7\nstreet\t40"  # name, tabulator, plane; sorted
    assert image_set_digest([("street", 40), ("alley", "7")]) == hashlib.sha256(content).hexdigest()


@given(images=IMAGES, seed=st.integers(0, 9))
def test_the_order_of_images_does_not_matter(images: list[tuple[str, int]], seed: int) -> None:
    shuffled = random.Random(seed).sample(images, len(images))
    assert image_set_digest(shuffled) == image_set_digest(images)


@given(images=IMAGES, others=IMAGES)
def test_different_images_have_different_digests(
    images: list[tuple[str, int]], others: list[tuple[str, int]]
) -> None:
    is_same = set(images) == set(others)
    assert (image_set_digest(images) == image_set_digest(others)) is is_same
