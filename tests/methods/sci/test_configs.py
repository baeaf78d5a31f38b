"""Tests of SCI's configurations and ablation variants through the CLI."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

import spike_zoo
from spike_zoo import SpikeArchive
from spike_zoo.checkpoints.saved_model import read_saved_model
from spike_zoo.cli.main import main
from spike_zoo.media.coded_video import encode_video
from spike_zoo.methods import sci
from spike_zoo.tables import read_table_file
from spike_zoo.tables.sweeps.spec import read_sweep
from spike_zoo.training.result import RunResult
from tests.conftest import ROOT
from tests.helpers.jobs import dry_run
from tests.helpers.measured import expected_psnr
from tests.helpers.variants import assert_builds, variants_to_run
from tests.methods.sci.coding import MODULES, WIDTHS

pytestmark = pytest.mark.usefixtures("checkout")
SCI = ROOT / "experiments" / "sci"
ROWS = sorted((SCI / "variants").glob("*.yaml"))
#: Classes of baselines with other codecs and of bitstreams.
CODED = {"CTAModule", "ATCModule", "CAASModule", "SCIBitstreamModule"}
#: Classes of other methods, which are tested and not trained.
OTHERS = {"TFIModule": "classical", "TFPModule": "classical", "STIRModule": "stir"}
#: Stage by prefix of a file's name; its configuration and profile are loaded before the file.
STAGES = {name: name for name in ("motion", "codec", "fam", "joint", "recognition", "s-")}


@pytest.fixture(scope="module")
def archives(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return paths of small archives, by the name of the archive that they replace."""
    folder = tmp_path_factory.mktemp("archives")
    scenes = ["--train", "3", "--val", "1", "--test", "3", "--height", "32", "--width", "32"]
    digits = ["--train", "4", "--val", "2", "--test", "3"]
    for kind, options in {"sequence": scenes, "labelled": digits}.items():
        line = ["simulate", "--kind", kind, "--size", "small", "--jobs", "1", *options]
        assert main([*line, "--out", str(folder / f"{kind}.h5")]) == 0
    return {kind: str(folder / f"{kind}.h5") for kind in ("sequence", "labelled")}


def content_of(path: Path) -> dict[str, Any]:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


def class_of(path: Path) -> str:
    """Return the name of the module class of a configuration."""
    return str(content_of(path)["model"]["class_path"]).rpartition(".")[2]


def stage_of(path: Path) -> str:
    """Return the stage of a configuration."""
    name = path.stem.removeprefix("sci_")
    return next((stage for begin, stage in STAGES.items() if name.startswith(begin)), "fem")


VARIANTS = [path for path in ROWS if class_of(path) not in CODED]
CODED_ROWS = [path for path in ROWS if class_of(path) in CODED]
CONFIGS = sorted(
    [*(ROOT / "configs").glob("sci_*.yaml"), *(ROOT / "configs/recognition").glob("*.yaml")]
)
RECOGNITION = {"recognition", "s-"}  # stages of variants and of configurations of recognition
PLAIN = [path for path in CONFIGS if class_of(path) not in CODED]
#: Variants that are run here; the others are built here and run by make smoke-tables.
RUN = variants_to_run(VARIANTS, others=PLAIN)
FILES = [*PLAIN, *RUN]


