"""Training stages of SCI (trained, frozen and absent parts), and options that they share."""

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Final, Literal, NamedTuple

from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.analysis.fam import FAM
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.entropy import Passes
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.inter import Context, TemporalPrior
from spike_zoo.methods.sci.codec.networks import RD_WEIGHTS, Analysis, Boundary, IFrameMotion
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.features.motion_estimation import DISMotion, MotionEstimation
from spike_zoo.nn.options import check_choice

Stage = Literal["fem", "motion", "codec", "fam", "joint"]
Quantisation = Literal["mixed", "noise", "ste"]
Target = Literal["features", "images"]
Estimation = Literal["network", "dis"]


class StageSpec(NamedTuple):
    """One stage of the training."""

    learns: tuple[str, ...]  # parts of SCICodec that are trained
    frozen: tuple[str, ...]  # parts that are used but not trained, in evaluation mode
    absent: tuple[str, ...]  # parts that are not built
    starts_from: tuple[Stage, ...]  # stages whose checkpoints the stage starts from
    clip_length: int  # planes of a sample, or of each image in a sample of several images


_CODEC = ("intra", "inter", "gains")
_DECODER = (
    *("intra.synthesis", "inter.motion_synthesis", "inter.contexts", "inter.synthesis"),
    "gains.decoder",
)
_ENCODER = (
    *("intra.analysis", "inter.analysis", "gains.encoder", "intra.entropy", "inter.entropy"),
)
STAGES: Final[Mapping[Stage, StageSpec]] = MappingProxyType(
    {  # parts that are trained, frozen and absent; earlier stages; planes
        "fem": StageSpec(("fem",), (), ("motion", *_CODEC, "fmvr", "fam"), (), 13),
        "motion": StageSpec(("motion",), ("fem",), (*_CODEC, "fmvr", "fam"), ("fem",), 13),
        "codec": StageSpec((*_CODEC, "motion"), ("fem",), ("fmvr", "fam"), ("fem", "motion"), 13),
        "fam": StageSpec(("fam",), ("fem", "motion"), (*_CODEC, "fmvr"), ("fem", "motion"), 41),
        "joint": StageSpec(
            *((*_DECODER, "fmvr", "fam"), ("fem", "motion", *_ENCODER), ()),
            *(("fem", "codec", "fam"), 41),
        ),
    }
)
"""All stages, in order.

Source: the paper's three stages of training, ``fem``, ``fam`` and ``joint``. ``motion`` and
``codec`` are ours, for the parts that the paper calls pre-trained.
"""


TRAINED_PARTS: Final[Mapping[Stage, tuple[str, ...]]] = MappingProxyType(
    {
        **{stage: row.learns for stage, row in STAGES.items()},
        "joint": ("fem", "motion", "intra", "inter", "gains", "fmvr"),
    }
)
"""Parts of a stage's checkpoint that later stages load."""


def with_part(row: StageSpec, part: str, group: Literal["learns", "frozen", "absent"]) -> StageSpec:
    """Return a stage with a part moved to another group: trained, frozen or absent."""
    groups: dict[str, Any] = {
        name: tuple(other for other in getattr(row, name) if other != part)
        for name in ("learns", "frozen", "absent")
    }
    groups[group] += (part,)
    return row._replace(**groups)


def check_weights(**weights: float) -> None:
    """Raise unless weights of losses are finite and not negative."""
    for name, weight in weights.items():
        if not 0 <= weight < float("inf"):
            raise ValueError(f"{name} must be 0 or more, got {weight}")


