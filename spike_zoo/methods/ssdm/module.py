"""Lightning module of S-SDM's student, trained on images of the frozen teacher."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Literal, Self, get_args

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn

from spike_zoo.batch import DeblurBatch
from spike_zoo.checkpoints.state_dicts import WeightsSource
from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm.cached_labels import CachedLabels
from spike_zoo.methods.ssdm.ldn import LDN, WINDOW_LENGTH
from spike_zoo.methods.ssdm.losses import (
    LPIPS,
    DistillationLoss,
    default_reblur,
    dissimilarity,
    make_distance,
    summed_distances,
)
from spike_zoo.methods.ssdm.san import SAN
from spike_zoo.methods.ssdm.sdm import ChannelOrder, reorder_channels
from spike_zoo.methods.ssdm.teacher import SHORT_WINDOW, SSDMTeacher, images_at_once
from spike_zoo.methods.ssdm.teacher_module import (
    Upsampler,
    check_short,
    load_teacher,
    make_teacher,
)
from spike_zoo.methods.ssdm.teacher_training import TIMES
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes import SpikeRecording, centred_window, unpack_tensor
from spike_zoo.spikes.windows import spread_planes
from spike_zoo.tasks.deblurring import DeblurModule

FEATURES_SHARE = 0.1  # factor of the last layer's feature weights with start_from_blur
WORK_PER_PIXEL = 150  # bytes of LDN's features per image pixel, measured
Net = Literal["ldn", "san"]
NETWORKS: dict[Net, type[LDN] | type[SAN]] = {"ldn": LDN, "san": SAN}


class SSDMStudentModule(DeblurModule):
    """Train :class:`LDN` on the teacher's images and the blur, and deblur with it.

    Input and output images are R,G,B in [0, 1] for any ``channel_order``. Checkpoints do not
    contain the teacher, and deblurring does not need the teacher's files.

    Args:
        window_length: Planes of spikes around each time.
        channel_order: Channel order of the weights: ``"bgr"`` for the published weights.
        net: The student: ``"ldn"``, or ``"san"``, ten times as large.
        bsn: File of the teacher's denoiser: a checkpoint of :class:`SSDMTeacherModule`, or the
            authors' file.
        edsr: File of the teacher's enlarging network.
        use_bsn: Whether the teacher denoises.
        upsampler: The teacher's up-sampling: ``"edsr"``, ``"bilinear"`` or ``"nearest"``.
        short_window: Planes the teacher averages around a time, odd.
        align_input: Whether the teacher averages more planes along the optical flow instead, which
            replaces the denoiser.
        rate_gain: Factor of the rates in the teacher before its networks, see
            :class:`SSDMTeacher`; the student's spikes are not scaled.
        times: Times per exposure in a training step, spread evenly over the exposure.
        use_teacher: Whether the loss includes the teacher's images.
        distance: Distance to the teacher's images, see :func:`make_distance`. The paper's is
            ``"lpips"``, which needs VGG-16's weights.
        lambda_reblur: Weight of the reblur loss; the weight of the distance is 1. By default 100
            for ``"lpips"``, as published, and :func:`default_reblur` for other distances.
        use_ssim: Whether 1 - SSIM to the teacher's images is added, an option of the release.
        backbone: File of VGG-16's weights; searched for by default.
        lpips_as_published: Whether LPIPS gets images without conversion, see
            :class:`LPIPSDistance`.
        learning_rate: Learning rate of Adam.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        clamp_loss: Whether the loss clips images to [0, 1], as published. Pixels outside then get
            no gradient and may stay outside.
        start_from_blur: Whether the student is initialised to return approximately the blurry
            image, which saves short runs thousands of updates. False: all weights are random, as
            published.
        cache_gib: Memory for the teacher's images, see :class:`CachedLabels`; useful for training
            on full frames.
        cache_dir: Folder that also stores these images, so that further runs with the same teacher
            (e.g. all rows of a table) need not compute them.
        lpips: See :class:`DeblurModule`; the metric, not the distance.
        protocols: See :class:`DeblurModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Eq. (12) to (14); means over the times, as released.
    """

    _attention_spread: Tensor | None = None

    def __init__(
        self,
        window_length: int = WINDOW_LENGTH,
        channel_order: ChannelOrder = "rgb",
        net: Net = "ldn",
        bsn: str | None = None,
        edsr: str | None = None,
        use_bsn: bool = True,
        upsampler: Upsampler = "edsr",
        short_window: int = SHORT_WINDOW,
        align_input: bool = False,
        rate_gain: float = 1.0,
        times: int = TIMES,
        use_teacher: bool = True,
        distance: str = "charbonnier",
        lambda_reblur: float | None = None,
        use_ssim: bool = False,
        backbone: str | None = None,
        lpips_as_published: bool = True,
        learning_rate: float = 1e-3,
        schedule: ScheduleKind = "cosine",
        clamp_loss: bool = False,
        start_from_blur: bool = False,
        cache_gib: float = 0.0,
        cache_dir: str | None = None,
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        check_schedule(schedule, learning_rate)
        check_short(use_bsn=use_bsn, align_input=align_input, rate_gain=rate_gain)
        _check_choices(channel_order, net, upsampler, distance, times, cache_gib, cache_dir)
        self.save_hyperparameters()
        self.channel_order, self.window_length = channel_order, window_length
        self.lambda_reblur = default_reblur(distance) if lambda_reblur is None else lambda_reblur
        DistillationLoss(dissimilarity, float(use_teacher), self.lambda_reblur)  # checks weights
        self.network = NETWORKS[net](window_length)
        if start_from_blur:
            init_blur_passthrough(self.network.pred)
        self.network.ca.register_forward_hook(self._record_attention_spread)
        # in a list, so that the teacher is not part of the state dict and of checkpoints
        self._teacher: list[CachedLabels] = []
        self.loss: DistillationLoss | None = None

    @classmethod
    def from_official(cls, source: WeightsSource, channel_order: ChannelOrder = "bgr") -> Self:
        """Return the module with published weights, in evaluation mode.

        Args:
            source: A file or a state dict, see :meth:`LDN.from_official`.
            channel_order: Channel order of the weights.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        network = LDN.from_official(source)
        module = cls(network.window_length, channel_order)
        module.network.load_state_dict(network.state_dict())
        return module.eval()

    def longest_window(self, stage: str) -> int:
        """Return the longest window of planes around a time, in training also the teacher's."""
        has_teacher = stage == "fit" and self.hparams["use_teacher"]
        return max(self.window_length, self.hparams["short_window"] if has_teacher else 0)

    def setup(self, stage: str) -> None:
        """Create the metrics and, for training, the teacher and the loss, which read files."""
        super().setup(stage)
        if stage != "fit":
            return
        self.loss = self.loss or self.make_loss()
        if self.hparams["use_teacher"] and not self._teacher:
            cache = (self.hparams["cache_gib"], self.hparams["cache_dir"])
            self._teacher.append(CachedLabels(self.make_teacher(), *cache))
        distance = self.hparams["distance"] if self.hparams["use_teacher"] else "none"
        note = "" if distance in (LPIPS, "none") else " (not the paper's, which is lpips)"
        rank_zero_info(
            f"distance to the teacher: {distance}{note}; reblur x {self.lambda_reblur:g}"
        )

    def make_teacher(self) -> SSDMTeacher:
        """Return the frozen cascade configured by the hyper-parameters.

        Raises:
            ConfigError: If no file is given for a network in use.
            MissingFileError: If a file does not exist.
            WeightsError: If a file holds another network.
        """
        options = ("use_bsn", "upsampler", "short_window", "align_input", "rate_gain")
        teacher = make_teacher(**{name: self.hparams[name] for name in options})
        load_teacher(teacher, {"bsn": self.hparams["bsn"], "edsr": self.hparams["edsr"]})
        return teacher.requires_grad_(False).eval()

    def make_loss(self) -> DistillationLoss:
        """Return the loss configured by the hyper-parameters.

        Raises:
            MissingFileError: If LPIPS is used and its backbone does not exist.
        """
        hparams, clamp = self.hparams, self.hparams["clamp_loss"]
        if not hparams["use_teacher"]:
            return DistillationLoss(None, 0.0, self.lambda_reblur, clamp=clamp)
        distance = make_distance(
            hparams["distance"], hparams["backbone"], as_published=hparams["lpips_as_published"]
        )
        similarity = dissimilarity if hparams["use_ssim"] else None
        return DistillationLoss(distance, 1.0, self.lambda_reblur, similarity, clamp=clamp)

    def forward(self, blur: Tensor, window: Tensor) -> Tensor:
        """Deblur at the middle of a window.

        Args:
            blur: ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
            window: ``(B, window_length, h, w)``, float, 0 or 1.

        Returns:
            ``(B, 3, 4h, 4w)``, R,G,B in [0, 1].
        """
        image = self.network(reorder_channels(blur, self.channel_order), window)
        return reorder_channels(image, self.channel_order).clamp(0.0, 1.0)

    def training_step(self, batch: DeblurBatch, batch_idx: int) -> Tensor:
        """Return the loss of several times of every exposure; log every term."""
        if self.loss is None:
            raise RuntimeError("loss and teacher do not exist: call setup('fit') before training")
        blur = reorder_channels(batch["blur"], self.channel_order)
        start, stop = batch["exposure"][0].tolist()
        times = spread_planes(start, stop, self.hparams["times"])
        windows = windows_around(batch["spikes"], times, self.window_length)
        predictions = self.network.decode(self.network.encode_blur(blur), windows)
        labels = predictions.detach().float()  # placeholder, not used without a teacher
        if self._teacher:
            labels = self._teacher[0](blur, batch["spikes"], times, (start, stop))
        terms = self.loss(blur, labels, predictions.float())
        logged = {f"train/{name}": value for name, value in terms.items()}
        if self._attention_spread is not None:
            logged["train/attention_spread"] = self._attention_spread
        self.log_dict(logged, batch_size=len(blur))
        return terms["total"]

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam and the schedule of the learning rate per update."""
        return scheduled_adam(self, self.network.parameters())

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        """Deblur at some planes of ``spikes``; see :meth:`DeblurModule.images_at`."""
        encoded = self.network.encode_blur(reorder_channels(blur, self.channel_order))
        count = self._images_at_once(blur, None)
        images = []
        for first in range(0, len(times), count):
            windows = windows_around(spikes, times[first : first + count], self.window_length)
            images.append(self.network.decode(encoded, windows).float())
        return reorder_channels(torch.cat(images), self.channel_order).clamp(0.0, 1.0)

    def _images_at_once(self, blur: Tensor, memory_gib: float | None) -> int:
        work = math.prod(blur.shape[-2:]) * WORK_PER_PIXEL * (len(blur) if blur.ndim == 4 else 1)
        return images_at_once(work, memory_gib, self.device)

    def _record_attention_spread(self, layer: nn.Module, inputs: object, weights: Tensor) -> None:
        """Store the standard deviation of the attention weights of channels; 0: no effect."""
        if self.training:
            self._attention_spread = weights.detach().float().std(dim=1).mean()

    def _stream(
        self,
        image: Tensor,
        recording: SpikeRecording,
        centers: Sequence[int],
        exposure: tuple[int, int] | None,
        memory_gib: float | None,
    ) -> Iterator[Tensor]:
        count = self._images_at_once(image, memory_gib)
        with eval_mode(self):
            with torch.inference_mode():
                blur = reorder_channels(image[None].to(self.device), self.channel_order)
                encoded = self.network.encode_blur(blur)
            for first in range(0, len(centers), count):
                windows = self._windows(recording, centers[first : first + count])
                with torch.inference_mode():
                    decoded = self.network.decode(encoded, windows)[:, 0].float()
                    images = reorder_channels(decoded, self.channel_order).clamp(0.0, 1.0).cpu()
                yield from images

    def _windows(self, recording: SpikeRecording, centers: Sequence[int]) -> Tensor:
        """Return windows around some planes, ``(N, 1, window_length, h, w)``, on the device."""
        spans = [centred_window(center, self.window_length) for center in centers]
        packed = torch.from_numpy(np.stack([recording.read_packed(*span) for span in spans]))
        planes = unpack_tensor(packed.to(self.device), recording.shape[2])
        return planes[:, None].to(self.dtype)


def _check_choices(
    channel_order: str,
    net: str,
    upsampler: str,
    distance: str,
    times: int,
    cache_gib: float,
    cache_dir: str | None,
) -> None:
    for name, value, kind in (
        ("channel_order", channel_order, ChannelOrder),
        ("net", net, Net),
        ("upsampler", upsampler, Upsampler),
    ):
        if value not in get_args(kind):
            raise ValueError(f"{name} must be one of {get_args(kind)}, got {value!r}")
    if times < 1:
        raise ValueError(f"times must be at least 1, got {times}")
    if cache_gib < 0:
        raise ValueError(f"cache_gib must be 0 or more, got {cache_gib}")
    if cache_dir is not None and not cache_gib:
        raise ValueError("cache_dir needs cache_gib above 0: with 0, no images are cached")
    summed_distances(distance)


@torch.no_grad()
def init_blur_passthrough(layer: nn.Conv2d) -> None:
    """Initialise a student's last layer to pass the blurry image, with little of the features.

    Args:
        layer: The last layer; its first three input channels are the blurry image.
    """
    layer.weight *= FEATURES_SHARE
    layer.weight[:, :3] = torch.eye(3)[..., None, None]
    layer.bias.zero_()  # type: ignore[union-attr]  # it has one


def windows_around(spikes: Tensor, times: Sequence[int], length: int) -> Tensor:
    """Return the planes around some times: ``(B, T, h, w)`` -> ``(len(times), B, length, h, w)``.

    Raises:
        ConfigError: If a window leaves the stream.
    """
    spans = [centred_window(time, length) for time in times]
    for time, (start, stop) in zip(times, spans, strict=True):
        if start < 0 or stop > spikes.shape[1]:
            raise ConfigError(
                f"the window of {length} planes around plane {time} leaves the {spikes.shape[1]} "
                "planes of the stream; record more planes before and after the exposure"
            )
    return torch.stack([spikes[:, start:stop] for start, stop in spans]).float()