def command(
    path: Path, archives: dict[str, str], stage_files: dict[str, str], run_dir: Path
) -> list[str]:
    """Return the command line that runs a configuration for two updates on a small archive."""
    name, stage = path.relative_to(ROOT).as_posix(), stage_of(path)
    stacked = [name, "configs/profiles/smoke.yaml"]
    if stage in RECOGNITION:
        config = "configs/recognition/s-mnist.yaml" if path in VARIANTS else name
        stacked = [config, "experiments/sci/profiles/smoke/image_sets.yaml", name]
    elif path in VARIANTS and class_of(path) not in OTHERS:
        profiles = ["configs/profiles/smoke.yaml", f"experiments/sci/profiles/smoke/{stage}.yaml"]
        stacked = [f"configs/sci_{stage}.yaml", *profiles, name]
    line = ["test" if class_of(path) in OTHERS else "fit"]
    if class_of(path) == "STIRModule":
        line += ["--ckpt_path", "spike_zoo/weights/stir.safetensors"]
    line += [argument for file in stacked for argument in ("--config", file)]
    archive = archives["labelled" if stage in RECOGNITION else "sequence"]
    line += ["--data.init_args.archive", archive, "--run_dir", str(run_dir)]
    if stage in RECOGNITION:  # the archive's classes are the digits
        line += ["--model.init_args.classes", "101", "--model.init_args.label_names", "[]"]
    line += ["--trainer.enable_progress_bar", "false"]
    if class_of(path) in OTHERS:
        return line
    return [*line, "--trainer.max_steps", "2", *smaller(path, stage_files)]


def smaller(path: Path, stage_files: dict[str, str]) -> list[str]:
    """Return options for small widths and for checkpoints of earlier stages; none for variants."""
    arguments = content_of(path)["model"].get("init_args", {})
    if path in VARIANTS:
        return []
    widths = {"fem_width", "codec_width", "fam_width"} & arguments.get("networks", {}).keys()
    options = {f"networks.{name}": "0.125" for name in sorted(widths)}
    options |= {name: file for name, file in stage_files.items() if name in arguments}
    return [part for key, value in options.items() for part in (f"--model.init_args.{key}", value)]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:motion is not learned well enough")  # after two updates
