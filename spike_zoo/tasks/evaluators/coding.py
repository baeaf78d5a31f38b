"""Evaluator of spike coding: rate and image quality of whole recordings at every rate point."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from lightning import LightningDataModule
from torch import Tensor

from spike_zoo.errors import ConfigError
from spike_zoo.metrics.image import psnr, ssim
from spike_zoo.metrics.rate import bpp, bpp_f
from spike_zoo.nn.precision import without_autocast
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
from spike_zoo.tasks.evaluators.base import Evaluator

CURVES = "rate_distortion"
"""Prefix of the curves' names in records, as in ``rate_distortion/psnr``."""
PREVIEW_PLANES = 13  # window of the playback shown with decoded images
MEASURES = {"psnr": psnr, "ssim": ssim}
NOT_CODED = "psnr_not_coded"
"""PSNR of the images that a method codes, before coding."""


class CodedScene(NamedTuple):
    """One recording of a batch."""

    spikes: Tensor  # (T, H, W), 0 or 1
    images: Tensor  # ground truth, (N, 1, H, W) in [0, 1]
    planes: list[int]  # of the images
    rate_scale: float  # spikes per plane at white
    name: str
    flow: Tensor | None = None  # from each image to the one before, (N, 2, H, W), NaN if unknown

    @property
    def origins(self) -> list[Origin]:
        """Recording and plane of every image."""
        return [Origin(self.name, plane) for plane in self.planes]


class CompressedRecording(NamedTuple):
    """Compressed recording."""

    n_bytes: int  # of the complete bitstream
    content: Any  # the bitstream, or the input of the method's decoder
    n_payload: int | None = None  # bytes of coded symbols, if known
    n_features: int | None = None  # coded features, for methods that code features


