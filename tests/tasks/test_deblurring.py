"""Deblurring module: metrics, images, and checks of data and inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError, GeometryError, PlaneRangeError, SpikeZooError
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks import DeblurModule
from spike_zoo.tasks.batch import DeblurBatch
from spike_zoo.tasks.evaluation import MeasuredImage, Origin

SPAN = (20, 117)


class Clock(DeblurModule):
    """Method that returns a grey level or the time as image, and the blurry image in a stream."""

    window_length = 21

    def __init__(self) -> None:
        super().__init__(lpips="off")
        self.grey: float | None = None
        self.logged: dict[str, Any] = {}

    def log(self, name: str, value: Any, **_: Any) -> None:  # type: ignore[override]  # outside a trainer
        self.logged[name] = value

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        shades = [time / 200 if self.grey is None else self.grey for time in times]
        return torch.stack([torch.full_like(blur, shade) for shade in shades])

    def _stream(
        self, image: Tensor, recording: SpikeRecording, centers: Sequence[int], *_: Any
    ) -> Iterator[Tensor]:
        yield from [image] * len(centers)


@pytest.fixture
def module() -> Clock:
    module = Clock()
    module.setup("test")
    return module


@pytest.fixture
def recording() -> SpikeRecording:
    return SpikeRecording.from_planes(np.random.default_rng(0).random((45, 6, 11)) < 0.4)


def _batch() -> DeblurBatch:
    """Return an exposure with outer images of 0.6 and a middle image of 0.51."""
    images = torch.full((1, 3, 3, 16, 16), 0.6)
    images[:, 1] = 0.51
    batch = {"blur": torch.full((1, 3, 16, 16), 0.3), "images": images, "name": ["street"]}
    batch |= {"spikes": torch.zeros(1, 137, 4, 4), "rate_scale": torch.tensor([0.9])}
    times = {"planes": torch.tensor([[20, 68, 116]]), "exposure": torch.tensor([[*SPAN]])}
    return cast("DeblurBatch", {**batch, **times})


def _means(metrics: object) -> dict[str, float]:
    values = cast("MetricCollection", metrics).compute()
    return {name: value.item() for name, value in values.items() if "psnr" in name}


def test_metrics_are_over_all_images_and_also_over_the_middle_images_alone(module: Clock) -> None:
    module.grey = 0.5
    evaluation = module.test_step(_batch(), 0)
    assert evaluation.values["psnr"].tolist() == pytest.approx([20.0, 40.0, 20.0], abs=1e-3)
    assert _means(module.split_metrics["test"]) == {"test/psnr": pytest.approx(80 / 3, abs=1e-3)}
    assert _means(module.middle_metrics["test"]) == {
        "test/psnr_middle": pytest.approx(40.0, abs=1e-3)
    }
    module.on_test_epoch_end()
    before = -20 * (2 * np.log10(0.3) + np.log10(0.21)) / 3  # |0.3 - 0.6| twice, |0.3 - 0.51|
    assert module.logged["test/psnr_before"] == pytest.approx(before, abs=1e-3)
    assert module.logged["test/psnr_gain"] == pytest.approx(80 / 3 - before, abs=1e-3)


def test_images_have_their_plane_and_the_image_nearest_to_the_middle_is_shown(
    module: Clock,
) -> None:
    evaluation = module.test_step(_batch(), 4)
    assert evaluation.measured == [
        MeasuredImage(Origin("street", plane), plane - 20, pytest.approx(0.9))  # type: ignore[arg-type]  # compares as a float
        for plane in (20, 68, 116)
    ]
    (sample,) = evaluation.samples
    assert (sample.caption, sample.stem) == ("street, plane 68", "street-0004")
    names = ["blurry", "playback, 9 planes", "reconstruction", "ground truth"]
    assert list(sample.images) == names
    shades = [sample.images[name].unique().item() for name in names[2:]]
    assert shades == pytest.approx([68 / 200, 0.51])


def test_a_video_has_seven_images_evenly_spaced_over_the_exposure(module: Clock) -> None:
    sequence = module.test_step(_batch(), 0).sequence
    assert sequence is not None
    images = sequence()
    assert [sample.origin.plane for sample in images] == [20, 36, 52, 68, 84, 100, 116]
    shades = [sample.images["reconstruction"].unique().item() for sample in images]
    assert shades == pytest.approx([plane / 200 for plane in (20, 36, 52, 68, 84, 100, 116)])
    image = module.predict_step(_batch(), 0)  # the middle image
    assert image.shape == (1, 3, 16, 16)
    assert image.unique().item() == pytest.approx(68 / 200)
    assert module.origins(_batch()) == [Origin("street")]


def test_exposures_of_a_real_camera_are_shown_but_not_measured(module: Clock) -> None:
    batch = _batch()
    batch["images"], batch["planes"] = batch["images"][:, :0], batch["planes"][:, :0]
    evaluation = module.test_step(batch, 0)
    (sample,) = evaluation.samples
    assert not evaluation.measured
    assert not module.logged
    assert list(sample.images) == ["blurry", "playback, 9 planes", "reconstruction"]
    assert sample.images["reconstruction"].unique().item() == pytest.approx(68 / 200)
    assert sample.caption == "street, plane 68"


def test_data_with_too_few_planes_around_an_exposure_are_rejected(module: Clock) -> None:
    data: Any = SimpleNamespace(margin=10)
    module.check_data(data, "fit")  # 21 planes around a time reach 10 to either side
    data.margin = 9
    message = r"^data\.init_args\.margin: 9 planes before .* windows of Clock .*to at least 10$"
    with pytest.raises(ConfigError, match=message):
        module.check_data(data, "fit")


@pytest.mark.parametrize(
    ("shape", "centers", "error", "message"),
    [
        ((3, 24, 40), [20], GeometryError, "40 x 24 .*, the spikes are 11 x 6: .* 44 x 24"),
        ((1, 24, 44), [20], GeometryError, r"\(3, H, W\), got \(1, 24, 44\)"),
        ((3, 0, 44), [20], GeometryError, r"\(3, H, W\), got \(3, 0, 44\)"),
        ((3, 24, 44), [9], PlaneRangeError, "21 planes around plane 9 .* from 10 to 34"),
        ((3, 24, 44), [20, 35], PlaneRangeError, "around plane 35 leaves the recording"),
        ((3, 24, 44), [45], PlaneRangeError, r"plane 45 .* 0\.\.44"),
    ],
)
def test_inconsistent_images_spikes_and_planes_are_rejected_before_computation(
    module: Clock,
    recording: SpikeRecording,
    shape: tuple[int, ...],
    centers: list[int],
    error: type[SpikeZooError],
    message: str,
) -> None:
    with pytest.raises(error, match=message):
        module.deblur_stream(torch.zeros(shape), recording, centers)


def test_uint8_arrays_and_batches_of_one_image_give_the_same_result(
    module: Clock, recording: SpikeRecording
) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (3, 24, 44), dtype=np.uint8)
    expected = torch.from_numpy(pixels).float() / 255
    for blur in (expected, pixels, torch.from_numpy(pixels)[None]):
        images = module.deblur(blur, recording, [20, 34])
        assert images.shape == (2, 3, 24, 44)
        assert torch.equal(images[1], expected)


@pytest.mark.parametrize(
    ("value", "dtype"),
    [
        *((200, dtype) for dtype in (torch.int64, torch.uint16, torch.float32)),
        *((value, torch.float32) for value in (-1.0, float("nan"))),
    ],
)
def test_blurry_images_of_unknown_range_are_rejected(
    module: Clock, recording: SpikeRecording, value: float, dtype: torch.dtype
) -> None:
    message = rf"uint8, or float in \[0, 1\]; got {dtype} from {value:g} to {value:g}"
    with pytest.raises(ValueError, match=message):
        module.deblur(torch.full((3, 24, 44), value, dtype=dtype), recording, [20])
