"""The training of shipped weights on a GPU, computed on the CPU."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import spike_zoo
from experiments.train_on_gpu import Run, Windows, main, read_windows
from spike_zoo.archive import build_archive
from spike_zoo.testing import pattern_take


def _windows() -> Windows:
    """Return images of which the first plane of the input is a copy."""
    images = torch.rand(3, 1, 40, 48)
    planes = images.half().expand(-1, 57, -1, -1).contiguous()
    return Windows(planes, torch.zeros_like(planes[:, :1]), images)


def test_planes_and_image_of_a_crop_have_the_same_place_and_flips() -> None:
    run = Run("plain", _windows(), updates=4, batch=8, side=16)
    planes, draft, image = run._crops()
    assert planes.shape == (8, 57, 16, 16)
    assert draft.shape == image.shape == (8, 1, 16, 16)
    assert torch.allclose(planes[:, :1], image, atol=1e-3)
    whole = [run.windows.images[k, 0] for k in range(3)]
    turned = [torch.rot90(x, k) for x in whole for k in range(4)]
    turned += [x.flip(-1) for x in turned]
    patches = torch.cat([x.unfold(0, 16, 1).unfold(1, 16, 1).reshape(-1, 256) for x in turned])
    distances = torch.cdist(image.reshape(8, 256), patches).min(dim=1).values
    assert torch.all(distances < 0.05)  # of other places: above 4


def test_a_run_continues_where_it_stopped(tmp_path: Path) -> None:
    whole, first = (Run("plain", _windows(), updates=4, batch=2, side=16) for _ in range(2))
    second = Run("plain", _windows(), updates=4, batch=2, side=16, seed=0)
    for run in (first, second):
        run.windows = whole.windows
    whole.advance(4)
    first.advance(2)
    first.save(tmp_path)
    second.restore(tmp_path)
    assert second.done == 2
    second.advance(4)
    assert second.done == 4
    for ours, expected in zip(second.weights, whole.weights, strict=True):
        assert torch.equal(ours, expected)


@pytest.mark.parametrize(
    "other", [{"updates": 5}, {"batch": 3}, {"side": 8}, {"data": "another"}], ids=str
)
def test_a_run_of_other_settings_does_not_continue(tmp_path: Path, other: dict[str, Any]) -> None:
    settings: dict[str, Any] = {"updates": 4, "batch": 2, "side": 16, "data": "one"}
    Run("plain", _windows(), **settings).save(tmp_path)
    with pytest.raises(SystemExit, match="choose another --out"):
        Run("plain", _windows(), **{**settings, **other}).restore(tmp_path)


def test_images_of_every_type_have_the_same_values(tmp_path: Path) -> None:
    take, images = pattern_take(0), pattern_take(0).images
    assert images is not None
    assert images.dtype == np.uint8
    expected = images / 255
    of_type = {
        "bytes": images,
        "words": images.astype(np.uint16) * 257,  # 65535 / 255
        "floats": (images / 255).astype(np.float32),
        "colour": np.repeat(images[..., None], 3, axis=-1),
    }
    takes = {
        name: lambda images=images: dataclasses.replace(take, images=images)
        for name, images in of_type.items()
    }
    archive = build_archive(tmp_path / "a.h5", takes, splits={"train": [*takes]})
    all_read = read_windows(archive, "train", "plain").images.view(4, -1, *expected.shape[1:])
    assert all_read.dtype == torch.float32
    for read in all_read:
        np.testing.assert_allclose(read, expected, atol=1e-3)


@pytest.mark.slow
def test_the_command_trains_and_writes_weights_that_load(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    takes = {name: lambda: pattern_take(0) for name in ("a", "b")}
    archive = build_archive(tmp_path / "a.h5", takes, splits={"train": ["a"], "val": ["b"]})
    options = ["--updates", "2", "--batch", "2", "--side", "32", "--seed", "1"]
    main([str(archive), *options, "--out", str(tmp_path / "out")])
    assert re.search(r"plain: 6 of 6 updates, loss 0\.\d+, validation \d", capsys.readouterr().out)
    for name in ("stir-aligned", "plain"):
        assert spike_zoo.load(str(tmp_path / "out" / f"{name}-1.safetensors"))
