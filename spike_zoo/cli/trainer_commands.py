"""Commands fit, validate, test and predict, with a help text of the most used options."""

import textwrap

from spike_zoo.cli.console import silenced_if_quiet
from spike_zoo.training.configs import check_configs, check_options
from spike_zoo.training.libraries import import_trusted_only
from spike_zoo.utils.environment import drop_foreign_variables

TRAINER_VERBS = {
    "fit": "train a method, test its best checkpoint, write result.json",
    "validate": "evaluate a checkpoint on the validation split",
    "test": "evaluate a method or checkpoint on the test split",
    "predict": "write a method's images of the test split",
}
HELP = (["-h"], ["--help"])
SAFE = "--safe"
#: Option -> help text. A text that starts with "fit: " and has no ";" is for fit only. Options of
#: ``data.init_args`` are of the data class in the configuration.
USUAL_OPTIONS = {
    "--config FILE": "a configuration by name, such as stir or profiles/cpu, or a file; can be "
    "repeated, later ones override earlier ones ('spike-zoo configs' lists names)",
    "--run_dir FOLDER": "folder of the run, by default runs/<configuration>-<UTC time>",
    "--ckpt_path FILE": "fit: last, or a checkpoint to resume; else the checkpoint to evaluate",
    "--init_from FILE": "weights to evaluate, or with which a new fit starts (new optimiser and "
    "schedule): a shipped name, a .ckpt or a .safetensors",
    "--init_strict false": "fit: use the initial weights that fit the model, and list the others",
    "--seed_everything N": "seed of weights, order of samples and crops, by default 0",
    "--test_after_fit false": "fit: do not test the best checkpoint at the end",
    "--compile true": "compile the networks with torch.compile",
    "--data.init_args.archive FILE": "the archive for training or evaluation",
    "--data.init_args.batch_size N": "samples per batch",
    "--data.init_args.workers N": "number of processes that load samples",
    "--trainer.max_epochs N": "number of passes over the training samples",
    "--trainer.max_time DD:HH:MM:SS": "stop after this time",
    "--trainer.precision KIND": "32-true or bf16-mixed ('spike-zoo doctor --precision' prints it)",
    "--trainer.devices N": "number of devices, or a list of them",
    "--safe": "allow only classes of this package, Lightning, torch and torchmetrics, for "
    "configurations from other people",
    "--print_config": "print the complete configuration as YAML, and exit",
    "--model.help CLASS": "list all options of a method, such as spike_zoo.methods.stir.STIRModule",
    "--data.help CLASS": "list all options of a data module",
    "--help all": "list all options, which takes seconds",
}


def verb_help(verb: str) -> str:
    """Return a help text with the most used options of a verb, without loading PyTorch."""
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
    """Run one of Lightning's verbs, or print its help text."""
    if arguments in HELP:
        print(verb_help(verb))
        return
    options = [argument for argument in arguments if argument != SAFE]
    check_configs(options)
    check_options(options)
    if len(options) < len(arguments):
        import_trusted_only()
    drop_foreign_variables()
    from spike_zoo.training.trainer import run_trainer  # loads torch: after cheap checks

    with silenced_if_quiet():
        run_trainer(verb, ["--help"] if options == ["--help", "all"] else options)
