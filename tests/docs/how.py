"""Table of the checks of command lines in documents; the first matching pattern applies."""

import re
from enum import Enum


class Check(Enum):
    """Check of a command line in a document."""

    RUN = "run on small files"
    RUN_SLOW = "run in a slow test"
    PARSE = "parsed by the program, which prints its configuration (--print_config)"
    PARSE_SLOW = "parsed in a slow test, because the parser of Lightning takes seconds"
    MAKE = "its target, method and profile exist"
    INSTALL = "its extras are in pyproject.toml"
    FOREIGN = "its program and verb exist in an optional library"


#: Title, pattern of the command line, check.
TABLE: tuple[tuple[str, str, Check], ...] = (
    ("make", r"make\b", Check.MAKE),
    ("pip", r"pip install\b", Check.INSTALL),
    ("W&B, TensorBoard", r"(\w+=\w+ )?(wandb|tensorboard)\b", Check.FOREIGN),
    ("Dask, SLURM", r"(dask|sbatch)\b", Check.FOREIGN),
    ("many recordings, clusters", r".*(--cluster|\bclips\b|--name 'test-)", Check.PARSE),
    ("several processes", r"torchrun\b.* -m spike_zoo", Check.PARSE_SLOW),
    ("training: minutes to days", r".*spike_zoo (fit|test|validate|predict)\b", Check.PARSE_SLOW),
    ("comparison of methods: minutes", r".*spike_zoo compare\b", Check.PARSE),
    ("rendering scenes: minutes", r".*spike_zoo simulate\b", Check.PARSE),
    ("all methods with shipped weights: a minute", r".*spike_zoo report\b", Check.PARSE),
    ("servers that run until stopped", r".*spike_zoo live\b", Check.PARSE),
    ("files of a server", r".*(https|s3)://", Check.PARSE),
    ("parameters of NIQE and BRISQUE", r".*spike_zoo score\b", Check.PARSE),
    ("recordings of uniform light", r".*spike_zoo calibrate\b", Check.PARSE),
    ("a calibrated camera", r".*--camera camera\.yaml", Check.PARSE),
    ("a camera with Bayer filters", r".*\bbike\.dat", Check.PARSE),
    ("an archive of several files", r".*(--shards|data/part-)", Check.PARSE),
    ("a sweep: hours", r".*spike_zoo sweep\b(?!.*--dry-run)", Check.PARSE),
    ("listing of a sweep", r".*spike_zoo sweep\b.*--dry-run", Check.RUN_SLOW),
    ("an account of W&B or the Hub", r".*(wandb:|hf:|ENTITY|entity/project)", Check.PARSE),
    ("a folder of the user", r".*\b(FOLDER|SREDS|blur_data|data/NAME)\b", Check.PARSE),
    ("a repository of the user", r".*(configs/external/|wgse\.yaml)", Check.PARSE),
    ("a checkpoint of the user", r".*(checkpoints/|DeblurNet_100)", Check.PARSE),
    ("exposures of another camera", r".*deblur (board|street)\.", Check.PARSE),
    ("exposures that tests/cli/test_archive.py deblurs", r".*deblur exposures/", Check.PARSE),
    ("reconstruction by SCI at full size: minutes", r".*--method sci\b(?!-)", Check.PARSE),
    ("a codec at full size", r".*spike_zoo (de)?compress\b", Check.RUN_SLOW),
    ("a bitstream that a slow command makes", r".*spike_zoo classify \S+\.sci\b", Check.RUN_SLOW),
    ("output of a codec", r".*spike_zoo info street\.(sci|spl|mp4)", Check.RUN_SLOW),
    ("a network at full size", r".*--method (stir(?!-)|plain)", Check.RUN_SLOW),
    ("a page of every method", r".*spike_zoo report\b", Check.RUN_SLOW),
    ("a network", r".*spike_zoo (deblur|export)\b", Check.RUN_SLOW),
    ("all other commands of Spike Zoo", r"(python -m spike_zoo|spike-zoo)\b", Check.RUN),
)  # fmt: skip


def check_of(command: str) -> Check:
    """Return the check of a command line.

    Raises:
        LookupError: If no pattern of the table matches.
    """
    for _, pattern, check in TABLE:
        if re.match(pattern, command):
            return check
    raise LookupError(f"{command}: tests/docs/how.py does not say how to test this line")