@dataclass(frozen=True)
class NetworkOptions:
    """Architecture of SCI's networks. A stage builds only the networks that it needs.

    Attributes:
        fem_width: Width of :class:`FEM`; 1 is the paper's, as for the other widths.
        codec_width: Width of motion estimation and of the codec.
        fam_width: Width of :class:`FAM`.
        pathway: Pathways of :class:`FEM`.
        pfu: Fusion of both pathways of :class:`FEM`.
        attention: Whether :class:`FEM` has attention between the filters of a pathway.
        binarize: Whether the filters of :class:`FEM` have binary weights.
        align: Alignment of neighbours in :class:`FAM`.
        neighbors: Number of neighbouring features that :class:`FAM` uses.
        context: Use of the warped previous frame, see :class:`Inter`.
        temporal_prior: Predictors of P-frame symbols, see :class:`Inter`.
        fmvr: Whether decoded motion is refined before analysis. Bitstreams do not change.
        skip: Whether P-frames can leave out motion, content or frames, see :class:`Inter`.
        block_transform: Whether frames have a linear transform of blocks, see :class:`Intra` and
            :class:`Inter`.
        passes: Passes of the entropy models: 2, or 4, which need fewer bits and more time.
        estimation: Motion estimation between features: the ``"network"`` of the paper, or optical
            flow by ``"dis"``, without training.
        scale_input: Whether spikes are multiplied by 0.6 / rate scale, see :class:`SCINetworks`.
    """

    fem_width: float = 1.0
    codec_width: float = 1.0
    fam_width: float = 1.0
    pathway: Pathway = "dual"
    pfu: Fusion = "pfu"
    attention: bool = True
    binarize: bool = True
    align: Align = "afr"
    neighbors: int = 4
    context: Context = "condition"
    temporal_prior: TemporalPrior = "full"
    fmvr: bool = True
    skip: bool = False
    block_transform: bool = False
    passes: Passes = 2
    estimation: Estimation = "network"
    scale_input: bool = True

    def codec(self, absent: Container[str]) -> SCICodec:
        """Build the networks, without the parts of a stage that are absent."""
        analysis: FAM | None = None
        if "fam" not in absent:
            analysis = FAM(self.align, self.neighbors, self.fam_width)
        check_choice("estimation", self.estimation, Estimation)
        motion: MotionEstimation | DISMotion | None = None
        if "motion" not in absent:
            is_dis = self.estimation == "dis"
            motion = DISMotion() if is_dis else MotionEstimation(self.codec_width)
        coding = None
        if "intra" not in absent:
            coding = CodecNetworks.of_width(
                *(self.codec_width, self.context, self.temporal_prior),
                fmvr="fmvr" not in absent,
                skip=self.skip,
                block_transform=self.block_transform,
                passes=self.passes,
            )
        switches = {"attention": self.attention, "binarize": self.binarize}
        return SCICodec(
            FEM(self.fem_width, self.pathway, self.pfu, **switches),
            motion,
            analysis,
            coding,
            scale_input=self.scale_input,
        )


@dataclass(frozen=True)
class CodingOptions:
    """Options of training and evaluation of the codec.

    Attributes:
        rd_weights: Weight of distortion at each of the four qualities.
        phase_fractions: Fractions of stage ``codec`` for I-frames, for pairs of an I- and a
            P-frame, and for all images of a sample. In the last, networks with ``skip`` leave out
            dense motion and content of random P-frames, as encoders do.
        quantization: Rounding of decoded values in training: ``"noise"`` adds uniform noise,
            ``"ste"`` rounds with a straight-through gradient, ``"mixed"`` starts with noise and
            continues with rounding.
        target: Targets of decoded features: ``"features"`` are the coded features, as in the paper;
            ``"images"`` are the ground-truth images, which have no noise, with the brightness and
            contrast of each channel of the features.
        freeze_motion: Whether motion estimation is not trained in stage ``codec``.
        motion_loss_weight: Weight of the mean difference of decoded and estimated motion in pixels
            at the start of the run. It falls to a fifth at the end. 0 is the paper's.
        gop: Features per group of pictures in evaluation.
        boundary: Whether the analysis uses features of other groups of pictures (``"sequence"``)
            or not (``"gop"``).
        iframe_motion: Motion from an I-frame to the previous frame: ``"zero"``, or estimated by
            the decoder (``"decoder_me"``).
        analysis: Place of the analysis: the ``"decoder"``, as in the paper, or the ``"encoder"``,
            which then codes the images of FAM in all three channels.
    """

    rd_weights: Sequence[float] = RD_WEIGHTS
    phase_fractions: Sequence[float] = (0.45, 0.25, 0.3)
    quantization: Quantisation = "mixed"
    target: Target = "features"
    freeze_motion: bool = False
    motion_loss_weight: float = 0.0
    gop: int = 8
    boundary: Boundary = "sequence"
    iframe_motion: IFrameMotion = "zero"
    analysis: Analysis = "decoder"

    def __post_init__(self) -> None:
        check_choice("quantization", self.quantization, Quantisation)
        check_choice("target", self.target, Target)
        check_choice("boundary", self.boundary, Boundary)
        check_choice("iframe_motion", self.iframe_motion, IFrameMotion)
        check_choice("analysis", self.analysis, Analysis)
        rd_weights, phases = list(self.rd_weights), list(self.phase_fractions)
        if len(rd_weights) != QUALITIES or not all(
            0 < weight < float("inf") for weight in rd_weights
        ):
            raise ValueError(f"rd_weights must be {QUALITIES} positive weights, got {rd_weights}")
        if len(phases) != 3 or min(phases) < 0 or sum(phases) <= 0:
            raise ValueError(f"phase_fractions must be 3 parts of the run, got {phases}")
        check_weights(motion_loss_weight=self.motion_loss_weight)
        if self.gop < 1:
            raise ValueError(f"gop must be 1 or more, got {self.gop}")


NETWORKS = NetworkOptions()
CODING = CodingOptions()
