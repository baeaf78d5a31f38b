"""Lightning module of SSMT."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, cast

import torch
from lightning.pytorch.utilities import rank_zero_warn
from torch import Tensor
from torch.nn import functional as F

from spike_zoo.checkpoints.loading import load
from spike_zoo.checkpoints.state_dicts import differences
from spike_zoo.errors import WeightsError
from spike_zoo.methods.classical.functional import tfi
from spike_zoo.methods.ssmt.motion import CLIP_PLANES
from spike_zoo.methods.ssmt.motion_module import SSMTMotionModule
from spike_zoo.methods.ssmt.network import (
    NETWORK,
    SSMT,
    STRIDE,
    ClipState,
    SSMTOptions,
    check_spacing,
)
from spike_zoo.nn.eval_mode import eval_mode
from spike_zoo.nn.options import options_of
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.spikes import SpikeRecording
from spike_zoo.tasks.base import ProfiledCall
from spike_zoo.tasks.batch import ReconstructionBatch, SceneBatch, Split
from spike_zoo.tasks.clips import ClipReconstruction, read_clip
from spike_zoo.tasks.evaluation import Evaluation, Origin
from spike_zoo.tasks.reconstruction import ReconstructionModule
from spike_zoo.tasks.scene_training import check_scenes, scene_terms, scene_windows
from spike_zoo.utils.files import required_weights


class SSMTModule(ReconstructionModule):
    """Train :class:`SSMT` on scenes, and reconstruct chains of clips with it.

    The motion network is frozen except for its flow head. Data are scenes with images 20 planes
    apart, see ``configs/ssmt.yaml``. The loss is the L1 distance of all images except for the
    first, which is reconstructed by another method.

    Args:
        width: Channels of the features.
        network: Further options of the network.
        initial: Method that reconstructs the first clip: ``"tfi:9"`` (TFI averaged over 9 planes),
            ``"self"`` (the network without memory), or any source for :func:`spike_zoo.load`. A
            method with clips of more than 41 planes needs scenes with the same ``clip_length``.
        motion_weights: Checkpoint of :class:`SSMTMotionModule`, loaded at the start of training.
        learn_flow_head: Whether the flow head is trained.
        learning_rate: Learning rate of Adam, betas 0.9 and 0.999.
        schedule: Schedule of the learning rate, see :func:`schedule_factor`.
        warmup: Fraction of the run in which the learning rate rises.
        bptt_clips: Clips of back-propagation through time: 1, or 0 for all clips of the scene.
        scale_input: Whether spikes and intervals are scaled by the rate scale.
        history: Clips before each image of :meth:`reconstruct`, at least 1. By default all earlier
            clips of the recording, so an image at plane 5000 needs 250 clips. Planes whose distance
            is no multiple of 20 belong to different chains.
        evaluation: Arguments of :class:`ReconstructionModule`.

    Raises:
        ValueError: If an argument is outside its range.

    Source: Dong et al., *Spike Stream Memory Transfer for Dynamic Scene Reconstruction*, AAAI 2026.
    """

    clip_length = CLIP_PLANES

    def __init__(
        self,
        width: int = 64,
        network: SSMTOptions = NETWORK,
        initial: str = "tfi:9",
        motion_weights: str | None = None,
        learn_flow_head: bool = True,
        learning_rate: float = 1e-4,
        schedule: ScheduleKind = "milestones_90",
        warmup: float = 0.0,
        bptt_clips: int = 1,
        scale_input: bool = True,
        history: int | None = None,
        **evaluation: Any,
    ) -> None:
        super().__init__(**evaluation)
        self.save_hyperparameters()
        check_schedule(schedule, learning_rate, warmup)
        if bptt_clips not in (0, 1):
            raise ValueError(f"bptt_clips must be 0 (the whole scene) or 1, got {bptt_clips}")
        if history is not None and history < 1:
            raise ValueError(f"history must be at least 1 clip, got {history}")
        self.network = SSMT(width, options_of(SSMTOptions, network))
        self._has_weights = False  # whether the motion network was loaded by --init_from
        if (motion := self.network.motion) is not None:
            motion.register_load_state_dict_post_hook(self._set_has_weights)  # type: ignore[no-untyped-call]  # torch's
            motion.requires_grad_(False)
            motion.raft.update_block.flow_head.requires_grad_(learn_flow_head)
        self.average = _average(initial)
        # in a list, so that the method is not part of the state dict and of checkpoints
        self._initial: list[ClipReconstruction] = []
        if self.average is None and initial != "self":
            self._initial.append(_method(initial))
            self.clip_length = max(CLIP_PLANES, self._initial[0].clip_length)

    def setup(self, stage: str) -> None:
        """Create the metrics and, for training that is not resumed, load the motion network."""
        super().setup(stage)
        is_resumed = self._trainer is not None and self._trainer.ckpt_path is not None
        if stage == "fit" and self.network.motion is not None and not is_resumed:
            self._load_motion()

    def _load_motion(self) -> None:
        """Load the weights of the motion network.

        Raises:
            MissingFileError: If the file does not exist.
            WeightsError: If the file has weights of another module, or of other options.
        """
        if self._has_weights:
            return
        if (source := self.hparams["motion_weights"]) is None:
            rank_zero_warn(
                "motion_weights is not set: the motion network has random weights. Train "
                "configs/ssmt_motion.yaml first and name its checkpoint"
            )
            return
        fit = "python -m spike_zoo fit --config configs/ssmt_motion.yaml --run_dir runs/ssmt/motion"
        file = required_weights(source, "file of motion_weights", f"'{fit}' trains them")
        trained, motion = load(file), self.network.motion
        assert motion is not None
        if not isinstance(trained, SSMTMotionModule):
            raise WeightsError(
                f"{source}: weights of {type(trained).__name__}, not of SSMTMotionModule"
            )
        if (kind := trained.hparams["motion_input"]) != self.network.motion_input:
            raise WeightsError(
                f"{source}: trained with motion_input {kind}, not {self.network.motion_input}"
            )
        weights = trained.network.state_dict()
        if faults := differences(weights, motion.state_dict()):
            raise WeightsError(
                f"{source}: the motion network has other options than this one: {'; '.join(faults)}"
            )
        motion.load_state_dict(weights)

    def _set_has_weights(self, *_: object) -> None:
        self._has_weights = True

    def forward(self, spikes: Tensor, rate_scale: Tensor | None = None) -> Tensor:
        """Reconstruct the last of N clips that are 20 planes apart.

        Args:
            spikes: ``(B, clip_length + 20 * (N - 1), H, W)``.
            rate_scale: Spikes per plane at white, ``(B,)``; 1 by default.

        Returns:
            ``(B, 1, H, W)`` in [0, 1].

        Raises:
            ValueError: If the number of planes has another form.
        """
        if (rest := spikes.shape[1] - self.clip_length) < 0 or rest % STRIDE:
            raise ValueError(
                f"spikes must have {self.clip_length} planes and {STRIDE} for each further clip, "
                f"got {spikes.shape[1]}"
            )
        scale = spikes.new_ones(len(spikes)) if rate_scale is None else rate_scale
        state = None
        for first in range(0, spikes.shape[1] - self.clip_length + 1, STRIDE):
            clip = spikes[:, first : first + self.clip_length].float()
            image, state = self._advance(clip, scale, state)
        return image.clamp(0, 1)

    def predict_step(self, batch: Any, batch_idx: int) -> Tensor:  # noqa: ANN401  (scenes)
        """Return the images of scenes: the first image of each scene, then the second, etc."""
        return self._chain(batch)[1]

    def origins(self, batch: Any) -> list[Origin]:  # noqa: ANN401  (scenes)
        """Return recording and plane of each image, in the order of :meth:`predict_step`."""
        planes = (batch["planes"] + batch["start"][:, None]).T.tolist()
        return [Origin(*pair) for row in planes for pair in zip(batch["name"], row, strict=True)]

    def evaluate(self, batch: Any, split: Split, batch_idx: int) -> Evaluation:  # noqa: ANN401  (scenes)
        """Reconstruct scenes, measure all images, and log the PSNR after the first."""
        clips, images = self._chain(batch)
        evaluation = self.evaluation(clips, split, images)
        if len(images) > (first := len(batch["name"])):
            self.log_means(split, {"psnr_later": evaluation.values["psnr"][first:]})
        return evaluation

    def training_step(self, batch: SceneBatch, batch_idx: int) -> Tensor:
        """Return the mean L1 distance of the images after the first."""
        check_scenes(batch, "SSMT")
        check_spacing(batch)
        state: ClipState | None = None

        def terms_of(clip: ReconstructionBatch) -> dict[str, Tensor]:
            nonlocal state
            image, state = self._advance(clip["spikes"], clip["rate_scale"], state)
            return {"total": F.l1_loss(image, clip["image"])}

        if self.hparams["bptt_clips"]:
            loss = scene_terms(self, terms_of, batch, is_first_counted=False)["total"]
        else:
            losses = [terms_of(clip)["total"] for clip in scene_windows(batch, self.clip_length)]
            loss = torch.stack(losses[1:]).mean()
        self.log("train/total", loss, batch_size=len(batch["spikes"]))
        return loss

    def profiled_calls(self, batch: SceneBatch) -> Mapping[str, Callable[[], object]]:
        """Return the reconstruction of a clip after the first; all later clips cost the same."""
        clip = next(scene_windows(batch, self.clip_length))
        spikes, scale = clip["spikes"][:1], clip["rate_scale"][:1]
        _, state = self._advance(spikes, scale, None)
        size = spikes.shape[-2], spikes.shape[-1]
        return {"forward": ProfiledCall(lambda: self._advance(spikes, scale, state), size)}

    def _chain(self, batch: SceneBatch) -> tuple[ReconstructionBatch, Tensor]:
        """Return the clips of scenes as one batch, in order of time, and their images."""
        check_scenes(batch, "SSMT", 1)
        check_spacing(batch)
        clips: list[Any] = []
        state, images = None, []
        for clip in scene_windows(batch, self.clip_length):
            image, state = self._advance(clip["spikes"], clip["rate_scale"], state)
            clips.append(clip)
            images.append(image.clamp(0, 1).float())
        tensors = ("spikes", "image", "rate_scale")
        joined: dict[str, Any] = {
            name: torch.cat([clip[name] for clip in clips]) for name in tensors
        }
        origins = self.origins(batch)
        joined["plane"] = torch.tensor([origin.plane for origin in origins])
        joined["name"] = [origin.name for origin in origins]
        return cast("ReconstructionBatch", joined), torch.cat(images)

    def _advance(
        self, clip: Tensor, rate_scale: Tensor, state: ClipState | None
    ) -> tuple[Tensor, ClipState]:
        """Return the image of a clip ``(B, clip_length, H, W)`` and the state after it."""
        edge = (clip.shape[1] - CLIP_PLANES) // 2
        spikes = clip[:, edge : edge + CLIP_PLANES]
        scale = rate_scale if self.hparams["scale_input"] else torch.ones_like(rate_scale)
        if state is None:
            state = self.network.start(spikes, scale, self._first_image(clip, rate_scale))
            return state.image, state
        if self.hparams["bptt_clips"]:
            state = state._replace(image=state.image.detach())
        return self.network(spikes, scale, state)

    def _first_image(self, clip: Tensor, rate_scale: Tensor) -> Tensor | None:
        """Return the image of the first clip by the initial method; None if that is the network."""
        if self._initial:
            method = self._initial[0].to(clip.device)
            edge = (clip.shape[1] - method.clip_length) // 2
            with torch.no_grad():
                return method(clip[:, edge : edge + method.clip_length], rate_scale).float()
        if self.average is None:
            return None
        rates = tfi(clip, clip.shape[1] // 2, self.average)
        return rates[:, None] / rate_scale.view(-1, 1, 1, 1)

    def _stream(
        self, recording: SpikeRecording, centers: Sequence[int], rate_scale: float
    ) -> Iterator[Tensor]:
        """Yield the image at each plane, the last of a chain of clips 20 planes apart.

        The chain begins at its first possible plane in the recording, or ``history`` clips before
        the image. An image therefore does not depend on the other requested planes. Without
        ``history``, chains are resumed while planes ascend.
        """
        history = self.hparams["history"]
        scale = torch.full((1,), rate_scale, device=self.device)
        chains: dict[int, tuple[int, Tensor, ClipState]] = {}
        with eval_mode(self):
            for center in centers:
                phase = center % STRIDE
                plane, image, state = chains.get(phase, (recording.shape[0], None, None))
                if history is not None or plane > center:
                    back = center // STRIDE if history is None else history
                    plane, state = max(phase, center - back * STRIDE) - STRIDE, None
                while plane < center:
                    plane += STRIDE
                    clip = read_clip(recording, plane, self.clip_length, self.device)[None].float()
                    with torch.inference_mode():
                        image, state = self._advance(clip, scale, state)
                assert image is not None
                assert state is not None
                chains[phase] = plane, image, state
                yield image[0].clamp(0, 1).float().cpu()


def _method(initial: str) -> ClipReconstruction:
    """Return the method that reconstructs first images.

    Raises ValueError if it is remote, or does not reconstruct grey images of clips.
    """
    if initial.startswith(("hf:", "wandb:")):
        raise ValueError(f"initial: {initial} is not on this machine; copy it, and name the file")
    method = load(initial)
    if not isinstance(method, ClipReconstruction) or method.channels != 1:
        raise ValueError(f"initial: {initial} does not reconstruct grey images of clips")
    return method


def _average(initial: str) -> int | None:
    """Return N of ``"tfi:N"``, or None for another method."""
    name, colon, number = initial.partition(":")
    if name != "tfi" or not colon:
        return None
    if not number.isdecimal() or not 1 <= int(number) <= CLIP_PLANES:
        raise ValueError(f"initial: tfi:N needs 1 to {CLIP_PLANES} planes, got {initial!r}")
    return int(number)
