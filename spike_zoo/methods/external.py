"""Networks of other repositories: the code in a folder that the user has cloned, as a method."""

import importlib
import os
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any, Final, Literal

import torch
from einops import EinopsError, rearrange, reduce
from torch import Tensor, nn

from spike_zoo.checkpoints.state_dicts import check_entries, read_state_dict
from spike_zoo.errors import ConfigError, MissingFileError, UsageError, first_line
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.clips import read_clip
from spike_zoo.tasks.reconstruction import ReconstructionModule

SAFE: Final = "SPIKE_ZOO_SAFE"
"""Environment variable of ``--safe``: code outside this package is not executed."""

Scale = Literal["spikes", "rate", "playback"]


class ExternalModule(ReconstructionModule):
    """Run a network whose code and weights are in a folder of the user.

    The code is imported and executed in this process; the option ``--safe`` rejects it. Weights are
    read without executing code. The network gets clips ``(B, T, H, W)`` of T frames, in the stated
    layout, and returns an image for each.

    Args:
        repository: Folder of the repository. ``~`` is the home folder.
        network: Import path of the class inside the folder, for example ``"models.net.Net"``.
        arguments: Keyword arguments of the constructor.
        weights: File of the state dict, inside the folder or absolute. None keeps the values of the
            constructor.
        strip: Prefix of the names in the file that the network's names do not have.
        planes: Planes of a clip; the image belongs to plane ``planes // 2``.
        average: Number of consecutive planes whose mean is one frame.
        layout: Axes of the input in the notation of einops, of ``B T H W``, for example
            ``"B 1 T H W"`` or ``"(B T) 1 H W"``.
        pad: Height and width are padded to multiples of this number by repeating the border.
        scale: Values of the frames: ``"spikes"`` as they are, ``"rate"`` divided by the rate scale,
            so that white is 1 on average, ``"playback"`` the mean of all planes, one frame, divided
            by the rate scale.
        output: ``"rate"`` if the network returns spikes per plane, which are divided by the rate
            scale, or the factor of brightness, 1 if white is 1. The image is the first entry of a
            sequence.
        state: Whether the network is called with the state it returned for the previous clip (None
            for the first) and returns a pair of output and state.

    Raises:
        MissingFileError: If the folder, the module or the weights do not exist.
        ConfigError: If the network cannot be built, does not take the input, or returns no image.
        WeightsError: If the weights do not fit.
        UsageError: With ``--safe``.
    """

    has_own_weights = True  # a test needs no checkpoint

    def __init__(
        self,
        repository: str,
        network: str,
        arguments: Mapping[str, Any] | None = None,
        weights: str | None = None,
        strip: str = "",
        planes: int = 41,
        average: int = 1,
        layout: str = "B T H W",
        pad: int = 1,
        scale: Scale = "spikes",
        output: Literal["rate"] | float = "rate",
        state: bool = False,
    ) -> None:
        super().__init__()
        if min(planes, average, pad) < 1 or planes % average:
            raise ConfigError(
                "planes, average and pad: at least 1, and planes a multiple of average, got "
                f"{planes}, {average} and {pad}"
            )
        self.save_hyperparameters()
        self.clip_length = planes
        folder = Path(repository).expanduser()
        network_class = _imported(folder, network)
        try:
            self.network: nn.Module = network_class(**(arguments or {}))
        except Exception as error:  # any error of the user's code
            raise ConfigError(
                f"arguments: {network} cannot be built with {dict(arguments or {})}: "
                f"{type(error).__name__}: {first_line(error)}"
            ) from error
        if weights is not None:
            self._read_weights(folder / Path(weights).expanduser(), strip)
        self.network.requires_grad_(False).eval()

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        return self._images(spikes, rate_scale, None)[0]

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        if not self.hparams["state"]:
            yield from super()._stream(recording, centers, rate_scale)
            return
        scale, state = torch.full((1,), rate_scale, device=self.device), None
        with eval_mode(self):
            for center in centers:
                spikes = read_clip(recording, center, self.clip_length, self.device)[None]
                with torch.inference_mode():
                    image, state = self._images(spikes.float(), scale, state)
                yield image[0].cpu()

    def _images(
        self,
        spikes: Tensor,
        rate_scale: Tensor | None,
        state: Any,  # noqa: ANN401  (the network's)
    ) -> tuple[Tensor, Any]:
        """Return the images of clips, and the state of the network after them."""
        options, (count, _, height, width) = self.hparams, spikes.shape
        scale = torch.ones(count) if rate_scale is None else rate_scale
        scale = scale.to(spikes).view(-1, 1, 1, 1)
        frames = reduce(spikes, "B (T n) H W -> B T H W", "mean", n=options["average"])
        if options["scale"] == "playback":
            frames = frames.mean(dim=1, keepdim=True)
        if options["scale"] != "spikes":
            frames = frames / scale
        bottom, right = -height % options["pad"], -width % options["pad"]
        frames = nn.functional.pad(frames, (0, right, 0, bottom), mode="replicate")
        try:
            inputs = rearrange(frames, f"B T H W -> {options['layout']}")
        except EinopsError as error:
            raise ConfigError(f"layout: {options['layout']!r}: {first_line(error)}") from error
        try:
            result = self.network(inputs, state) if options["state"] else self.network(inputs)
            result, state = result if options["state"] else (result, None)
            image = result if isinstance(result, Tensor) else result[0]
        except Exception as error:  # any error of the user's code
            raise ConfigError(
                f"{options['network']}: failed for an input of the shape {tuple(inputs.shape)}: "
                f"{type(error).__name__}: {first_line(error)}; check layout, planes, pad and state"
            ) from error
        size = (height + bottom, width + right)
        if (
            not isinstance(image, Tensor)
            or image.shape[-2:] != size
            or image.numel() != count * (size[0] * size[1])
        ):
            found = tuple(image.shape) if isinstance(image, Tensor) else type(image).__name__
            raise ConfigError(
                f"{options['network']}: returned {found}, expected one image of {size[0]} x "
                f"{size[1]} pixels for each of {count} clips; check layout and pad"
            )
        image = image.reshape(count, 1, *size)[..., :height, :width].float()
        factor = 1 / scale if options["output"] == "rate" else options["output"]
        return (image * factor).clamp(0.0, 1.0), state

    def _read_weights(self, file: Path, strip: str) -> None:
        if not file.is_file():
            raise MissingFileError.at(file, "weights: there is no such file in the repository")
        state = {name.removeprefix(strip): value for name, value in read_state_dict(file).items()}
        expected = self.network.state_dict()
        check_entries(state, expected, file, type(self.network).__name__)
        self.network.load_state_dict(state)