class Coder(Protocol):
    """Method that compresses recordings and decodes images from the bitstream."""

    def prepared(self, scene: CodedScene) -> Any:  # noqa: ANN401  (the method's own)
        """Return the input of :meth:`compress`, shared by all rate points."""
        ...

    def compress(self, prepared: Any, point: int) -> CompressedRecording:  # noqa: ANN401  (the method's own)
        """Compress the output of :meth:`prepared` at a rate point, an index into the points."""
        ...

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Decode the images of a recording, ``(N, 1, H, W)`` in [0, 1].

        Only planes, size and rate scale of the scene may be used; every spike file states these.
        """
        ...


@runtime_checkable
class CodesImages(Protocol):
    """A :class:`Coder` that codes images."""

    def not_coded(self, prepared: Any) -> Tensor:  # noqa: ANN401  (the method's own)
        """Return the images before coding, ``(N, 1, H, W)`` in [0, 1]."""
        ...


class CodingEvaluator(Evaluator[Coder, SceneBatch]):
    """Measure a coder at every rate point.

    A test measures ``test/bpp_q0``, ``test/psnr_q0``, ``test/ssim_q0`` and so on, without ``_q0``
    for a single rate point, and ``test/psnr_not_coded`` for methods that code images. The rate is
    the mean over recordings, the quality the mean over images.
    The record contains the curves ``rate_distortion/psnr`` and ``rate_distortion/ssim``;
    ``per_image.csv`` lists every image with the rate of its recording.

    Args:
        rate_points: Name of each rate point, from the lowest to the highest rate.
        rates: Measured rates: ``"bpp"``, all bytes of the bitstream by pixels and planes;
            ``"bpp_payload"``, coded symbols alone; ``"bpp_f"``, all bytes by pixels and features.
    """

    def __init__(self, rate_points: Sequence[object], rates: Sequence[str] = ("bpp",)) -> None:
        super().__init__()
        self.rate_points, self.rates = tuple(rate_points), tuple(rates)

    def named(self, metric: str, point: int) -> str:
        """Return a metric's name at a rate point: ``psnr_q0``, or ``psnr`` for a single point."""
        return f"{metric}_q{point}" if len(self.rate_points) > 1 else metric

    def check_data(self, method: object, datamodule: LightningDataModule, stage: str) -> None:
        """Raise ConfigError for data that cut recordings into clips; states the right setting."""
        splits = {"fit": ("val", "test"), "validate": ("val",)}.get(stage, ("test",))
        if not {*splits} <= {*getattr(datamodule, "full_sequence_splits", ())}:
            raise ConfigError(
                f"data: {type(method).__name__} codes whole recordings; serve them by "
                "spike_zoo.data.SceneDataModule with init_args.full_sequence_splits: "
                f"[{', '.join(splits)}]"
            )

    def origins(self, batch: SceneBatch) -> list[Origin]:
        """Return recording and plane of every image."""
        return [origin for scene in coded_scenes(batch) for origin in scene.origins]

    def predict(self, method: Coder, batch: SceneBatch) -> Tensor:
        """Return all images of a batch at the last rate point."""
        last = len(self.rate_points) - 1
        scenes = coded_scenes(batch)
        coded = ((method.compress(method.prepared(scene), last), scene) for scene in scenes)
        return torch.cat([method.decompress(*pair) for pair in coded])

    def evaluate(self, method: Coder, batch: SceneBatch, split: Split, index: int) -> Evaluation:
        """Code a batch at every rate point, add it to the metrics, and return its evaluation."""
        samples: list[CaptionedImages] = []
        measured: list[MeasuredImage] = []
        columns: dict[str, list[Tensor]] = {}
        for scene in coded_scenes(batch):
            prepared, by_caption = method.prepared(scene), {}
            planes, height, width = scene.spikes.shape
            by_column = self._before_coding(split, scene, method, prepared)
            for number, name in enumerate(self.rate_points):
                coded = method.compress(prepared, number)
                images = method.decompress(coded, scene).float()
                rates = rates_of(coded, (planes, height, width))
                by_caption[f"{name}: {rates['bpp']:.4f} bpp"] = images
                by_column |= self._measure(split, scene, number, rates, images)
            for column, values in by_column.items():
                columns.setdefault(column, []).append(values)
            measured += [MeasuredImage(o, o.plane, scene.rate_scale) for o in scene.origins]
            samples += _captioned(scene, by_caption)
        return Evaluation(samples, measured, {name: torch.cat(x) for name, x in columns.items()})

    def _before_coding(
        self,
        split: Split,
        scene: CodedScene,
        method: Coder,
        prepared: Any,  # noqa: ANN401  (the method's own)
    ) -> dict[str, Tensor]:
        """Measure the images that a method codes, if it codes images; return their PSNR."""
        if not isinstance(method, CodesImages):
            return {}
        images = method.not_coded(prepared)
        values = {NOT_CODED: psnr(images, scene.images.to(images.device)).cpu()}
        self.add_means(split, values)
        return values

    def _measure(
        self,
        split: Split,
        scene: CodedScene,
        point: int,
        rates: Mapping[str, float],
        images: Tensor,
    ) -> dict[str, Tensor]:
        """Add a recording at a rate point to the metrics; return the values for each image."""
        truth = scene.images.to(images.device)
        with without_autocast(images.device.type):  # bf16 halves the SSIM
            quality = {self.named(n, point): f(images, truth).cpu() for n, f in MEASURES.items()}
        self.add_means(split, quality)
        one = torch.ones(1, dtype=torch.float64)
        means = {self.named(name, point): rates[name] * one for name in self.rates}
        self.add_means(split, means)  # one value per recording
        return {name: value.expand(len(images)) for name, value in means.items()} | quality

    def split_means(self, split: Split) -> dict[str, Tensor]:
        """Return the means of rate and quality; in a test, keep the curves for the record."""
        means = super().split_means(split)
        if means and split == "test" and len(self.rate_points) > 1:
            numbers = range(len(self.rate_points))
            self.curves = {
                f"{CURVES}/{kind}": [
                    (float(means[f"bpp_q{n}"]), float(means[f"{kind}_q{n}"])) for n in numbers
                ]
                for kind in MEASURES
            }
        return means

    def profiled_calls(
        self, method: Coder, batch: SceneBatch
    ) -> Mapping[str, Callable[[], object]]:
        """Return the jobs at the last rate point: compress and decompress."""
        last, scenes = len(self.rate_points) - 1, list(coded_scenes(batch))

        def compress() -> list[tuple[CompressedRecording, CodedScene]]:
            return [(method.compress(method.prepared(scene), last), scene) for scene in scenes]

        pairs = compress()

        def decompress() -> Tensor:
            return torch.cat([method.decompress(*pair) for pair in pairs])

        return {"compress": compress, "decompress": decompress}


def _captioned(scene: CodedScene, by_caption: Mapping[str, Tensor]) -> Iterator[CaptionedImages]:
    """Yield the images of every measured plane: playback, each rate point, the ground truth."""
    for index, origin in enumerate(scene.origins):
        plane = scene.planes[index]
        rate = playback(scene.spikes, scene.rate_scale, plane, PREVIEW_PLANES)
        decoded = {name: images[index] for name, images in by_caption.items()}
        _, finest = decoded.popitem()
        strip = {f"playback, {PREVIEW_PLANES} planes": rate, **decoded}
        strip |= {RECONSTRUCTION: finest, TRUTH: scene.images[index]}
        yield CaptionedImages(origin, strip, f"{scene.name}-plane{plane}")


def coded_scenes(batch: SceneBatch) -> Iterator[CodedScene]:
    """Yield the recordings of a batch."""
    for index, name in enumerate(batch["name"]):
        planes, scale = batch["planes"][index].tolist(), float(batch["rate_scale"][index])
        flow = batch["flow"][index] if "flow" in batch else None
        parts = (batch["spikes"][index], batch["images"][index])
        yield CodedScene(*parts, planes, scale, name, flow)


def rates_of(coded: CompressedRecording, shape: tuple[int, int, int]) -> dict[str, float]:
    """Return the known rates of a recording ``(T, H, W)``, see :class:`CodingEvaluator`."""
    rates = {"bpp": bpp(coded.n_bytes, shape)}
    if coded.n_payload is not None:
        rates["bpp_payload"] = bpp(coded.n_payload, shape)
    if coded.n_features is not None:
        rates["bpp_f"] = bpp_f(coded.n_bytes, shape, coded.n_features)
    return rates
