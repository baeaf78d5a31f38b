"""Usual options of Lightning's verbs; the complete list takes thousands of lines, and seconds."""

from __future__ import annotations

import textwrap

from spike_zoo.cli.console import is_quiet, silenced
from spike_zoo.runs.configs import check_configs
from spike_zoo.runs.libraries import import_trusted_only

TRAINER_VERBS = {
    "fit": "train a method, test its best checkpoint, write result.json",
    "validate": "measure a checkpoint on the validation split",
    "test": "measure a method or checkpoint on the test split",
    "predict": "write a method's pictures of the test split",
}
HELP = (["-h"], ["--help"])
SAFE = "--safe"
#: Option -> what it does; those of ``data.init_args`` are of the data that the configuration names.
USUAL_OPTIONS = {
    "--config FILE": "a configuration by its name, as stir or profiles/cpu, or a file of yours; "
    "several stack, later ones win ('spike-zoo configs' lists those that ship)",
    "--run_dir FOLDER": "folder of the run, by default runs/<configuration>-<UTC time>",
    "--ckpt_path FILE": "fit: last, or a checkpoint to go on with; else the checkpoint to measure",
    "--init_from FILE": "fit: weights that a new run starts from, with a new optimiser and "
    "schedule: a shipped name, a .ckpt or a .safetensors",
    "--init_strict false": "fit: use what fits of these weights, and list what does not",
    "--seed_everything N": "seed of weights, order and cuts, by default 0",
    "--test_after_fit false": "fit: do not test the best checkpoint at the end",
    "--compile true": "compile the networks with torch.compile first",
    "--data.init_args.archive FILE": "the archive to learn from or to measure on",
    "--data.init_args.batch_size N": "samples of one batch",
    "--data.init_args.workers N": "processes that read ahead",
    "--trainer.max_epochs N": "passes over the training samples",
    "--trainer.max_time DD:HH:MM:SS": "stop after this time",
    "--trainer.precision KIND": "32-true or bf16-mixed ('spike-zoo doctor --precision' says which)",
    "--trainer.devices N": "how many devices, or which",
    "--safe": "only classes of this package, Lightning, torch and torchmetrics: for configurations "
    "of others",
    "--print_config": "show the whole configuration as YAML, and do nothing",
    "--model.help CLASS": "every option of a method, as spike_zoo.methods.stir.STIRModule",
    "--data.help CLASS": "every option of a data module",
    "--help all": "every option of everything, which takes seconds",
}


def verb_help(verb: str) -> str:
    """Return what a verb does and the options that people use, without loading anything."""
    lines = [
        f"usage: spike-zoo {verb} --config FILE [--config FILE ...] [options]",
        "",
        f"{verb}: {TRAINER_VERBS[verb]}",
        "",
    ]
    for option, text in USUAL_OPTIONS.items():
        if not text.startswith("fit: ") or verb == "fit" or ";" in text:
            lines += textwrap.wrap(
                f"{option:<30}  {text}", 100, initial_indent="  ", subsequent_indent=" " * 34
            )
    example = {"fit": "stir --config profiles/smoke"}.get(verb, "classical/tfi")
    return "\n".join([*lines, "", f"example: spike-zoo {verb} --config {example}"])


def run_verb(verb: str, arguments: list[str]) -> None:
    """Run one of Lightning's verbs, or list its usual options."""
    if arguments in HELP:
        print(verb_help(verb))
        return
    given = [argument for argument in arguments if argument != SAFE]
    check_configs(given)
    if len(given) < len(arguments):
        import_trusted_only()
    from spike_zoo.runs.trainer import run_trainer  # loads torch: after cheap checks

    with silenced(wanted=is_quiet()):
        run_trainer(verb, ["--help"] if given == ["--help", "all"] else given)
