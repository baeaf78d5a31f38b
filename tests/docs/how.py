"""How each command line of the documents is tested: one table, the first match decides."""

from __future__ import annotations

import re
from enum import Enum


class How(Enum):
    """What a test does with a command line."""

    RUN = "run here, on small files made for it"
    RUN_SLOW = "run here, among the slow tests"
    PARSE = "read by the program's own parser, which shows what it would run (--print_config)"
    PARSE_SLOW = "the same, among the slow tests: Lightning's parser takes seconds"
    MAKE = "its target, method and profile are there"
    INSTALL = "its extras are in pyproject.toml"
    FOREIGN = "its program and verb are those of an optional library"


#: What it is about, how such a line is known, what is done with it.
TABLE: tuple[tuple[str, str, How], ...] = (
    ("make", r"make\b", How.MAKE),
    ("pip", r"pip install\b", How.INSTALL),
    ("W&B, TensorBoard", r"(\w+=\w+ )?(wandb|tensorboard)\b", How.FOREIGN),
    ("Dask, SLURM", r"(dask|sbatch)\b", How.FOREIGN),
    ("many recordings, clusters", r".*(--cluster|\bclips\b|--name 'test-)", How.PARSE),
    ("several processes", r"torchrun\b.* -m spike_zoo", How.PARSE_SLOW),
    ("training: minutes to days", r".*spike_zoo (fit|test|validate|predict)\b", How.PARSE_SLOW),
    ("a run beside others: minutes", r".*spike_zoo compare\b", How.PARSE),
    ("rendering scenes: minutes", r".*spike_zoo simulate\b", How.PARSE),
    ("every method that ships: a minute", r".*spike_zoo report\b", How.PARSE),
    ("a server, until it is stopped", r".*spike_zoo (app|live)\b", How.PARSE),
    ("files of a server", r".*(https|s3)://", How.PARSE),
    ("parameters of NIQE and BRISQUE", r".*spike_zoo score\b", How.PARSE),
    ("a camera with Bayer filters", r".*\bbike\.dat", How.PARSE),
    ("an archive of several files", r".*(--shards|data/all\b)", How.PARSE),
    ("a sweep: hours", r".*spike_zoo sweep\b(?!.*--dry-run)", How.PARSE),
    ("a sweep that is only listed", r".*spike_zoo sweep\b.*--dry-run", How.RUN_SLOW),
    ("somebody's account", r".*(wandb:|hf:|ENTITY|entity/project)", How.PARSE),
    ("the reader's own folder", r".*\b(FOLDER|SREDS|blur_data|data/NAME)\b", How.PARSE),
    ("the reader's own checkpoint", r".*(checkpoints/|DeblurNet_100)", How.PARSE),
    ("another camera's exposure", r".*deblur (board|street)\.", How.PARSE),
    ("exposures that tests/cli/test_archive.py deblurs", r".*deblur exposures/", How.PARSE),
    ("SCI's pictures of whole planes: minutes", r".*--method sci\b(?!-digits)", How.PARSE),
    ("a codec on whole planes", r".*spike_zoo (de)?compress\b", How.RUN_SLOW),
    ("a bitstream that a slow command makes", r".*spike_zoo classify \S+\.sci\b", How.RUN_SLOW),
    ("what a codec wrote", r".*spike_zoo info street\.(sci|spl|mp4)", How.RUN_SLOW),
    ("a network on whole planes", r".*--method (stir-small|plain)", How.RUN_SLOW),
    ("a page of every method", r".*spike_zoo report\b", How.RUN_SLOW),
    ("a network", r".*spike_zoo (deblur|export)\b", How.RUN_SLOW),
    ("all else of ours", r"(python -m spike_zoo|spike-zoo)\b", How.RUN),
)  # fmt: skip


def how(command: str) -> How:
    """Return what is done with a command line.

    Raises:
        LookupError: If the table does not know it.
    """
    for _, pattern, answer in TABLE:
        if re.match(pattern, command):
            return answer
    raise LookupError(f"{command}: tests/docs/how.py does not say how to test this line")