def _imported(folder: Path, network: str) -> type[nn.Module]:
    """Import the class of a network from a folder, and forget the names of its modules.

    Repositories use the same names for their modules (``model``, ``utils``), so that a second one
    would otherwise get the modules of the first.
    """
    if os.environ.get(SAFE):
        raise UsageError(f"--safe: the network {network} needs code of {folder} to be executed")
    if not folder.is_dir():
        raise MissingFileError.at(folder, "repository: there is no such folder; clone it there")
    warnings.warn(f"the code of {folder} is executed: {network}", stacklevel=3)
    module_name, _, class_name = network.rpartition(".")
    with _importing_from(folder):
        try:
            found = getattr(importlib.import_module(module_name), class_name)
        except Exception as error:  # any error of the user's code
            raise ConfigError(
                f"network: {network} cannot be imported from {folder}: {type(error).__name__}: "
                f"{first_line(error)}"
            ) from error
    if not (isinstance(found, type) and issubclass(found, nn.Module)):
        raise ConfigError(f"network: {network} is not a class of torch.nn.Module")
    return found


@contextmanager
def _importing_from(folder: Path) -> Iterator[None]:
    """Import modules of a folder first; they are not found by their names afterwards."""
    own = {path.stem for path in folder.iterdir() if path.suffix in ("", ".py")}

    def take() -> dict[str, ModuleType]:
        names = [name for name in sys.modules if name.partition(".")[0] in own]
        return {name: sys.modules.pop(name) for name in names}

    own -= {*sys.stdlib_module_names}
    others, path = take(), str(folder.resolve())
    sys.path.insert(0, path)
    try:
        yield
    finally:
        sys.path.remove(path)
        take()
        sys.modules.update(others)
