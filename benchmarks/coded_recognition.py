"""Accuracy and bits of a shipped classifier on coded test clips, without training it on them.

``python -m benchmarks.coded_recognition data/s-mnist.h5 sci-mnist --clips 500``. The clips are
evenly spaced in the test split; the accuracy without coding is that of the same clips.
"""

from __future__ import annotations

import argparse
from typing import Any

import torch

from spike_zoo import load
from spike_zoo.archive.reader import SpikeArchive
from spike_zoo.media.output import with_progress
from spike_zoo.methods.sci.analysis.coded_inputs import (
    CodedAccuracy,
    coded_inputs,
    encoder_features,
)
from spike_zoo.methods.sci.codec.scale_net import QUALITIES


def main() -> None:
    """Print accuracy and bits at each quality."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("archive")
    parser.add_argument("weights")
    parser.add_argument("--clips", type=int, default=500)
    parser.add_argument("--coder", default="sci")
    arguments = parser.parse_args()
    classifier: Any = load(arguments.weights)
    archive, accuracy = SpikeArchive(arguments.archive), CodedAccuracy()
    names = archive.names("test")
    names = names[:: max(len(names) // arguments.clips, 1)][: arguments.clips]
    with torch.inference_mode():
        for name in with_progress(names, len(names), "coding clips"):
            take = archive.take(name)
            spikes = torch.from_numpy(take.recording[:]).float()[None]
            scale = torch.tensor([take.recording.rate_scale])
            plain = classifier.logits(classifier.inputs(spikes, scale)).argmax(dim=1)
            accuracy["accuracy_not_coded"].update((plain == take.label).float())
            features = encoder_features(classifier.codec, spikes, scale)
            for point in range(QUALITIES):
                inputs, n_bytes = coded_inputs(classifier.codec, arguments.coder, features, point)
                is_correct = classifier.logits(inputs).argmax(dim=1) == take.label
                accuracy.add(point, is_correct, n_bytes, spikes)
    values, _ = accuracy.results()
    print(f"{len(names)} clips, accuracy without coding {values['accuracy_not_coded']:.4f}")
    print("| quality | bits saved | accuracy | loss (points) |\n|---|---:|---:|---:|")
    for point in range(QUALITIES):
        names_of = ("bit_saving", "accuracy", "accuracy_decrease")
        saving, correct, loss = (values[f"{name}_q{point}"] for name in names_of)
        print(f"| {point} | {saving:.2f} % | {correct:.4f} | {loss:.2f} |")


if __name__ == "__main__":
    main()
