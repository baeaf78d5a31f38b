"""Training module of recognition with SCI, and of its baselines."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from numpy.typing import NDArray
from torch import Tensor

from spike_zoo.checkpoints import partial
from spike_zoo.checkpoints.weight_files import state_digest
from spike_zoo.errors import ConfigError
from spike_zoo.media.output import progress_bar
from spike_zoo.methods.sci.analysis.augmentation import AUGMENTATION, AugmentationOptions, augment
from spike_zoo.methods.sci.analysis.classifier import (
    CLASSIFIER,
    MIDDLE,
    WHITE,
    ClassifierInput,
    ClassifierOptions,
    SpikeClassifier,
)
from spike_zoo.methods.sci.analysis.coded_inputs import (
    NOT_CODED,
    CodedAccuracy,
    CodedInputOptions,
    coded_inputs,
    encoder_features,
)
from spike_zoo.methods.sci.codec.scale_net import QUALITIES
from spike_zoo.methods.sci.features.fem import CLIP
from spike_zoo.nn.options import options_of
from spike_zoo.nn.schedules import ScheduleKind, check_schedule
from spike_zoo.nn.tensor_store import filled_store
from spike_zoo.spikes.recording import SpikeRecording
from spike_zoo.tasks import evaluation as results
from spike_zoo.tasks.batch import LabelledBatch, Split
from spike_zoo.tasks.recognition import ClassificationModule

WEIGHT_DECAY = 0.02
STORED: tuple[ClassifierInput, ...] = ("features", "images")  # inputs that take long to compute


class SCIRecognitionModule(ClassificationModule):
    """Train the network of :class:`SpikeClassifier` on frozen inputs.

    Training and validation use the middle window of a clip, a test uses all five.

    Args:
        classes: Number of classes.
        label_names: Names of the classes, by index.
        input: See :class:`SpikeClassifier`.
        weights: See :class:`SpikeClassifier`. FEM is read from them at the start of a fit; with
            None it has random weights.
        coding: Coder and fractions of clips that are coded, see :class:`CodedInputOptions`.
        network: Architecture, see :class:`ClassifierOptions`.
        augmentation: Random changes of inputs in training, see :class:`AugmentationOptions`.
        label_smoothing: See :class:`ClassificationModule`.
        learning_rate: Largest learning rate of AdamW, betas 0.9 and 0.999, weight decay 0.02.
        schedule: Schedule of the learning rate after the warm-up, see :func:`schedule_factor`.
        store: Folder for the inputs, which are equal in every epoch: a file for each split, archive
            and weights, computed once. None computes them for each batch.

    Source: Sec. V of the paper, which does not describe its classifier.
    """

    clip_length = CLIP
    warmup = 0.1

    def __init__(
        self,
        classes: int = 10,
        label_names: Sequence[str] = (),
        input: ClassifierInput = "features",
        weights: str | None = "sci",
        coding: CodedInputOptions = NOT_CODED,
        network: ClassifierOptions = CLASSIFIER,
        augmentation: AugmentationOptions = AUGMENTATION,
        label_smoothing: float = 0.0,
        learning_rate: float = 3e-3,
        schedule: ScheduleKind = "cosine",
        store: str | None = None,
    ) -> None:
        super().__init__(classes=classes, label_names=label_names, label_smoothing=label_smoothing)
        check_schedule(schedule, learning_rate, self.warmup)
        self.coding_options = options_of(CodedInputOptions, coding)
        if self.coding_options.coder is not None and input != "features":
            raise ConfigError(f"coding: needs the input 'features', not {input!r}")
        self.save_hyperparameters()
        self.augmentation = options_of(AugmentationOptions, augmentation)
        self.classifier = SpikeClassifier(classes, label_names, input, weights, network)
        self.store = store
        self.coded = CodedAccuracy()

    def inference_part(self) -> tuple[str, type[SpikeClassifier], dict[str, Any]]:
        """Return name, class and arguments of the part that is sufficient for inference."""
        return "classifier", SpikeClassifier, self.classifier.hparams

    def forward(self, spikes: Tensor, rate_scale: Tensor) -> Tensor:
        """Return the logits of each clip: ``(B, 41, H, W)`` -> ``(B, classes)``."""
        return self.classifier.logits(self.classifier.inputs(spikes, rate_scale))

    def setup(self, stage: str) -> None:
        """Check the data; before a fit, read FEM."""
        super().setup(stage)
        fem, weights = self.classifier.fem, self.classifier.weights
        if stage == "fit" and fem is not None and weights is not None:
            partial.load_part(fem, weights, "codec.fem")

    def on_fit_start(self) -> None:
        """Compute the inputs of training and validation that are not stored yet."""
        splits: list[Split] = ["train", "val"] if self.trainer.limit_val_batches else ["train"]
        for split in splits:
            self._use_store(split, self._middle)
            if self.coding_options.training:  # others come from the first store
                self._use_store(split, self._coded_middle, self.coding_options)

    def on_test_start(self) -> None:
        """Compute the inputs of the test that are not stored yet."""
        self._use_store("test", self._inputs)

    def _use_store(
        self,
        split: Split,
        compute: Callable[[LabelledBatch], Tensor],
        coding: CodedInputOptions = NOT_CODED,
    ) -> None:
        """Let the data module serve stored inputs of a split, if it can."""
        datamodule: Any = getattr(self._trainer, "datamodule", None)
        is_used = self.store is not None and self.classifier.input in STORED
        if not (is_used and hasattr(datamodule, "serve_inputs")):
            return

        def rows_of(rows: range) -> NDArray[Any]:
            return compute(datamodule.batch_of(split, rows)).cpu().numpy()

        shape = (len(datamodule.clips(split)), *rows_of(range(1)).shape[1:])
        path = Path(str(self.store)) / self._inputs_name(datamodule.data_sha256, split, coding)
        with progress_bar(f"inputs of {split}") as progress:
            datamodule.serve_inputs(split, filled_store(path, shape, rows_of, progress))

    def _inputs_name(self, archive: str, split: str, coding: CodedInputOptions) -> str:
        """Return a file name for the inputs of a split, with digests of archive and weights."""
        frozen = self.classifier.fem or self.classifier.method
        parts = [self.classifier.input, archive[:12], state_digest(frozen.state_dict())[:12], split]
        if coding.coder is not None:
            codec = state_digest(self.classifier.codec.state_dict())[:12]
            parts += [coding.coder, f"{coding.training:g}", codec]
        return f"{'-'.join(parts)}.bytes"

    def logits(self, batch: LabelledBatch) -> Tensor:
        """Return the logits of a training batch, with augmentation."""
        if "spikes" in batch:
            self.check_batch(batch)
        stored = stored_inputs(batch)
        inputs = self._coded_middle(batch) if stored is None else stored
        images = augment(inputs[:, 0].float() / WHITE, self.augmentation, self.generator("clips"))
        return self.classifier.network(images)

    def _middle(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the middle windows, uint8 ``(B, 1, C, H, W)``."""
        stored = stored_inputs(batch)
        if stored is not None:
            return stored
        return self.classifier.inputs(batch["spikes"], batch["rate_scale"], middle=True)

    def _coded_middle(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the middle windows, some after coding."""
        inputs = self._middle(batch).clone()
        coded = self.coding_options.rows_of(batch["name"], self.coding_options.training)
        for point in range(QUALITIES):
            if rows := [row for row, own in coded if own == point]:
                inputs[rows], *_ = self._coder(batch, rows, MIDDLE)(point)
        return inputs

    def _coder(
        self, batch: LabelledBatch, rows: Sequence[int], window: int | None = None
    ) -> Callable[[int], tuple[Tensor, list[int], Tensor]]:
        """Return a function that codes some clips of a batch, or a window, at a rate point."""
        assert self.coding_options.coder is not None
        codec, coder = self.classifier.codec, self.coding_options.coder
        spikes, rate_scale = batch["spikes"][rows], batch["rate_scale"][rows]
        features = encoder_features(codec, spikes, rate_scale, window)
        return lambda point: coded_inputs(codec, coder, features, point)

    def _inputs(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of a batch of an evaluation, ``(B, n, C, H, W)``."""
        stored = stored_inputs(batch)
        if stored is not None:
            return stored
        return self.classifier.inputs(batch["spikes"], batch["rate_scale"])

    def predict_step(self, batch: LabelledBatch, batch_idx: int) -> Tensor:
        """Return the probability of every class, ``(B, classes)``."""
        self.check_clip(batch["spikes"].shape[1])
        return self.classifier.logits(self._inputs(batch)).float().softmax(dim=1)

    def features(self, batch: LabelledBatch) -> Tensor:
        """Return the inputs of the last layer for each clip, ``(B, C)``."""
        return self.classifier.pooled(self._inputs(batch))

    def classify(self, recording: SpikeRecording, **options: Any) -> Tensor:
        """Return the probability of every class, see :meth:`SpikeClassifier.classify`."""
        return self.classifier.classify(recording, **options)

    def classify_bitstream(self, data: bytes) -> Tensor:
        """Return the probability of every class of a bitstream, see :class:`SpikeClassifier`."""
        return self.classifier.classify_bitstream(data)

    def evaluate(self, batch: LabelledBatch, split: Split, batch_idx: int) -> results.Evaluation:
        """Classify a batch and, in a test with a coder, also after coding at each rate."""
        evaluation = super().evaluate(batch, split, batch_idx)
        share = self.coding_options.test if split == "test" else 0.0
        if rows := [row for row, _ in self.coding_options.rows_of(batch["name"], share)]:
            before = evaluation.values["accuracy"][rows].cpu()
            self.coded["accuracy_not_coded"].update(before)
            labels, spikes = batch["label"][rows], batch["spikes"][rows]
            coder, of_clips = self._coder(batch, rows), dict[str, list[float]]()
            for point in range(QUALITIES):
                inputs, n_bytes, psnr = coder(point)
                is_correct = self.classifier.logits(inputs).argmax(dim=1) == labels
                values = {"accuracy": is_correct, "psnr": psnr}
                of_clips |= self.coded.add(point, spikes, n_bytes, before, **values)
            partial = {name: dict(zip(rows, own, strict=True)) for name, own in of_clips.items()}
            evaluation = evaluation._replace(partial_values=partial)
        return evaluation

    def on_test_epoch_end(self) -> None:
        """Log the metrics of classes and, with a coder, accuracy, bits and PSNR at each rate.

        The decrease of accuracy is relative to that of the same clips without coding.
        """
        super().on_test_epoch_end()
        if self.coding_options.coder is not None:
            values, self.evaluator.curves = self.coded.results()
            self.log_dict({f"test/{name}": value for name, value in values.items()})

    def configure_optimizers(self) -> Any:  # noqa: ANN401  (Lightning's kinds)
        """Return AdamW for the classifier's network, with a schedule per update."""
        configured: Any = super().configure_optimizers()  # Adam
        for group in configured["optimizer"].param_groups:
            group |= {"weight_decay": WEIGHT_DECAY, "decoupled_weight_decay": True}
        return configured


def stored_inputs(batch: LabelledBatch) -> Tensor | None:
    """Return the inputs that :meth:`ClassificationDataModule.serve_inputs` added to a batch."""
    return cast("dict[str, Any]", batch).get("inputs")
