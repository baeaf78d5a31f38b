"""Local files of torchvision's weights for perceptual metrics and losses."""

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

import torch

from spike_zoo.checkpoints.weight_files import read_weights
from spike_zoo.errors import MissingFileError, WeightsError

FOLDER_VARIABLE = "SPIKE_ZOO_BACKBONES"
VGG19_LAYERS = 30  # up to and including relu5_1


@dataclass(frozen=True)
class Backbone:
    """Published file of torchvision's weights."""

    builder: str  #: name of the function in ``torchvision.models`` that builds the network
    filename: str  #: published name of the file; ends in the first digits of the file's SHA-256

    @property
    def digest(self) -> str:
        """Return the first digits of the file's SHA-256, as its name states them."""
        return Path(self.filename).stem.rsplit("-", 1)[1]


BACKBONES = {
    "alex": Backbone("alexnet", "alexnet-owt-7be5be79.pth"),
    "vgg": Backbone("vgg16", "vgg16-397923af.pth"),
    "squeeze": Backbone("squeezenet1_1", "squeezenet1_1-b8a52dc0.pth"),
    "vgg19": Backbone("vgg19", "vgg19-dcbb9e9d.pth"),
}


def backbone_folders() -> list[Path]:
    """Return the folders that are searched for backbones, in order of priority."""
    named = os.environ.get(FOLDER_VARIABLE)
    hub = Path(torch.hub.get_dir()) / "checkpoints"
    return [Path(named), hub] if named else [hub]


def find_backbone(name: str) -> Path | None:
    """Return the local file of a backbone, or None."""
    candidates = (folder / BACKBONES[name].filename for folder in backbone_folders())
    return next((path for path in candidates if path.is_file()), None)


def missing_backbone(name: str) -> MissingFileError:
    """Return an error that states the missing file and the folders to put it into."""
    filename = BACKBONES[name].filename
    folders = " or ".join(str(folder) for folder in backbone_folders())
    return MissingFileError(
        f"{filename} (torchvision's {BACKBONES[name].builder}) is missing: put it into {folders}, "
        f"or set {FOLDER_VARIABLE} to its folder, or give its path"
    )


def load_backbone(name: str, path: str | Path | None = None) -> dict[str, torch.Tensor]:
    """Load the state dict of a backbone, by default from the file of :func:`find_backbone`.

    Raises:
        MissingFileError: If the file does not exist; states where to put it.
        WeightsError: If a file of the published name has other content, or the content is not a
            state dict.
    """
    file = Path(path) if path is not None else find_backbone(name)
    if file is None:
        raise missing_backbone(name)
    if not file.is_file():
        raise MissingFileError.at(file, f"there is no such file; {missing_backbone(name)}")
    backbone = BACKBONES[name]
    if file.name == backbone.filename:
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        if not digest.startswith(backbone.digest):
            raise WeightsError(
                f"{file}: its SHA-256 begins with {digest[:8]}, the published file's with "
                f"{backbone.digest}. Copy it again, or rename it if it is meant to differ."
            )
    state = read_weights(file)
    if not isinstance(state, dict):
        raise WeightsError(f"{file}: holds a {type(state).__name__}, expected a state dict")
    return state


def vgg19_features(path: str | Path | None = None) -> torch.nn.Module:
    """Return VGG19 up to relu5_1: ``(B, 3, H, W)`` -> ``(B, 512, H/16, W/16)``.

    ``path`` is torchvision's file of weights; by default it is searched for. Errors are those of
    :func:`load_backbone`.
    """
    import torchvision

    with torch.device("meta"):  # random weights take seconds
        network = torchvision.models.vgg19(weights=None)
    try:
        network.load_state_dict(load_backbone("vgg19", path), assign=True)
    except RuntimeError as error:
        raise WeightsError(f"{path or 'the backbone'}: not the weights of VGG19") from error
    return network.features[:VGG19_LAYERS]
