"""Lightning modules that deblur with the teacher alone, and the unchanged blurry image."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from spike_zoo.checkpoints.partial import load_part
from spike_zoo.errors import ConfigError
from spike_zoo.methods.ssdm.bsn import BSN
from spike_zoo.methods.ssdm.edsr import EDSR, FIXED_PARTS
from spike_zoo.methods.ssdm.ldn import RATIO
from spike_zoo.methods.ssdm.teacher import SHORT_WINDOW, SSDMTeacher, check_gain
from spike_zoo.nn.options import check_choice, options_of
from spike_zoo.spikes.packing import unpack_tensor
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.spikes.windows import planes_inside
from spike_zoo.tasks.deblurring import DeblurModule
from spike_zoo.utils.files import required_weights

Upsampler = Literal["edsr", "bilinear", "nearest"]
Part = Literal["bsn", "edsr"]
STAGES = {"bsn": "denoise", "edsr": "upsample"}
FIXED: dict[Part, tuple[str, ...]] = {"bsn": (), "edsr": FIXED_PARTS}


@dataclass(frozen=True)
class TeacherOptions:
    """Files and switches of the teacher.

    Attributes:
        bsn: File of the denoiser: a checkpoint of :class:`SSDMTeacherModule`, or the authors' file.
        edsr: File of the enlarging network.
        use_bsn: Whether rates are denoised.
        upsampler: Up-sampling of rates to the image's size: ``"edsr"``, ``"bilinear"`` or
            ``"nearest"``.
        short_window: Planes averaged around a time, odd.
        align_input: Whether more planes are averaged along the optical flow instead, which
            replaces the denoiser.
        rate_gain: Factor of the rates before the networks, see :class:`SSDMTeacher`. The spikes of
            a student are not scaled.

    Raises:
        ValueError: If an option is outside its range, or contradicts another option.
    """

    bsn: str | None = None
    edsr: str | None = None
    use_bsn: bool = True
    upsampler: Upsampler = "edsr"
    short_window: int = SHORT_WINDOW
    align_input: bool = False
    rate_gain: float = 1.0

    def __post_init__(self) -> None:
        check_gain(self.rate_gain)
        check_choice("upsampler", self.upsampler, Upsampler)
        if self.align_input and self.use_bsn:
            raise ValueError("align_input replaces the denoiser: set use_bsn to false")

    @property
    def files(self) -> dict[Part, str | None]:
        """File of each network."""
        return {"bsn": self.bsn, "edsr": self.edsr}


TEACHER = TeacherOptions()


def make_teacher(options: TeacherOptions) -> SSDMTeacher:
    """Return a cascade with untrained networks."""
    upsampler = options.upsampler
    return SSDMTeacher(
        BSN() if options.use_bsn else nn.Identity(),
        EDSR() if upsampler == "edsr" else nn.Upsample(scale_factor=RATIO, mode=upsampler),
        options.short_window,
        align_input=options.align_input,
        rate_gain=options.rate_gain,
    )


class TeacherModule(DeblurModule):
    """Base of modules that contain the cascade; its weights are read from files or a checkpoint.

    Args:
        teacher: The cascade.
        files: Paths of the networks' weights, see :func:`load_teacher`.
        lpips: See :class:`DeblurModule`.
        protocols: See :class:`DeblurModule`.
    """

    def __init__(
        self,
        teacher: SSDMTeacher,
        files: Mapping[Part, str | None],
        lpips: str = "auto",
        protocols: Sequence[str] = (),
    ) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.teacher = teacher
        self.files = files
        self.window_length = teacher.short_window
        self._has_weights = False
        self.register_load_state_dict_post_hook(_set_has_weights)  # type: ignore[no-untyped-call]  # torch's

    @property
    def has_own_weights(self) -> bool:
        """Whether all weights are read from files, so that no checkpoint is needed."""
        return True

    def read_files(self) -> None:
        """Load the networks by :func:`load_teacher`, unless they were loaded before."""
        if not self._has_weights:
            load_teacher(self.teacher, self.files)
            self._has_weights = True

    def setup(self, stage: str) -> None:
        """Create the metrics; read the files if no checkpoint will be loaded."""
        super().setup(stage)
        if self._trainer is None or not self._trainer.ckpt_path:
            self.read_files()

    def ready_teacher(self) -> SSDMTeacher:
        """Return the cascade with loaded weights; errors are those of :func:`load_teacher`."""
        self.read_files()
        return self.teacher

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        """Return the teacher's images, ``(len(times), B, 3, 4h, 4w)``."""
        return self.ready_teacher()(blur, spikes, times, span).float()

    def _stream(
        self,
        image: Tensor,
        recording: SpikeRecording,
        centers: Sequence[int],
        exposure: tuple[int, int] | None,
        memory_gib: float | None,
    ) -> Iterator[Tensor]:
        teacher = self.ready_teacher()
        start, stop = planes_inside(len(recording)) if exposure is None else exposure
        half = self.window_length // 2
        low = min([start, *(center - half for center in centers)])
        high = max([stop, *(center + half + 1 for center in centers)])
        if teacher.align_input:  # intervals between spikes have any length
            low, high = 0, len(recording)
        packed = torch.tensor(recording.read_packed(low, high), device=self.device)
        spikes, blur = unpack_tensor(packed, recording.shape[2])[None], image[None].to(self.device)
        long = teacher.long_exposure(spikes, (start - low, stop - low))
        count = teacher.times_at_once(blur, memory_gib)
        for first in range(0, len(centers), count):
            part = [center - low for center in centers[first : first + count]]
            yield from teacher.labels(blur, long, spikes, part)[:, 0].float().cpu()


