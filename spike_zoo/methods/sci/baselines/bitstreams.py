"""Rates of SCI's bitstreams with trained weights."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import Tensor

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import FAM
from spike_zoo.methods.sci.codec.refinement import STEPS
from spike_zoo.methods.sci.features.fem import FEM
from spike_zoo.methods.sci.training.codec import RATES, CodingStageModule
from spike_zoo.methods.sci.training.stage_module import StagedModule
from spike_zoo.tasks.coding import CodedScene, CodingModule, CompressedRecording


class SCIBitstreamModule(CodingModule):
    """Code whole recordings with SCI at its four qualities, without training.

    Rates count complete ``.sci`` files. Images are those of the analysis or, without an analysis,
    the means of decoded features over their channels.

    Args:
        weights: Name or path for :func:`spike_zoo.load` of SCI with a codec: a checkpoint of stage
            ``"codec"`` or ``"joint"``.
        gop: Features per group of pictures, the first of which is an I-frame.
        analysis: Name or path for :func:`spike_zoo.load` of stage ``"fam"``, whose analysis
            replaces that of ``weights``. It was not trained together with the codec.
        effort: As ``compress --effort``, 0 to 3.
    """

    rates = RATES
    coder: CodingStageModule

    def __init__(
        self, weights: str, gop: int = 8, analysis: str | None = None, effort: int = 0
    ) -> None:
        super().__init__()
        if gop < 1:
            raise ConfigError(f"gop: 1 feature or more, got {gop}")
        if effort not in range(len(STEPS)):
            raise ConfigError(f"effort: 0 to {len(STEPS) - 1}, got {effort}")
        self.save_hyperparameters()

    def setup(self, stage: str) -> None:
        """Read the weights, and check the data."""
        self.read_weights()
        super().setup(stage)

    def read_weights(self) -> None:
        """Read the networks, if they are not read yet."""
        if hasattr(self, "coder"):
            return
        weights, analysis = self.hparams["weights"], self.hparams["analysis"]
        coder = load(weights)
        if not isinstance(coder, CodingStageModule):
            raise ConfigError(
                f"weights: {weights} is not of SCI with a codec; name a checkpoint "
                "of stage 'codec' or 'joint'"
            )
        if analysis is not None:
            coder.codec.fam = analysis_of(analysis, coder.codec.fem)
        coder.coding_options = replace(coder.coding_options, gop=self.hparams["gop"])
        coder.effort = self.hparams["effort"]
        self.rate_points = coder.rate_points
        self.coder = coder.requires_grad_(False).eval().to(self.device)

    def prepared(self, scene: CodedScene) -> Any:  # noqa: ANN401  (the coder's own)
        """Return the features of a recording, which all qualities share."""
        return self.coder.prepared(scene)

    def compress(self, prepared: Any, point: int) -> CompressedRecording:  # noqa: ANN401  (the coder's own)
        """Encode a recording; the size is that of the complete file."""
        return self.coder.compress(prepared, point)

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Return the decoded images at the planes of the scene's images."""
        return self.coder.decompress(coded, scene)


def analysis_of(weights: str, fem: FEM) -> FAM:
    """Return the analysis of weights of stage ``"fam"``, for the features of a codec's FEM."""
    module = load(weights)
    if not isinstance(module, StagedModule) or not isinstance(module.codec.fam, FAM):
        raise ConfigError(
            f"analysis: {weights} is not of SCI with an analysis of images; name a checkpoint "
            "of stage 'fam'"
        )
    trained, used = module.codec.fem.state_dict(), fem.state_dict()
    if trained.keys() != used.keys() or any(not trained[name].equal(used[name]) for name in used):
        raise ConfigError(
            f"analysis: {weights} was trained on the features of another FEM than the codec's; "
            "name one that was trained from the same checkpoint of stage 'fem'"
        )
    return module.codec.fam
