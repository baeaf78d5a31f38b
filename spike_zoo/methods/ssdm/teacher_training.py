"""Training of the teacher's two networks, each from blurry images and spikes alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Literal, cast, get_args

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim.lr_scheduler import LRScheduler

from spike_zoo.batch import DeblurBatch
from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm.bsn import BSN
from spike_zoo.methods.ssdm.edsr import EDSR
from spike_zoo.methods.ssdm.ldn import RATIO
from spike_zoo.methods.ssdm.losses import denoising_loss, enlarging_loss
from spike_zoo.methods.ssdm.sdm import grey, rate_of_own_times
from spike_zoo.methods.ssdm.teacher import SHORT_WINDOW, SSDMTeacher
from spike_zoo.methods.ssdm.teacher_module import Part, TeacherModule
from spike_zoo.nn.optimizers import scheduled_adam
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes.windows import centred_window, spread_planes
from spike_zoo.tasks.exposures import Exposure, ExposureResult

Stage = Literal["denoise", "upsample"]
LEARNING_RATES = {"denoise": 3e-4, "upsample": 2e-4}  # as released
TIMES = 5  # of one exposure


class SSDMTeacherModule(TeacherModule):
    """Train one network of the teacher; neither stage sees a sharp image.

    Stage ``"denoise"`` holds BSN to its own noisy input, which its blind spot keeps from it: one
    update for each of some times of every batch, in order of time. It therefore optimises by
    itself; the trainer cannot clip or accumulate gradients. Stage ``"upsample"`` holds the enlarged
    rate of the exposure to the blurry image in grey.

    An EDSR that saw clean exposures alone sharpens what noise the denoiser leaves. With
    ``from_denoised`` it learns from what is denoised: from short windows whose times differ from
    pixel to pixel, so that their mean is the exposure and their noise that of the instant.

    ``val/psnr`` is BSN's image against the sharp one in grey at the spikes' size, or the enlarged
    exposure against the grey blur, or, ``from_denoised``, enlarged instants against sharp images in
    grey; ``val/psnr_gain`` is how much better that is than the firing rate itself, or bilinear
    enlargement.

    Args:
        stage: Which network is trained.
        bsn: File to begin the denoiser from; in stage ``"upsample"``, the one that completes the
            cascade, so that the module deblurs.
        edsr: File to begin the enlarging network from; in stage ``"denoise"`` likewise.
        short_window: Planes around a time that are averaged, odd.
        rate_gain: What rates are multiplied by before the networks see them, see
            :class:`SSDMTeacher`: files trained with another threshold are then a beginning.
        times: Updates from every batch in stage ``"denoise"``.
        learning_rate: Of Adam; by default as released, 3e-4 and 2e-4.
        schedule: How it moves, see :func:`schedule_factor`; per update.
        clamp_loss: Whether the loss sees images clipped to [0, 1], as published. A pixel that has
            left the range then gets no gradient; BSN, which has no bias, may begin with them all
            outside and never learn.
        start_from_neighbours: Whether an untrained BSN gives the mean of a pixel's neighbours and
            learns what to change.
        from_denoised: Whether stage ``"upsample"`` learns to enlarge what the denoiser leaves, see
            above, which is not the paper's; needs ``bsn``.
        lpips: See :class:`DeblurModule`.
        protocols: See there.

    Raises:
        ValueError: If an argument is outside its range.
        ConfigError: If ``from_denoised`` has no denoiser, or belongs to another stage.

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
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        if stage not in get_args(Stage):
            raise ValueError(f"stage must be one of {get_args(Stage)}, got {stage!r}")
        if times < 1:
            raise ValueError(f"times must be at least 1, got {times}")
        trains_bsn = stage == "denoise"
        if from_denoised and (trains_bsn or not bsn):
            raise ConfigError("from_denoised: stage upsample, with the denoiser's file in bsn")
        teacher = SSDMTeacher(
            BSN() if trains_bsn or bsn else nn.Identity(),
            nn.Identity() if trains_bsn and not edsr else EDSR(),
            short_window,
            rate_gain=rate_gain,
        )
        given: dict[Part, str | None] = {"bsn": bsn, "edsr": edsr}
        files: dict[Part, str | None] = {part: path for part, path in given.items() if path}
        super().__init__(teacher, files, lpips=lpips, protocols=protocols)
        self.save_hyperparameters()
        self.stage, self.times = stage, times
        self.learning_rate = learning_rate or LEARNING_RATES[stage]
        check_schedule(schedule, self.learning_rate)
        self.automatic_optimization = not trains_bsn
        (teacher.edsr if trains_bsn else teacher.bsn).requires_grad_(False)
        if isinstance(self.network, BSN) and start_from_neighbours:
            self.network.start_from_neighbours()

    @property
    def network(self) -> BSN | EDSR:
        """The network that is trained: one of the teacher's, so that checkpoints hold it once."""
        trained = self.teacher.bsn if self.stage == "denoise" else self.teacher.edsr
        return cast("BSN | EDSR", trained)

    @property
    def has_own_weights(self) -> bool:
        """Whether the file of the network that is trained is named."""
        return ("bsn" if self.stage == "denoise" else "edsr") in self.files

    def forward(self, rates: Tensor) -> Tensor:
        """Denoise or enlarge firing rates ``(B, 1, h, w)``; the result is in [0, 1]."""
        return self.network(rates).clamp(0.0, 1.0)

    def training_step(self, batch: DeblurBatch, batch_idx: int) -> Tensor | None:
        """Return the loss of the enlarged exposure; update by itself where rates are denoised."""
        if self.stage == "upsample":
            enlarged = self.network(self._rates_to_enlarge(batch))
            loss = enlarging_loss(enlarged, batch["blur"], clamp=self.hparams["clamp_loss"])
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
        """Return what the network learns to enlarge to the blurry image, ``(B, 1, h, w)``."""
        start, stop = batch["exposure"][0].tolist()
        if not self.hparams["from_denoised"]:
            return self.teacher.rate(batch["spikes"], start, stop)
        window, draws = self.teacher.short_window, self.generator("times")
        with torch.no_grad():
            rates = rate_of_own_times(batch["spikes"], start, stop, window, draws)
            rates *= self.teacher.rate_gain
            return cast("Tensor", self.teacher.bsn(rates).clamp(0.0, 1.0))

    def denoising_losses(self, batch: DeblurBatch) -> Iterator[Tensor]:
        """Yield the loss at each time of a batch, made when it is asked for."""
        start, stop = batch["exposure"][0].tolist()
        for time in spread_planes(start, stop, self.times):
            window = centred_window(time, self.teacher.short_window)
            rates = self.teacher.rate(batch["spikes"], *window)
            clamp = self.hparams["clamp_loss"]
            yield denoising_loss(rates, self.network(rates), clamp=clamp)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """Return Adam with a learning rate that moves every update."""
        updates = self.times if self.stage == "denoise" else 1
        parameters = self.network.parameters()
        return scheduled_adam(self, parameters, self.learning_rate, per_batch=updates)

    def compared(self, exposure: Exposure) -> ExposureResult | None:
        """Return denoised rates beside sharp images, or the enlarged exposure beside the blur.

        Rates that were denoised before they are enlarged stand beside sharp images too.
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
        # the network learns the blur itself, so what it gives is no rate any more
        before = self._as_images(plain, exposure)
        truth = exposure.images if is_instant else exposure.blur
        return ExposureResult(self(rates).float(), before, grey(truth))

    def image_of(self, exposure: Exposure) -> Tensor:
        """Return the network's own image of an exposure: all of it, or its middle."""
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
        """Return what is enlarged: the rate of an exposure, or denoised rates around planes."""
        if planes is None:
            return self.teacher.rate(exposure.spikes, *exposure.span)
        denoised = self.teacher.bsn(self._short_rates(exposure, planes))
        return cast("Tensor", denoised.clamp(0.0, 1.0))

    def _as_images(self, rates: Tensor, exposure: Exposure) -> Tensor:
        """Return rates that the networks see, or give, divided by what white is."""
        return (rates / (exposure.rate_scale * self.teacher.rate_gain)).clamp(0.0, 1.0)

    def ready_teacher(self) -> SSDMTeacher:
        """Return the cascade with its weights.

        Raises:
            ConfigError: If a network of the cascade is missing; names it.
        """
        for part in ("bsn", "edsr"):
            if isinstance(getattr(self.teacher, part), nn.Identity):
                raise ConfigError(
                    f"this module holds one network of the cascade; name the other's file in {part}"
                    " when it is trained, or use SSDMCascadeModule with the files of both"
                )
        return super().ready_teacher()
