"""Docstring examples of main functions exist and pass."""

import doctest
import importlib
from pathlib import Path

import pytest

import spike_zoo

EXAMPLES = (
    "spike_zoo.archive.build.build_archive",
    "spike_zoo.archive.reader.SpikeArchive",
    "spike_zoo.archive.validate.verify_archive",
    "spike_zoo.archive.writer.ArchiveWriter",
    "spike_zoo.data.classification.ClassificationDataModule",
    "spike_zoo.data.deblur.DeblurDataModule",
    "spike_zoo.data.reconstruction.ReconstructionDataModule",
    "spike_zoo.data.scenes.SceneDataModule",
    "spike_zoo.errors.SpikeZooError",
    "spike_zoo.formats.recording.read_recording",
    "spike_zoo.formats.writing.write_recording",
    "spike_zoo.media.images.load_image",
    "spike_zoo.media.images.save_image",
    "spike_zoo.media.images.side_by_side",
    "spike_zoo.media.images.to_bytes",
    "spike_zoo.media.video.VideoWriter",
    "spike_zoo.media.video.save_video",
    "spike_zoo.methods.classical.functional.tfi",
    "spike_zoo.methods.classical.functional.tfi_video",
    "spike_zoo.methods.classical.functional.tfp",
    "spike_zoo.methods.classical.functional.tfp_video",
    "spike_zoo.methods.classical.methods.TFI",
    "spike_zoo.methods.classical.methods.TFP",
    "spike_zoo.checkpoints.loading.load",
    "spike_zoo.methods.sci.features.fem.FEM",
    "spike_zoo.methods.ssdm.bsn.BSN",
    "spike_zoo.methods.stir.module.STIRModule",
    "spike_zoo.metrics.image.psnr",
    "spike_zoo.metrics.image.ssim",
    "spike_zoo.metrics.rate.bd_rate",
    "spike_zoo.metrics.rate.bpp",
    "spike_zoo.simulation.camera.spike_camera.SpikeCamera",
    "spike_zoo.simulation.camera.spike_camera.simulate_spikes",
    "spike_zoo.simulation.kinds.takes.simulate_take",
    "spike_zoo.spikes.packing.pack_bits",
    "spike_zoo.spikes.packing.unpack_bits",
    "spike_zoo.spikes.recording.SpikeRecording",
    "spike_zoo.spikes.take.Take",
    "spike_zoo.spikes.windows.centred_window",
)


def test_every_public_name_of_the_package_has_an_example() -> None:
    documented = {name.rpartition(".")[2] for name in EXAMPLES}
    assert set(spike_zoo.__all__) - documented == {"__version__"}


@pytest.mark.parametrize("name", EXAMPLES)
def test_examples_of_docstrings_pass(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    module, _, item = name.rpartition(".")
    item_object = getattr(importlib.import_module(module), item)
    (example,) = doctest.DocTestFinder(recurse=False).find(item_object, item)
    assert example.examples, f"{name} has no example"
    failures, _ = doctest.DocTestRunner().run(example)
    assert not failures, capsys.readouterr().out
