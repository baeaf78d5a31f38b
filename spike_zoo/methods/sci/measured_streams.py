"""Rows of SCI's own bitstreams: what weights that are there already write, and what comes back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from spike_zoo.errors import ConfigError
from spike_zoo.methods.loading import load
from spike_zoo.methods.sci.module import SCICodecModule
from spike_zoo.tasks.coding import CodingModule

if TYPE_CHECKING:
    from torch import Tensor

    from spike_zoo.tasks.coding import Compressed, Scene


class SCIBitstreamModule(CodingModule):
    """Code whole recordings with SCI at its four qualities; nothing is trained.

    The bytes are those of complete ``.sci`` files. Pictures are those of the analysis or, where
    weights have none, the means of decoded features over their channels.

    Args:
        weights: What :func:`spike_zoo.load` takes of SCI with a codec: a checkpoint of stage
            ``"codec"`` or ``"joint"``.
        gop: Features of a group of pictures, the first of which is an I-frame.

    Raises:
        ConfigError: If ``gop`` is below 1.
    """

    def __init__(self, weights: str, gop: int = 8) -> None:
        super().__init__()
        if gop < 1:
            raise ConfigError(f"gop: 1 feature or more, got {gop}")
        self.save_hyperparameters()
        self.coder: SCICodecModule | None = None

    def setup(self, stage: str) -> None:
        """Read the weights before anything is computed.

        Raises:
            ConfigError: If they are of no codec, or the data do not fit.
            MissingFileError: If there are none.
        """
        self.read_weights()
        super().setup(stage)

    def read_weights(self) -> None:
        """Read the networks, once.

        Raises:
            ConfigError: If there is no codec among them.
        """
        if self.coder is not None:
            return
        found = load(self.hparams["weights"])
        if not isinstance(found, SCICodecModule) or not found.rate_points:
            raise ConfigError(
                f"weights: {self.hparams['weights']} is not of SCI with a codec; name a checkpoint "
                "of stage 'codec' or 'joint'"
            )
        found.hparams["gop"] = self.hparams["gop"]
        self.rate_points = found.rate_points
        self.coder = found.requires_grad_(False).eval().to(self.device)

    def prepared(self, scene: Scene) -> Any:  # noqa: ANN401  (the coder's own)
        """Return what all qualities of a recording share: its features."""
        return self._coder.prepared(scene)

    def compress(self, prepared: Any, point: int) -> Compressed:  # noqa: ANN401  (the coder's own)
        """Return a recording's bitstream; the size is that of the whole file."""
        return self._coder.compress(prepared, point)

    def decompress(self, coded: Compressed, scene: Scene) -> Tensor:
        """Return the pictures at the planes that are asked for."""
        return self._coder.decompress(coded, scene)

    @property
    def _coder(self) -> SCICodecModule:
        return cast("SCICodecModule", self.coder)
