"""Task module of spike coding: rate and image quality of whole recordings at every rate point."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, cast

import torch
from lightning import LightningDataModule
from torch import Tensor
from torchmetrics import MetricCollection

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.image import MeanOfValues, psnr, ssim
from spike_zoo.metrics.rate import bpp, bpp_f
from spike_zoo.nn.precision import without_autocast
from spike_zoo.tasks.base import TaskModule
from spike_zoo.tasks.batch import SceneBatch, Split
from spike_zoo.tasks.evaluation import (
    RECONSTRUCTION,
    TRUTH,
    CaptionedImages,
    Evaluation,
    MeasuredImage,
    Origin,
    playback,
)

CURVES = "rate_distortion"
"""Prefix of the curves' names in records, as in ``rate_distortion/psnr``."""
PREVIEW_PLANES = 13  # window of the playback shown with decoded images
MEASURES = {"psnr": psnr, "ssim": ssim}


class CodedScene(NamedTuple):
    """One recording of a batch."""

    spikes: Tensor  # (T, H, W), 0 or 1
    images: Tensor  # ground truth, (N, 1, H, W) in [0, 1]
    planes: list[int]  # of the images
    rate_scale: float  # spikes per plane at white
    name: str
    flow: Tensor | None = None  # from each image to the one before, (N, 2, H, W), NaN if unknown


class CompressedRecording(NamedTuple):
    """Compressed recording."""

    n_bytes: int  # of the complete bitstream
    content: Any  # the bitstream, or the input of the method's decoder
    n_payload: int | None = None  # bytes of coded symbols, if known
    n_features: int | None = None  # coded features, for methods that code features


class RatePoint(NamedTuple):
    """Rates and decoded images of a recording at one rate point."""

    rates: Mapping[str, float]  # "bpp", and the others of CodingModule.rates
    images: Tensor  # (N, 1, H, W)


