"""SCI for inference: codec and reconstruction, without training modules and Lightning."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor

from spike_zoo.methods.sci.codec.networks import FeatureStream
from spike_zoo.methods.sci.training.options import CODING, CodingOptions, NetworkOptions
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.options import options_of
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks.clips import ClipReconstruction


class SCI(ClipReconstruction):
    """Compress recordings by :attr:`codec`, and reconstruct images.

    :class:`StagedModule` has the methods of this class, too.

    Args:
        networks: Architecture.
        absent: Parts of :class:`SCICodec` that the training stage does not have.
        clip_length: Planes of a clip.
        coding: Options of the coder.
    """

    margin = 20  #: planes on either side that the intervals of an image reach at common rates

    def __init__(
        self,
        networks: NetworkOptions | Mapping[str, Any],
        absent: Sequence[str],
        clip_length: int,
        coding: CodingOptions | Mapping[str, Any] = CODING,
    ) -> None:
        super().__init__()
        self.hparams: dict[str, Any] = {"networks": networks, "coding": coding}
        self.hparams["absent"] = list(absent)
        self.hparams["clip_length"] = self.clip_length = clip_length
        self.codec = codec = options_of(NetworkOptions, networks).codec(absent)
        options = options_of(CodingOptions, coding)
        codec.boundary, codec.iframe_motion = options.boundary, options.iframe_motion
        codec.analysis, codec.rd_weights = options.analysis, tuple(options.rd_weights)

    def finalize(self: Any) -> None:
        """Convert the entropy models to integers, if there is a codec."""
        if self.codec.codec_networks is not None:
            self.codec.update_tables()

    def forward(self: Any, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the middle plane: ``(B, T, H, W)`` -> ``(B, 1, H, W)`` in [0, 1]."""
        image: Tensor = self.codec(spikes, rate_scale)
        return image.clamp(0.0, 1.0)

    def _stream(
        self: Any, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        with eval_mode(self):
            yield from map(FeatureStream(self.codec, recording, rate_scale).image, centers)
