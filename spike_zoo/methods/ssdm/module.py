"""Lightning module of S-SDM's student, trained on images of the frozen teacher."""

import math
from collections.abc import Iterator, Sequence
from typing import Any, Literal, Self

import numpy as np
import torch
from lightning.pytorch.utilities import rank_zero_info
from torch import Tensor, nn

from spike_zoo.checkpoints.state_dicts import WeightsSource
from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm.cached_labels import CachedLabels
from spike_zoo.methods.ssdm.ldn import LDN, WINDOW_LENGTH
from spike_zoo.methods.ssdm.losses import DistillationLoss, DistillationOptions
from spike_zoo.methods.ssdm.san import SAN
from spike_zoo.methods.ssdm.sdm import ChannelOrder, reorder_channels
from spike_zoo.methods.ssdm.teacher import SSDMTeacher, images_at_once
from spike_zoo.methods.ssdm.teacher_module import (
    TEACHER,
    TeacherOptions,
    load_teacher,
    make_teacher,
)
from spike_zoo.methods.ssdm.teacher_training import TIMES
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.options import check_choice, options_of
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import centred_window, spread_planes
from spike_zoo.tasks.batch import DeblurBatch
from spike_zoo.tasks.deblurring import DeblurModule

FEATURES_SHARE = 0.1  # factor of the last layer's feature weights with start_from_blur
WORK_PER_PIXEL = 150  # bytes of LDN's features per image pixel, measured
Net = Literal["ldn", "san"]
LOSS = DistillationOptions()
NETWORKS: dict[Net, type[LDN] | type[SAN]] = {"ldn": LDN, "san": SAN}


class SSDMStudentModule(DeblurModule):
    """Train :class:`LDN` on the teacher's images and the blur, and deblur with it.

    Input and output images are R,G,B in [0, 1] for any ``channel_order``. Checkpoints do not
    contain the teacher, and deblurring does not need the teacher's files.

    Args:
        window_length: Planes of spikes around each time.
        channel_order: Channel order of the weights: ``"bgr"`` for the published weights.
        net: The student: ``"ldn"``, or ``"san"``, ten times as large.
        teacher: The teacher.
        times: Times per exposure in a training step, spread evenly over the exposure; with sharp
            labels those of the images.
        loss: The loss.
        learning_rate: Learning rate of Adam.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        start_from_blur: Whether the student is initialised to return approximately the blurry
            image, which saves short runs thousands of updates. False: all weights are random, as
            published.
        cache_gib: Memory for the teacher's images, see :class:`CachedLabels`; useful for training
            on full frames.
        cache_dir: Folder that also stores these images, so that further runs with the same teacher
            (e.g. all rows of a table) need not compute them.
        evaluation: Arguments of :class:`DeblurModule`.

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
        teacher: TeacherOptions = TEACHER,
        times: int = TIMES,
        loss: DistillationOptions = LOSS,
        learning_rate: float = 1e-3,
        schedule: ScheduleKind = "cosine",
        start_from_blur: bool = False,
        cache_gib: float = 0.0,
        cache_dir: str | None = None,
        **evaluation: Any,
    ) -> None:
        super().__init__(**evaluation)
        check_schedule(schedule, learning_rate)
        check_choice("channel_order", channel_order, ChannelOrder)
        check_choice("net", net, Net)
        _check_numbers(times, cache_gib, cache_dir)
        self.save_hyperparameters()
        self.channel_order, self.window_length, self.times = channel_order, window_length, times
        self.teacher_options = options_of(TeacherOptions, teacher)
        self.loss_options = options_of(DistillationOptions, loss)
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
        has_teacher = stage == "fit" and self.loss_options.labels == "teacher"
        return max(self.window_length, self.teacher_options.short_window if has_teacher else 0)

    def setup(self, stage: str) -> None:
        """Create the metrics and, for training, the teacher and the loss, which read files."""
        super().setup(stage)
        if stage != "fit":
            return
        self.loss = self.loss or self.loss_options.loss()
        if self.loss_options.labels == "teacher" and not self._teacher:
            cache = (self.hparams["cache_gib"], self.hparams["cache_dir"])
            self._teacher.append(CachedLabels(self.make_teacher(), *cache))
        rank_zero_info(str(self.loss_options))

    def make_teacher(self) -> SSDMTeacher:
        """Return the frozen cascade with its weights.

        Raises:
            ConfigError: If no file is given for a network in use.
            MissingFileError: If a file does not exist.
            WeightsError: If a file holds another network.
        """
        teacher = make_teacher(self.teacher_options)
        load_teacher(teacher, self.teacher_options.files)
        return teacher.requires_grad_(False).eval()

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
        times, labels = spread_planes(start, stop, self.times), None
        if self.loss_options.labels == "sharp":
            times, labels = sharp_labels(batch, self.channel_order)
        windows = windows_around(batch["spikes"], times, self.window_length)
        predictions = self.network.decode(self.network.encode_blur(blur), windows)
        if self._teacher:
            labels = self._teacher[0](blur, batch["spikes"], times, (start, stop))
        if labels is None:
            labels = predictions.detach().float()  # not used
        terms = self.loss(blur, labels, predictions.float())
        logged = {f"train/{name}": value for name, value in terms.items()}
        if self._attention_spread is not None:
            logged["train/attention_spread"] = self._attention_spread
        self.log_dict(logged, batch_size=len(blur))
        return terms["total"]

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


def _check_numbers(times: int, cache_gib: float, cache_dir: str | None) -> None:
    if times < 1:
        raise ValueError(f"times must be at least 1, got {times}")
    if cache_gib < 0:
        raise ValueError(f"cache_gib must be 0 or more, got {cache_gib}")
    if cache_dir is not None and not cache_gib:
        raise ValueError("cache_dir needs cache_gib above 0: with 0, no images are cached")


@torch.no_grad()
def init_blur_passthrough(layer: nn.Conv2d) -> None:
    """Initialise a student's last layer to pass the blurry image, its first three input channels.

    The features get little weight.
    """
    layer.weight *= FEATURES_SHARE
    layer.weight[:, :3] = torch.eye(3)[..., None, None]
    layer.bias.zero_()  # type: ignore[union-attr]  # it has one


def sharp_labels(batch: DeblurBatch, order: ChannelOrder) -> tuple[list[int], Tensor]:
    """Return the planes of the sharp images of a batch, and the images ``(N, B, 3, H, W)``.

    Raises ConfigError without sharp images, or if samples have images at different planes.
    """
    planes = batch["planes"]
    if not planes.shape[1] or (planes != planes[0]).any():
        raise ConfigError(
            "labels: sharp needs sharp images at the same planes of every exposure of a batch; set "
            "data.train_frames above 0, or data.batch_size to 1"
        )
    return planes[0].tolist(), reorder_channels(batch["images"], order).transpose(0, 1)


def windows_around(spikes: Tensor, times: Sequence[int], length: int) -> Tensor:
    """Return the planes around some times: ``(B, T, h, w)`` -> ``(len(times), B, length, h, w)``.

    Raises ConfigError if a window leaves the stream.
    """
    spans = [centred_window(time, length) for time in times]
    for time, (start, stop) in zip(times, spans, strict=True):
        if start < 0 or stop > spikes.shape[1]:
            raise ConfigError(
                f"the window of {length} planes around plane {time} leaves the {spikes.shape[1]} "
                "planes of the stream; record more planes before and after the exposure"
            )
    return torch.stack([spikes[:, start:stop] for start, stop in spans]).float()