class CodingModule(TaskModule):
    """Base class of methods that compress recordings and decode images from the bitstream.

    A subclass defines :meth:`compress`, :meth:`decompress` and, if rate points share some work,
    :meth:`prepared`. A test measures every rate point:
    ``test/bpp_q0``, ``test/psnr_q0``, ``test/ssim_q0`` and so on, without ``_q0`` for a single
    rate point. The rate is the mean over recordings, the quality the mean over images. The record
    contains the curves ``rate_distortion/psnr`` and ``rate_distortion/ssim``; ``per_image.csv``
    lists every image with the rate of its recording.
    """

    #: name of each rate point, from the lowest to the highest rate
    rate_points: Sequence[object] = ()
    #: measured rates: ``"bpp"``, all bytes of the bitstream by pixels and planes;
    #: ``"bpp_payload"``, coded symbols alone; ``"bpp_f"``, all bytes by pixels and features
    rates: Sequence[str] = ("bpp",)

    def prepared(self, scene: CodedScene) -> Any:  # noqa: ANN401  (the method's own)
        """Return the input of :meth:`compress`, shared by all rate points: here the recording."""
        return scene

    def compress(self, prepared: Any, point: int) -> CompressedRecording:  # noqa: ANN401  (the method's own)
        """Compress the output of :meth:`prepared` at a rate point, an index into the points."""
        raise NotImplementedError

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Decode the images of a recording, ``(N, 1, H, W)`` in [0, 1].

        Only planes, size and rate scale of the scene may be used; every spike file states these.
        """
        raise NotImplementedError

    def named(self, metric: str, point: int) -> str:
        """Return a metric's name at a rate point: ``psnr_q0``, or ``psnr`` for a single point."""
        return f"{metric}_q{point}" if len(self.rate_points) > 1 else metric

    def make_metrics(self) -> MetricCollection:
        """Return the means of rate and quality at every rate point."""
        kinds, points = (*self.rates, *MEASURES), range(len(self.rate_points))
        names = [self.named(kind, point) for point in points for kind in kinds]
        return MetricCollection({name: MeanOfValues() for name in names}, compute_groups=False)

    def check_data(self, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for data that cut recordings into clips; states the right setting."""
        splits = {"fit": ("val", "test"), "validate": ("val",)}.get(stage, ("test",))
        if not {*splits} <= {*getattr(datamodule, "full_sequence_splits", ())}:
            raise ConfigError(
                f"data: {type(self).__name__} codes whole recordings; serve them by spike_zoo.data."
                f"SceneDataModule with init_args.full_sequence_splits: [{', '.join(splits)}]"
            )

    def scenes(self, batch: SceneBatch) -> Iterator[CodedScene]:
        """Yield the recordings of a batch."""
        for index, name in enumerate(batch["name"]):
            planes, scale = batch["planes"][index].tolist(), float(batch["rate_scale"][index])
            flow = batch["flow"][index] if "flow" in batch else None
            parts = (batch["spikes"][index], batch["images"][index])
            yield CodedScene(*parts, planes, scale, name, flow)

    def origins(self, batch: SceneBatch) -> list[Origin]:
        """Return recording and plane of every image."""
        return [origin for scene in self.scenes(batch) for origin in self._origins(scene)]

    def predict_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """Return all images of a batch at the last rate point."""
        last = len(self.rate_points) - 1
        coded = ((self.compress(self.prepared(scene), last), scene) for scene in self.scenes(batch))
        return torch.cat([self.decompress(*pair) for pair in coded])

    def evaluate(self, batch: SceneBatch, split: Split, batch_idx: int) -> Evaluation:
        """Code a batch at every rate point, add it to the metrics, and return its evaluation."""
        samples: list[CaptionedImages] = []
        measured: list[MeasuredImage] = []
        values: dict[str, list[Tensor]] = {}
        for scene in self.scenes(batch):
            points = list(self._points(scene))
            measured += [MeasuredImage(o, o.plane, scene.rate_scale) for o in self._origins(scene)]
            for name, scene_values in self._measure(split, scene, points).items():
                values.setdefault(name, []).append(scene_values)
            samples += self._images(scene, points)
        metrics = cast("MetricCollection", self.split_metrics[split])
        self.log_means(split, {name: cast("MeanOfValues", metrics[name]) for name in values})
        columns = {name: torch.cat(parts) for name, parts in values.items()}
        return Evaluation(samples, measured, columns)

    def _points(self, scene: CodedScene) -> Iterator[RatePoint]:
        """Code a recording at every rate point."""
        prepared = self.prepared(scene)
        planes, height, width = scene.spikes.shape
        for number in range(len(self.rate_points)):
            coded = self.compress(prepared, number)
            images = self.decompress(coded, scene).float()
            yield RatePoint(rates_of(coded, (planes, height, width)), images)

    def _measure(
        self, split: Split, scene: CodedScene, points: Sequence[RatePoint]
    ) -> dict[str, Tensor]:
        """Add a recording to the metrics of a split; return the values for each of its images."""
        metrics = cast("MetricCollection", self.split_metrics[split])
        count = len(self._origins(scene))
        values: dict[str, Tensor] = {}
        for number, (rates, images) in enumerate(points):
            for kind in self.rates:
                name = self.named(kind, number)
                values[name] = torch.full((count,), rates[kind], dtype=torch.float64)
                metrics[name].update(values[name][:1])  # one value per recording
            truth = scene.images.to(images.device)
            for metric, measure in MEASURES.items():
                name = self.named(metric, number)
                with without_autocast(images.device.type):  # bf16 halves the SSIM
                    values[name] = measure(images, truth).cpu()
                metrics[name].update(values[name])
        return values

    def log_epoch(self, split: Split) -> None:
        """Log the means and, in a test, keep the curves for the record."""
        if split == "test" and len(self.rate_points) > 1:
            metrics: Any = self.split_metrics[split]
            numbers = range(len(self.rate_points))
            means = {  # computed one by one, because other metrics of the collection may be empty
                kind: [float(metrics[f"{kind}_q{n}"].compute()) for n in numbers]
                for kind in ("bpp", *MEASURES)
            }
            self.curves = {
                f"{CURVES}/{kind}": list(zip(means["bpp"], means[kind], strict=True))
                for kind in MEASURES
            }
        super().log_epoch(split)

    def profiled_calls(self, batch: SceneBatch) -> Mapping[str, Callable[[], object]]:
        """Return the profiled jobs at the last rate point: forward, compress and decompress."""
        last, scenes = len(self.rate_points) - 1, list(self.scenes(batch))
        jobs: dict[str, Callable[[], object]] = dict(super().profiled_calls(batch))
        jobs["compress"] = lambda: [self.compress(self.prepared(scene), last) for scene in scenes]
        pairs = [(self.compress(self.prepared(scene), last), scene) for scene in scenes]
        jobs["decompress"] = lambda: torch.cat([self.decompress(*pair) for pair in pairs])
        return jobs

    def _origins(self, scene: CodedScene) -> list[Origin]:
        return [Origin(scene.name, plane) for plane in scene.planes]

    def _images(self, scene: CodedScene, points: Sequence[RatePoint]) -> Iterator[CaptionedImages]:
        """Yield the images of every measured plane: playback, each rate point, the ground truth."""
        by_caption = {
            f"{name}: {rates['bpp']:.4f} bpp": images
            for name, (rates, images) in zip(self.rate_points, points, strict=True)
        }
        for index, origin in enumerate(self._origins(scene)):
            plane = scene.planes[index]
            rate = playback(scene.spikes, scene.rate_scale, plane, PREVIEW_PLANES)
            decoded = {name: images[index] for name, images in by_caption.items()}
            _, finest = decoded.popitem()
            strip = {f"playback, {PREVIEW_PLANES} planes": rate, **decoded}
            strip |= {RECONSTRUCTION: finest, TRUTH: scene.images[index]}
            yield CaptionedImages(origin, strip, f"{scene.name}-plane{plane}")


def rates_of(coded: CompressedRecording, shape: tuple[int, int, int]) -> dict[str, float]:
    """Return the known rates of a recording ``(T, H, W)``, see :attr:`CodingModule.rates`."""
    rates = {"bpp": bpp(coded.n_bytes, shape)}
    if coded.n_payload is not None:
        rates["bpp_payload"] = bpp(coded.n_payload, shape)
    if coded.n_features is not None:
        rates["bpp_f"] = bpp_f(coded.n_bytes, shape, coded.n_features)
    return rates
