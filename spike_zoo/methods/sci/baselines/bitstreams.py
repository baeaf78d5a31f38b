"""Rows of SCI's own bitstreams: what weights that are there already write, and what comes back."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

from torch import Tensor

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import FAM
from spike_zoo.methods.sci.features.fem import FEM
from spike_zoo.methods.sci.training.codec import RATES, CodingStageModule
from spike_zoo.methods.sci.training.stage_module import StagedModule
from spike_zoo.tasks.coding import CodedScene, CodingModule, Compressed


class SCIBitstreamModule(CodingModule):
    """Code whole recordings with SCI at its four qualities; nothing is trained.

    The bytes are those of complete ``.sci`` files. Pictures are those of the analysis or, where
    weights have none, the means of decoded features over their channels.

    Args:
        weights: What :func:`spike_zoo.load` takes of SCI with a codec: a checkpoint of stage
            ``"codec"`` or ``"joint"``.
        gop: Features of a group of pictures, the first of which is an I-frame.
        analysis: What :func:`spike_zoo.load` takes of stage ``"fam"``: its analysis makes the
            pictures, which was not trained together with the codec. None leaves them to
            ``weights``.

    Raises:
        ConfigError: If ``gop`` is below 1.
    """

    rates = RATES

    def __init__(self, weights: str, gop: int = 8, analysis: str | None = None) -> None:
        super().__init__()
        if gop < 1:
            raise ConfigError(f"gop: 1 feature or more, got {gop}")
        self.save_hyperparameters()
        self.coder: CodingStageModule | None = None

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
            ConfigError: If there is no codec among them, or the named analysis was not trained on
                its features.
        """
        if self.coder is not None:
            return
        weights, analysis = self.hparams["weights"], self.hparams["analysis"]
        found = load(weights)
        if not isinstance(found, CodingStageModule):
            raise ConfigError(
                f"weights: {weights} is not of SCI with a codec; name a checkpoint "
                "of stage 'codec' or 'joint'"
            )
        if analysis is not None:
            found.codec.fam = analysis_of(analysis, found.codec.fem)
        found.coding = replace(found.coding, gop=self.hparams["gop"])
        self.rate_points = found.rate_points
        self.coder = found.requires_grad_(False).eval().to(self.device)

    def prepared(self, scene: CodedScene) -> Any:  # noqa: ANN401  (the coder's own)
        """Return what all qualities of a recording share: its features."""
        return self._coder.prepared(scene)

    def compress(self, prepared: Any, point: int) -> Compressed:  # noqa: ANN401  (the coder's own)
        """Return a recording's bitstream; the size is that of the whole file."""
        return self._coder.compress(prepared, point)

    def decompress(self, coded: Compressed, scene: CodedScene) -> Tensor:
        """Return the pictures at the planes that are asked for."""
        return self._coder.decompress(coded, scene)

    @property
    def _coder(self) -> CodingStageModule:
        return cast("CodingStageModule", self.coder)


def analysis_of(weights: str, fem: FEM) -> FAM:
    """Return the analysis of weights of stage ``"fam"``, to look at what a codec leaves.

    Args:
        weights: What :func:`spike_zoo.load` takes.
        fem: What makes the codec's features.

    Raises:
        ConfigError: If they are of another stage or method, or learned from other features.
    """
    found = load(weights)
    if not isinstance(found, StagedModule) or not isinstance(found.codec.fam, FAM):
        raise ConfigError(
            f"analysis: {weights} is not of SCI with an analysis of pictures; name a checkpoint "
            "of stage 'fam'"
        )
    theirs, ours = found.codec.fem.state_dict(), fem.state_dict()
    if theirs.keys() != ours.keys() or any(not theirs[name].equal(ours[name]) for name in ours):
        raise ConfigError(
            f"analysis: {weights} learned from the features of another FEM than the codec's; name "
            "one that began with the same"
        )
    return found.codec.fam