class SSDMCascadeModule(TeacherModule):
    """Deblur with the teacher alone, without a student; not trainable.

    Args:
        teacher: Files and switches of the teacher.
        lpips: See :class:`DeblurModule`.
        protocols: See :class:`DeblurModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Chen et al., *SpikeReveal: Unlocking Temporal Sequences from Real Blurry Inputs with
    Spike Streams*, NeurIPS 2024, Sec. 3.3; rows I-1 to I-3 of Table 3.
    """

    def __init__(
        self, teacher: TeacherOptions = TEACHER, lpips: str = "auto", protocols: Sequence[str] = ()
    ) -> None:
        options = options_of(TeacherOptions, teacher)
        super().__init__(make_teacher(options), options.files, lpips=lpips, protocols=protocols)
        self.save_hyperparameters()


class BlurryInputModule(DeblurModule):
    """Baseline that returns the blurry image at every time.

    Args:
        lpips: See :class:`DeblurModule`.
        protocols: See :class:`DeblurModule`.
    """

    def __init__(self, lpips: str = "auto", protocols: Sequence[str] = ()) -> None:
        super().__init__(lpips=lpips, protocols=protocols)
        self.save_hyperparameters()

    def images_at(
        self, blur: Tensor, spikes: Tensor, times: Sequence[int], span: tuple[int, int]
    ) -> Tensor:
        """Return the blurry images once for each time."""
        return blur.expand(len(times), *blur.shape)

    def _stream(
        self,
        image: Tensor,
        recording: SpikeRecording,
        centers: Sequence[int],
        exposure: tuple[int, int] | None,
        memory_gib: float | None,
    ) -> Iterator[Tensor]:
        return iter([image] * len(centers))


def load_teacher(teacher: SSDMTeacher, files: Mapping[Part, str | Path | None]) -> None:
    """Load the weights of a cascade's networks; parts that are not networks need no file.

    A file is a checkpoint or export of a module that contains the teacher, or the authors' file.

    Raises:
        ConfigError: If the path of a network is missing.
        MissingFileError: If a file does not exist.
        WeightsError: If a file does not hold the network.
    """
    for part, path in files.items():
        network, stage = getattr(teacher, part), STAGES[part]
        if not isinstance(network, BSN | EDSR):
            continue
        name = type(network).__name__
        if path is None:
            raise ConfigError(
                f"{part}: the teacher needs weights of {name}; give the checkpoint that "
                f"configs/ssdm_{stage}.yaml trained, or disable the network"
            )
        fit = f"python -m spike_zoo fit --config configs/ssdm_{stage}.yaml"
        advice = f"'{fit} --run_dir runs/ssdm/{stage}' trains them"
        file = required_weights(path, f"file of {name}'s weights", advice)
        load_part(network, file, f"teacher.{part}", optional=FIXED[part])


def _set_has_weights(module: nn.Module, keys: object) -> None:
    module._has_weights = True  # type: ignore[assignment]
