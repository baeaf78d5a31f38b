"""Lightning module that trains the teacher's networks, self-supervised."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal, cast

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler

from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm.bsn import BSN
from spike_zoo.methods.ssdm.edsr import EDSR
from spike_zoo.methods.ssdm.ldn import RATIO
from spike_zoo.methods.ssdm.losses import denoising_loss, upsampling_loss
from spike_zoo.methods.ssdm.sdm import grey, random_window_rate
from spike_zoo.methods.ssdm.teacher import SHORT_WINDOW, SSDMTeacher
from spike_zoo.methods.ssdm.teacher_module import Part, TeacherModule
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.options import check_choice
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes.windows import centred_window, spread_planes
from spike_zoo.tasks.batch import DeblurBatch
from spike_zoo.tasks.exposures import Exposure, ExposureResult

Stage = Literal["denoise", "upsample"]
LEARNING_RATES = {"denoise": 3e-4, "upsample": 2e-4}  # as released
TIMES = 5  # of one exposure


class SSDMTeacherModule(TeacherModule):
    """Train one network of the teacher, without sharp images.

    The loss of stage ``"denoise"`` is the distance of BSN's output to its noisy input; the blind
    spot excludes the trivial solution. There is one update for each of several times of every
    batch, in order of time. This stage uses manual optimisation, so the trainer cannot clip or
    accumulate gradients. The loss of stage ``"upsample"`` is the distance of the enlarged rate of
    the exposure to the grey blurry image.

    An EDSR trained only on exposures amplifies the noise that remains after denoising. With
    ``from_denoised`` it is trained on denoised rates of short windows whose times differ from pixel
    to pixel: their expected value is the exposure, and their noise is that of a short window.

    ``val/psnr`` compares BSN's image with the sharp grey image at the spikes' resolution, or the
    enlarged exposure with the grey blur, or, with ``from_denoised``, enlarged short windows with
    sharp grey images. ``val/psnr_gain`` is the gain over the firing rate, or over bilinear
    enlargement.

    Args:
        stage: The network to train: ``"denoise"`` (BSN) or ``"upsample"`` (EDSR).
        bsn: File to initialise the denoiser from. In stage ``"upsample"``, the denoiser that
            completes the cascade, so that the module can deblur.
        edsr: File to initialise the enlarging network from. In stage ``"denoise"``, the enlarging
            network that completes the cascade.
        short_window: Planes around a time that are averaged, odd.
        rate_gain: Factor of the rates before the networks, see :class:`SSDMTeacher`, so that files
            trained with another threshold can be used for the initialisation.
        times: Updates from every batch in stage ``"denoise"``.
        learning_rate: Learning rate of Adam; by default as released, 3e-4 and 2e-4.
        schedule: Schedule of the learning rate per update, see :func:`schedule_factor`.
        clamp_loss: Whether the loss clips images to [0, 1], as published. Pixels outside then get
            no gradient. All pixels of BSN, which has no biases, may be outside initially, and BSN
            then never learns.
        start_from_neighbours: Whether an untrained BSN is initialised as the mean of a pixel's
            neighbours.
        from_denoised: Whether stage ``"upsample"`` is trained on denoised short windows, see above.
            Not in the paper; needs ``bsn``.
        evaluation: Arguments of :class:`DeblurModule`.

    Raises:
        ValueError: If an argument is outside its range.
        ConfigError: If ``from_denoised`` is used without ``bsn``, or in stage ``"denoise"``.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Eq. (9) and (10); five times and one update each as released.
    """

    def __init__(
        self,
        stage: Stage = "denoise",
        bsn: str | None = None,
        edsr: str | None = None,
        short_window: int = SHORT_WINDOW,
        rate_gain: float = 1.0,
        times: int = TIMES,
        learning_rate: float | None = None,
        schedule: ScheduleKind = "cosine",
        clamp_loss: bool = False,
        start_from_neighbours: bool = False,
        from_denoised: bool = False,
        **evaluation: Any,
    ) -> None:
        check_choice("stage", stage, Stage)
        if times < 1:
            raise ValueError(f"times must be at least 1, got {times}")
        trains_bsn = stage == "denoise"
        if from_denoised and (trains_bsn or not bsn):
            raise ConfigError("from_denoised: needs stage upsample and the denoiser's file in bsn")
        teacher = SSDMTeacher(
            BSN() if trains_bsn or bsn else nn.Identity(),
            nn.Identity() if trains_bsn and not edsr else EDSR(),
            short_window,
            rate_gain=rate_gain,
        )
        paths: dict[Part, str | None] = {"bsn": bsn, "edsr": edsr}
        files: dict[Part, str | None] = {part: path for part, path in paths.items() if path}
        super().__init__(teacher, files, **evaluation)
        self.save_hyperparameters()
        self.stage, self.times = stage, times
        self.learning_rate = LEARNING_RATES[stage] if learning_rate is None else learning_rate
        check_schedule(schedule, self.learning_rate)
        self.automatic_optimization = not trains_bsn
        (teacher.edsr if trains_bsn else teacher.bsn).requires_grad_(False)
        if isinstance(self.network, BSN) and start_from_neighbours:
            self.network.start_from_neighbours()

    @property
    def network(self) -> BSN | EDSR:
        """The trained network, a part of the teacher, so that checkpoints contain it once."""
        trained = self.teacher.bsn if self.stage == "denoise" else self.teacher.edsr
        return cast("BSN | EDSR", trained)

    @property
    def has_own_weights(self) -> bool:
        """Whether a file is given for the trained network."""
        return ("bsn" if self.stage == "denoise" else "edsr") in self.files

    def forward(self, rates: Tensor) -> Tensor:
        """Denoise or enlarge firing rates ``(B, 1, h, w)``; the result is in [0, 1]."""
        return self.network(rates).clamp(0.0, 1.0)

    def training_step(self, batch: DeblurBatch, batch_idx: int) -> Tensor | None:
        """Return the loss in stage ``"upsample"``; update BSN and return None in ``"denoise"``."""
        if self.stage == "upsample":
            enlarged = self.network(self._rates_to_enlarge(batch))
            loss = upsampling_loss(enlarged, batch["blur"], clamp=self.hparams["clamp_loss"])
            self.log("train/total", loss, batch_size=len(batch["blur"]))
            return loss
        optimizer = cast(LightningOptimizer, self.optimizers())
        scheduler = cast(LRScheduler, self.lr_schedulers())
        losses = []
        for loss in self.denoising_losses(batch):
            optimizer.zero_grad()
            self.manual_backward(loss)
            optimizer.step()
            scheduler.step()
            losses.append(loss.detach())
        self.log("train/total", torch.stack(losses).mean(), batch_size=len(batch["blur"]))
        return None

    def _rates_to_enlarge(self, batch: DeblurBatch) -> Tensor:
        """Return the input of EDSR in training, ``(B, 1, h, w)``."""
        start, stop = batch["exposure"][0].tolist()
        if not self.hparams["from_denoised"]:
            return self.teacher.rate(batch["spikes"], start, stop)
        window, draws = self.teacher.short_window, self.generator("times")
        with torch.no_grad():
            rates = random_window_rate(batch["spikes"], start, stop, window, draws)
            rates *= self.teacher.rate_gain
            return cast("Tensor", self.teacher.bsn(rates).clamp(0.0, 1.0))

    def denoising_losses(self, batch: DeblurBatch) -> Iterator[Tensor]:
        """Yield the loss at each time of a batch, computed lazily after the previous update."""
        start, stop = batch["exposure"][0].tolist()
        for time in spread_planes(start, stop, self.times):
            window = centred_window(time, self.teacher.short_window)
            rates = self.teacher.rate(batch["spikes"], *window)
            clamp = self.hparams["clamp_loss"]
            yield denoising_loss(rates, self.network(rates), clamp=clamp)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam and the schedule of the learning rate per update."""
        updates = self.times if self.stage == "denoise" else 1
        parameters = self.network.parameters()
        return scheduled_adam(self, parameters, self.learning_rate, per_batch=updates)

    def restore_exposure(self, exposure: Exposure) -> ExposureResult | None:
        """Return the network's images, the images without the network, and the target.

        The target of denoised rates is the sharp image; that of an enlarged exposure is the blur.
        With ``from_denoised``, the target of enlarged rates is also the sharp image.
        """
        if self.stage == "denoise":
            if not exposure.planes:
                return None
            rates = self._short_rates(exposure, exposure.planes)
            truth = grey(F.interpolate(exposure.images, scale_factor=1 / RATIO, mode="bilinear"))
            denoised = self._as_images(self(rates).float(), exposure)
            return ExposureResult(denoised, self._as_images(rates, exposure), truth)
        is_instant = self.hparams["from_denoised"] and bool(exposure.planes)
        rates = self._exposure_rates(exposure, exposure.planes if is_instant else None)
        plain = F.interpolate(rates, scale_factor=RATIO, mode="bilinear")
        # the network's target is the blurry image, so its output is an image and no rate
        degraded = self._as_images(plain, exposure)
        truth = exposure.images if is_instant else exposure.blur
        return ExposureResult(self(rates).float(), degraded, grey(truth))

    def image_of(self, exposure: Exposure) -> Tensor:
        """Return the network's image of an exposure, or of the exposure's middle plane."""
        middle = [exposure.middle]
        if self.stage == "denoise":
            return self._as_images(self(self._short_rates(exposure, middle)).float(), exposure)
        planes = middle if self.hparams["from_denoised"] else None
        return self(self._exposure_rates(exposure, planes)).float()

    def _short_rates(self, exposure: Exposure, planes: Sequence[int]) -> Tensor:
        """Return firing rates around some planes, ``(N, 1, h, w)``."""
        windows = [centred_window(plane, self.teacher.short_window) for plane in planes]
        return torch.cat([self.teacher.rate(exposure.spikes, *window) for window in windows])

    def _exposure_rates(self, exposure: Exposure, planes: Sequence[int] | None) -> Tensor:
        """Return the input of EDSR: the rate of an exposure, or denoised rates around planes."""
        if planes is None:
            return self.teacher.rate(exposure.spikes, *exposure.span)
        denoised = self.teacher.bsn(self._short_rates(exposure, planes))
        return cast("Tensor", denoised.clamp(0.0, 1.0))

    def _as_images(self, rates: Tensor, exposure: Exposure) -> Tensor:
        """Return the networks' input or output rates divided by the rate of white, in [0, 1]."""
        return (rates / (exposure.rate_scale * self.teacher.rate_gain)).clamp(0.0, 1.0)

    def ready_teacher(self) -> SSDMTeacher:
        """Return the cascade with loaded weights.

        Raises:
            ConfigError: If a network of the cascade is missing; the message names the option.
        """
        for part in ("bsn", "edsr"):
            if isinstance(getattr(self.teacher, part), nn.Identity):
                raise ConfigError(
                    f"this module has one network of the cascade; set {part} to the other's file "
                    "in training, or use SSDMCascadeModule with both files"
                )
        return super().ready_teacher()
