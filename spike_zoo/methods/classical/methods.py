"""Classical reconstruction methods TFP, TFI and TFSTP for clips and recordings."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Self

from torch import Tensor

from spike_zoo.methods.classical.functional import tfi, tfp
from spike_zoo.methods.classical.intervals import BLACK
from spike_zoo.methods.classical.plasticity import tfstp, tfstp_stream
from spike_zoo.methods.classical.streams import ascending_blocks, tfi_stream, tfp_stream
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.clips import ClipReconstruction

CLIP_LENGTH = 151  # planes of one clip in evaluations, by default


class ClassicalMethod(ClipReconstruction):
    """A method without weights: firing rates over the rate scale, clipped to [0, 1].

    A subclass defines :meth:`rate` for clips and :meth:`rates` for recordings. Recordings are
    processed at full size, on the CPU, in blocks of planes; their ends are not mirrored.

    Args:
        settings: Arguments of the method's constructor.

    Attributes:
        hparams: The settings.
    """

    clip_length = CLIP_LENGTH
    applies_maps = True

    def __init__(self, **settings: Any) -> None:
        super().__init__()
        self.hparams: dict[str, Any] = settings

    def adjusted(self, **settings: int) -> Self:
        """Return a copy with some settings changed; raise ValueError if one is out of range."""
        return type(self)(**{**self.hparams, **settings})

    def rate(self, spikes: Tensor, center: int) -> Tensor:
        """Return spikes per plane ``(B, H, W)`` at one plane of clips ``(B, T, H, W)``."""
        raise NotImplementedError

    def rates(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterable[Tensor]:
        """Yield spikes per plane ``(n, H, W)`` at planes of a recording, in the order given."""
        raise NotImplementedError

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1].

        ``rate_scale`` is spikes per plane at white, ``(B,)``; 1 by default.
        """
        rate = self.rate(spikes, spikes.shape[1] // 2)[:, None]
        if rate_scale is not None:
            rate = rate / rate_scale.view(-1, 1, 1, 1)
        return rate.clamp(0, 1)

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        for block in self.rates(recording, centers):
            for image in block.div_(rate_scale).clamp_(0, 1):
                yield image[None]


class TFP(ClassicalMethod):
    """Texture from playback: the firing rate in a window around the plane.

    Args:
        window: Planes of the window, cut to the clip.

    Raises:
        ValueError: If the window is empty.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> TFP(window=21).reconstruct(pattern_take(0).recording, [40]).shape
        torch.Size([1, 1, 40, 48])
    """

    def __init__(self, window: int = 41) -> None:
        if window < 1:
            raise ValueError(f"a window has at least 1 plane, got {window}")
        super().__init__(window=window)
        self.window = window

    @property
    def margin(self) -> int:
        """Half the window."""
        return self.window // 2

    def rate(self, spikes: Tensor, center: int) -> Tensor:
        """Return the firing rate in the window, ``(B, H, W)``."""
        return tfp(spikes, center, self.window)

    def rates(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the firing rates in windows of a recording, ``(n, H, W)``."""
        return tfp_stream(recording, centers, self.window)


class TFI(ClassicalMethod):
    """Texture from interval: one over the inter-spike interval, averaged over some planes.

    Args:
        average: Planes to average over, cut to the clip; 9 suits fast scenes, 21 slow ones.

    Raises:
        ValueError: If ``average`` is below 1.

    Example:
        >>> from spike_zoo.testing import pattern_take
        >>> TFI(average=9).reconstruct(pattern_take(0).recording, [30, 40]).shape
        torch.Size([2, 1, 40, 48])
    """

    def __init__(self, average: int = 1) -> None:
        if average < 1:
            raise ValueError(f"average is at least 1 plane, got {average}")
        super().__init__(average=average)
        self.average = average

    @property
    def margin(self) -> int:
        """Half the averaged planes, and the longest interval that is not black."""
        return self.average // 2 + BLACK

    def rate(self, spikes: Tensor, center: int) -> Tensor:
        """Return the mean of one over the intervals, ``(B, H, W)``."""
        return tfi(spikes, center, self.average)

    def rates(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the means at planes of a recording, ``(n, H, W)``."""
        return tfi_stream(recording, centers, self.average)


class TFSTP(ClassicalMethod):
    """Texture from short-term plasticity: a causal model of a synapse."""

    def rate(self, spikes: Tensor, center: int) -> Tensor:
        """Return the mean of both estimates, ``(B, H, W)``; planes after the centre are ignored."""
        return tfstp(spikes, center)

    def rates(self, recording: SpikeRecording, centers: Sequence[int]) -> Iterator[Tensor]:
        """Yield the means, ``(1, H, W)``; the recording is read again if centres descend."""
        for ascending in ascending_blocks(centers, len(recording)):
            for rate in tfstp_stream(recording, ascending):
                yield rate[None]
