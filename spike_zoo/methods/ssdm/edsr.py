"""Super-resolution network (EDSR) of the teacher, for firing rates at four times the size."""

from typing import Self

import torch
from torch import Tensor, nn

from spike_zoo.checkpoints.state_dicts import WeightsSource, check_entries, read_state_dict
from spike_zoo.nn.fast.layout import set_memory_format
from spike_zoo.nn.precision import in_full_precision

CHANNELS = 64
BLOCKS = 16
MEAN = 0.446  # grey level that is subtracted before the network and added after it
FIXED_PARTS = ("sub_mean", "add_mean")  # not trained; missing in some files


class MeanShift(nn.Conv2d):
    """Add a constant by a frozen 1x1 convolution, as in the published weights."""

    def __init__(self, shift: float) -> None:
        super().__init__(1, 1, kernel_size=1)
        self.requires_grad_(False)
        nn.init.ones_(self.weight)
        nn.init.constant_(self.bias, shift)  # type: ignore[arg-type]  # it has a bias


class EDSRBlock(nn.Module):
    """Residual block of two 3x3 convolutions with a ReLU between them, no normalisation."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            _conv(CHANNELS, CHANNELS), nn.ReLU(inplace=True), _conv(CHANNELS, CHANNELS)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Return the input ``(B, 64, H, W)`` plus the residual."""
        return x + self.body(x)


def _conv(in_channels: int, out_channels: int) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, kernel_size=3, padding=1)


class EDSR(nn.Module):
    """Up-sample grey images by four: the EDSR baseline with one channel.

    Entries of the state dict have the published names. Convolutions compute channels-last, which
    is faster on CPUs.

    Shape:
        - Input: ``(B, 1, H, W)`` in [0, 1].
        - Output: ``(B, 1, 4H, 4W)``, not clipped.

    Source: Lim et al., *Enhanced Deep Residual Networks for Single Image Super-Resolution*, CVPRW
    2017, as used by Chen et al., *SpikeReveal*, NeurIPS 2024, Sec. 3.3.
    """

    def __init__(self) -> None:
        super().__init__()
        self.sub_mean = MeanShift(-MEAN)
        self.add_mean = MeanShift(MEAN)
        self.head = nn.Sequential(_conv(1, CHANNELS))
        blocks = [EDSRBlock() for _ in range(BLOCKS)]
        self.body = nn.Sequential(*blocks, _conv(CHANNELS, CHANNELS))
        first = [_conv(CHANNELS, 4 * CHANNELS), nn.PixelShuffle(2)]
        second = [_conv(CHANNELS, 4 * CHANNELS), nn.PixelShuffle(2)]
        self.tail = nn.Sequential(nn.Sequential(*first, *second), _conv(CHANNELS, 1))
        set_memory_format(self, torch.channels_last)

    @classmethod
    def from_official(cls, source: WeightsSource) -> Self:
        """Return the network with published weights, in evaluation mode.

        The two mean shifts may be missing in the file, because they are not trained.

        Args:
            source: A file or a state dict, see :meth:`LDN.from_official`.

        Raises:
            WeightsError: If names or shapes differ; the message names the first of each kind.
            MissingFileError: If the file does not exist.
        """
        network = cls()
        entries = network.state_dict().items()
        fixed = {name: value for name, value in entries if name.startswith(FIXED_PARTS)}
        state = fixed | read_state_dict(source)
        check_entries(state, network.state_dict(), source, "EDSR")
        network.load_state_dict(state)
        return network.eval()

    def forward(self, image: Tensor) -> Tensor:
        """Up-sample ``(B, 1, H, W)`` to ``(B, 1, 4H, 4W)``."""
        # full precision at input and output: the 8 bits of bfloat16 would quantise the image
        shallow = self.head(in_full_precision(self.sub_mean, image))
        deep = shallow + self.body(shallow)
        enlarged = in_full_precision(self.tail[1], self.tail[0](deep))
        return in_full_precision(self.add_mean, enlarged)
