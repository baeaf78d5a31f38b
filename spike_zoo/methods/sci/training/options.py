"""Options of networks and of coding, which SCI's training modules share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from spike_zoo.methods.sci.analysis.alignment import Align
from spike_zoo.methods.sci.analysis.fam import FAM, ClassFAM
from spike_zoo.methods.sci.codec.codec import SCICodec
from spike_zoo.methods.sci.codec.frames import CodecNetworks
from spike_zoo.methods.sci.codec.inter import Context, TemporalPrior
from spike_zoo.methods.sci.codec.networks import LAMBDAS, Boundary, IFrameMotion
from spike_zoo.methods.sci.codec.quantization import Quantisation
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.fem import FEM, Fusion, Pathway
from spike_zoo.methods.sci.features.motion_estimation import MotionEstimation
from spike_zoo.methods.sci.training.stage_table import StageSpec
from spike_zoo.nn.options import check_choice

Target = Literal["features", "images"]


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
        block_transform: Whether I-frames have a linear transform of blocks, see :class:`Intra`.
        scale_input: Whether spikes are divided by the rate scale, see :class:`SCICodec`.
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
    scale_input: bool = True

    def codec(self, row: StageSpec, classes: int | None = None) -> SCICodec:
        """Build the networks of a stage.

        Args:
            row: Specification of the stage.
            classes: Number of classes that the analysis predicts; None for images.
        """
        analysis: FAM | ClassFAM | None = None
        if "fam" not in row.absent:
            options = (self.align, self.neighbors, self.fam_width)
            analysis = FAM(*options) if classes is None else ClassFAM(classes, *options)
        coding = None
        if "intra" not in row.absent:
            prior = (self.context, self.temporal_prior)
            coding = CodecNetworks.of_width(
                self.codec_width,
                *prior,
                fmvr="fmvr" not in row.absent,
                skip=self.skip,
                block_transform=self.block_transform,
            )
        switches = {"attention": self.attention, "binarize": self.binarize}
        return SCICodec(
            FEM(self.fem_width, self.pathway, self.pfu, **switches),
            None if "motion" in row.absent else MotionEstimation(self.codec_width),
            analysis,
            coding,
            scale_input=self.scale_input,
        )


@dataclass(frozen=True)
class CodingOptions:
    """Options of training and evaluation of the codec.

    Attributes:
        lambdas: Weight of distortion at each of the four qualities.
        phase_fractions: Fractions of stage ``codec`` for I-frames, for pairs of an I- and a
            P-frame, and for all images of a sample.
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

    Raises:
        ValueError: If an option is outside its range; names the option.
    """

    lambdas: Sequence[float] = LAMBDAS
    phase_fractions: Sequence[float] = (0.45, 0.25, 0.3)
    quantization: Quantisation = "mixed"
    target: Target = "features"
    freeze_motion: bool = False
    motion_loss_weight: float = 0.0
    gop: int = 8
    boundary: Boundary = "sequence"
    iframe_motion: IFrameMotion = "zero"

    def __post_init__(self) -> None:
        choices = {
            "quantization": Quantisation,
            "target": Target,
            "boundary": Boundary,
            "iframe_motion": IFrameMotion,
        }
        for name, kind in choices.items():
            check_choice(name, getattr(self, name), kind)
        lambdas, phases = list(self.lambdas), list(self.phase_fractions)
        if len(lambdas) != QUALITIES or not all(0 < weight < float("inf") for weight in lambdas):
            raise ValueError(f"lambdas must be {QUALITIES} positive weights, got {lambdas}")
        if len(phases) != 3 or min(phases) < 0 or sum(phases) <= 0:
            raise ValueError(f"phase_fractions must be 3 parts of the run, got {phases}")
        check_weights(motion_loss_weight=self.motion_loss_weight)
        if self.gop < 1:
            raise ValueError(f"gop must be 1 or more, got {self.gop}")


NETWORKS = NetworkOptions()
CODING = CodingOptions()