@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_configuration_runs_with_the_smoke_profile(
    path: Path, archives: dict[str, str], all_stage_files: dict[str, str], tmp_path: Path
) -> None:
    line = command(path, archives, all_stage_files, tmp_path)
    assert main(line) == 0
    result = RunResult.read(tmp_path if line[0] == "fit" else tmp_path / "test")
    assert result.variant == path.stem
    assert result.method == OTHERS.get(class_of(path), "sci")
    archive = result.config["data"]["init_args"]["archive"]
    if stage_of(path) in RECOGNITION:
        assert_accuracies_equal_classify(result, archive, tmp_path)
    elif stage_of(path) in ("codec", "joint"):
        assert_rates_equal_bitstream_sizes(result, archive, tmp_path)
    elif stage_of(path) in ("fem", "fam"):
        expected = expected_psnr(result, archive)
        assert result.metrics["test/psnr"] == pytest.approx(expected, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("path", CODED_ROWS, ids=lambda path: path.stem)
def test_a_variant_of_another_codec_runs_with_the_smoke_profile(
    path: Path, archives: dict[str, str], tmp_path: Path
) -> None:
    weights = content_of(path).get("model", {}).get("init_args", {}).get("weights", "sci")
    if "/" in weights and not (ROOT / weights).is_file():
        pytest.skip(f"{weights} is not made; 'make {weights}' makes it")
    files = ["configs/sci_video.yaml", "configs/profiles/smoke.yaml", str(path.relative_to(ROOT))]
    line = [argument for file in files for argument in ("--config", file)]
    line += ["--data.init_args.archive", archives["sequence"], "--run_dir", str(tmp_path)]
    assert main(["test", *line, "--trainer.enable_progress_bar", "false"]) == 0
    result = RunResult.read(tmp_path / "test")
    assert (result.variant, result.method, result.profile) == (path.stem, "sci", "smoke")
    curve = result.curves["rate_distortion/psnr"]
    assert len(curve) == 4
    rates = [rate for rate, _ in curve]
    assert rates == sorted(rates)
    assert rates[0] < rates[-1]
    assert all(5 < quality < 60 for _, quality in curve)
    assert result.metrics["test/psnr_q3"] == pytest.approx(curve[3][1])
    if path.stem == "cta_x265":
        expected = reference_bpp(content_of(path)["model"]["init_args"], archives["sequence"])
        assert result.metrics["test/bpp_q3"] == pytest.approx(expected)


def reference_bpp(row: dict[str, Any], archive: str) -> float:
    """Return the rate of a variant of CTA at its finest quantiser."""
    with SpikeArchive(archive) as opened:
        spikes = opened[opened.names("test")[0]][:]
    coded = encode_video(spikes.astype(np.uint8) * 255, row["codec"], row["qps"][-1])
    return 8 * len(b"".join(coded.packets)) / spikes.size


def test_published_bit_savings_of_table_vii_agree_with_its_mean_rates() -> None:
    content = yaml.safe_load((SCI / "table.yaml").read_text(encoding="utf-8"))
    (table,) = (item for item in content["tables"] if "(Table VII)" in item["title"])
    for point, rate in enumerate((0.0111, 0.0162, 0.0251, 0.0381)):
        theirs = [row["published"] for row in table["rows"] if "published" in row]
        savings = [values[f"test/bit_saving_q{point}"] for values in theirs]
        assert 1 - sum(savings) / 300 == pytest.approx(rate, abs=6e-5)


def test_every_variant_of_another_codec_is_in_the_sweep_and_the_table() -> None:
    sweeps = [read_sweep(SCI / f"sweep_{name}.yaml") for name in ("video", "video_twelve")]
    values = [sweep.parameters["config"]["values"] for sweep in sweeps]
    swept = {Path(name).name for name in itertools.chain(*values)}
    assert swept == {path.name for path in CODED_ROWS}
    assert swept <= {variant.name for variant in read_table_file(SCI / "table.yaml").variants}


@pytest.mark.parametrize(
    "path", [path for path in VARIANTS if path not in RUN], ids=lambda p: p.stem
)
def test_a_variant_builds_the_module_that_it_states(path: Path, tmp_path: Path) -> None:
    archives = dict.fromkeys(("sequence", "labelled"), "none.h5")
    line = command(path, archives, {}, tmp_path)
    assert_builds(path, line, except_for=[f"networks.{name}" for name in WIDTHS])


def assert_rates_equal_bitstream_sizes(result: RunResult, archive: str, folder: Path) -> None:
    """Compare the rates of a test with the sizes of bitstreams of the trained module."""
    module: Any = spike_zoo.load(str(result.checkpoint))
    with (folder / "per_image.csv").open(encoding="utf-8", newline="") as file:
        (name,) = {line["name"] for line in csv.DictReader(file)}
    with SpikeArchive(archive) as opened:
        recording = opened[name]
        sizes = [len(module.codec.compress(recording, quality)) for quality in (0, 3)]
    pixels = math.prod(recording.shape)
    measured = [result.metrics[f"test/bpp_q{quality}"] for quality in (0, 3)]
    assert measured == pytest.approx([8 * size / pixels for size in sizes], rel=1e-3)


def assert_accuracies_equal_classify(result: RunResult, archive: str, folder: Path) -> None:
    """Compare the accuracies of a test with :meth:`classify` of the trained module."""
    module: Any = spike_zoo.load(str(result.checkpoint))
    with (folder / "per_image.csv").open(encoding="utf-8", newline="") as file:
        accuracies = {line["name"]: float(line["accuracy"]) for line in csv.DictReader(file)}
    with SpikeArchive(archive) as opened:
        expected = {
            name: float(int(module.classify(opened[name]).argmax()) == opened.facts(name).label)
            for name in accuracies
        }
    assert accuracies == expected


#: Options of features that must be equal in all stages.
SHARED_OPTIONS = {"fem_width", "pathway", "pfu", "attention", "binarize", "scale_input"}
#: Variants by the option that they change, compared with the full variant of their stage.
STUDIES = {
    "pathway": {"ventral", "dorsal"},
    "pfu": {"pfu_concat", "pfu_none"},
    "attention": {"attention_off"},
    "binarize": {"binarize_off"},
    "smoothness_weight": {"w_lap_0", "w_lap_table2", "w_lap_2"},
    "flow_loss_weight": {"motion_photometric"},
    "flow_loss_weight_end": {"motion_fading"},
    "align": {"fam_dcn", "fam_warp", "fam_none"},
    "neighbors": {"fam_neighbors_0", "fam_neighbors_2"},
    "context": {"codec_residual"},
    "temporal_prior": {"codec_prior_symbols", "codec_prior_none"},
    "fmvr": {"joint_fmvr_off"},
    "input": {f"recognition_{name}" for name in ("mean", "spikes", "images", "tfi", "plain")},
    "weights": {f"recognition_{name}" for name in ("random", "tfi", "plain")},
    "coding": {
        f"recognition_{name}"
        for name in ("coded", "coded_part", "coded_test", "x265", "svtav1", "jpeg")
    },
}
FULL = {
    "fem": "full",
    "motion": "motion_truth",
    "codec": "codec_full",
    "fam": "fam_afr",
    "joint": "joint_full",
    "recognition": "recognition",
}
OURS = [
    path
    for path in VARIANTS
    if class_of(path) in {kind.__name__ for kind in (*MODULES.values(), sci.SCIRecognitionModule)}
]


def arguments_of(stem: str) -> dict[str, Any]:
    return stated_in(SCI / "variants" / f"{stem}.yaml")


def stated_in(path: Path) -> dict[str, Any]:
    return flat(content_of(path)["model"]["init_args"])


def flat(arguments: dict[str, Any]) -> dict[str, Any]:
    """Return arguments with flattened groups."""
    if "coder" in arguments.get("coding", {}):  # of recognition
        return arguments
    groups = [arguments.pop(name, {}) for name in ("networks", "coding")]
    return {**arguments, **groups[0], **groups[1]}


def test_variants_are_exactly_the_rows_of_the_studies() -> None:
    rows = set().union(*STUDIES.values(), FULL.values())
    assert {path.stem for path in OURS} == rows


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.stem)
def test_a_variant_states_every_option_and_changes_only_those_of_its_study(path: Path) -> None:
    stated, full = arguments_of(path.stem), arguments_of(FULL[stage_of(path)])
    assert stated.keys() == full.keys()
    changed = {name for name in stated if stated[name] != full[name]}
    assert changed == {switch for switch, rows in STUDIES.items() if path.stem in rows}


