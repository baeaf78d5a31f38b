"""LPIPS with a backbone from a local file, without downloads."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from spike_zoo.checkpoints.backbones import BACKBONES, load_backbone
from spike_zoo.checkpoints.state_dicts import check_entries
from spike_zoo.metrics.facts import METRICS

MIN_SIDE = 32  # for smaller images a layer of the backbone has no output


class _NoInitialisation(TorchFunctionMode):
    """Leave new weights uninitialised: random weights of a backbone take a second."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # noqa: ANN401  (torch's)
        """Return the tensor of a function of ``torch.nn.init``; call every other function."""
        if getattr(func, "__module__", None) == "torch.nn.init":
            return args[0] if args else kwargs["tensor"]
        return func(*args, **(kwargs or {}))


def lpips_network(state: dict[str, Tensor], backbone: str = "alex") -> nn.Module:
    """Return the frozen LPIPS network with a backbone's weights.

    Args:
        state: Torchvision's state dict; the entries of ``features`` suffice.
        backbone: ``"alex"``, ``"vgg"`` or ``"squeeze"``.

    Raises:
        WeightsError: If the state dict belongs to another network.
    """
    import lpips

    with _NoInitialisation():
        network = lpips.LPIPS(net=backbone, pnet_rand=True, verbose=False)
    layers = network.net.state_dict()  # "slice2.3.weight" is layer 3 of the trunk
    published = {name: f"features.{name.split('.', 1)[1]}" for name in layers}
    expected = {published[name]: tensor for name, tensor in layers.items()}
    trunk = {name: tensor for name, tensor in state.items() if name.startswith("features.")}
    check_entries(trunk, expected, "the backbone", BACKBONES[backbone].builder)
    network.net.load_state_dict({name: trunk[published[name]] for name in layers})
    return network.eval().requires_grad_(False)


class LPIPS:
    """LPIPS distance of each image to its ground truth; lower is better.

    Args:
        path: File of the backbone; by default the local file of ``find_backbone``.
        backbone: ``"alex"``, ``"vgg"`` or ``"squeeze"``.
        rescale: Map [0, 1] to [-1, 1], the range that the network was trained for. STIR's published
            numbers were measured without rescaling (Fan et al., NeurIPS 2024).

    Source: Zhang et al., *The Unreasonable Effectiveness of Deep Features as a Perceptual
    Metric*, CVPR 2018.
    """

    higher_is_better = METRICS["lpips"].higher_is_better

    def __init__(
        self, path: str | Path | None = None, backbone: str = "alex", *, rescale: bool = True
    ) -> None:
        self._network = lpips_network(load_backbone(backbone, path), backbone)
        self.rescale = rescale

    def __call__(self, images: Tensor, targets: Tensor) -> Tensor:
        """Return the distances ``(B,)`` of images ``(B, 1 or 3, H, W)`` in [0, 1].

        Raises:
            ValueError: If the images are smaller than 32 x 32.
        """
        if min(images.shape[-2:]) < MIN_SIDE:
            raise ValueError(
                f"LPIPS needs at least {MIN_SIDE} x {MIN_SIDE} pixels, got "
                f"{images.shape[-1]} x {images.shape[-2]} (W x H)"
            )
        network = self._network.to(images.device)
        pair = [image.clamp(0, 1).expand(-1, 3, -1, -1) for image in (images, targets)]
        with torch.no_grad():
            return network(*pair, normalize=self.rescale).flatten()
