"""Rates of SCI's bitstreams with trained weights."""

from torch import Tensor

from spike_zoo.checkpoints.loading import load
from spike_zoo.errors import ConfigError
from spike_zoo.methods.sci.analysis.fam import FAM
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.refinement import STEPS
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.fem import FEM
from spike_zoo.methods.sci.training.coding import RATES, PreparedRecording, SCICoder
from spike_zoo.tasks.base import MethodModule
from spike_zoo.tasks.evaluators.coding import CodedScene, CodingEvaluator, CompressedRecording


class SCIBitstreamModule(MethodModule):
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

    coder: SCICoder

    def __init__(
        self, weights: str, gop: int = 8, analysis: str | None = None, effort: int = 0
    ) -> None:
        super().__init__(CodingEvaluator(range(QUALITIES), RATES))
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
        codec = getattr(load(weights), "codec", None)
        if not isinstance(codec, SCICodec) or codec.codec_networks is None:
            raise ConfigError(
                f"weights: {weights} is not of SCI with a codec; name a checkpoint "
                "of stage 'codec' or 'joint'"
            )
        if analysis is not None:
            codec.fam = analysis_of(analysis, codec.fem)
        self.codec = codec.requires_grad_(False).eval().to(self.device)
        self.coder = SCICoder(codec, self.hparams["gop"], self.hparams["effort"])

    def prepared(self, scene: CodedScene) -> PreparedRecording:
        """Return the features of a recording, which all qualities share."""
        return self.coder.prepared(scene)

    def compress(self, prepared: PreparedRecording, point: int) -> CompressedRecording:
        """Encode a recording; the size is that of the complete file."""
        return self.coder.compress(prepared, point)

    def decompress(self, coded: CompressedRecording, scene: CodedScene) -> Tensor:
        """Return the decoded images at the planes of the scene's images."""
        return self.coder.decompress(coded, scene)


def analysis_of(weights: str, fem: FEM) -> FAM:
    """Return the analysis of weights of stage ``"fam"``, for the features of a codec's FEM."""
    codec = getattr(load(weights), "codec", None)
    if not isinstance(codec, SCICodec) or not isinstance(codec.fam, FAM):
        raise ConfigError(
            f"analysis: {weights} is not of SCI with an analysis of images; name a checkpoint "
            "of stage 'fam'"
        )
    trained, used = codec.fem.state_dict(), fem.state_dict()
    if trained.keys() != used.keys() or any(not trained[name].equal(used[name]) for name in used):
        raise ConfigError(
            f"analysis: {weights} was trained on the features of another FEM than the codec's; "
            "name one that was trained from the same checkpoint of stage 'fem'"
        )
    return codec.fam