@pytest.mark.parametrize("stem", sorted(set(FULL.values()) - {"full"}))
def test_shipped_weights_have_the_options_of_the_variants_that_start_from_them(stem: str) -> None:
    stated = arguments_of(stem)
    for stage in ("fem", "motion", "codec", "joint", "fam"):
        if stated.get(stage) is None or not (ROOT / stated[stage]).is_file():
            continue  # weights that are not in the repository
        saved = read_saved_model(ROOT / stated[stage])
        complete = ("codec", "joint") if stage == "joint" else (stage,)
        assert getattr(sci, saved.class_path.rpartition(".")[2]).stage in complete
        saved_options = flat(dict(saved.hyper_parameters))
        shared = SHARED_OPTIONS if stage == "fem" else {*SHARED_OPTIONS, "codec_width"}
        if stage in ("codec", "joint"):
            shared |= {"context", "temporal_prior"}
        if stage == "fam":
            shared |= {"fam_width", "align", "neighbors"}
        assert {name: saved_options[name] for name in shared} == {
            name: stated[name] for name in shared
        }


def test_stages_start_from_the_checkpoints_of_the_stages_of_make() -> None:
    printed = dry_run(ROOT, "train", "sci")
    stages = content_of(SCI / "stages.yaml")["stages"]
    for stage, config in stages.items():
        assert f"fit --config {config} --run_dir runs/sci/{stage} " in printed
        arguments = stated_in(ROOT / config)
        for earlier in {"fem", "motion"} & arguments.keys():
            assert arguments[earlier] == f"runs/sci/{earlier}/checkpoints/best.ckpt"


def test_stages_have_equal_shared_options() -> None:
    options = {
        stage: stated_in(ROOT / config)
        for stage, config in content_of(SCI / "stages.yaml")["stages"].items()
    }
    for stage in ("motion", "fam"):
        for name in SHARED_OPTIONS:
            assert options[stage][name] == options["fem"][name], f"{stage}: {name}"
    assert options["fam"]["codec_width"] == options["motion"]["codec_width"]
