"""Code blocks of the documents run without errors; ``how.py`` lists the check of each command."""

import doctest
import importlib.util
import inspect
import re
import shlex
import shutil
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

from spike_zoo.cli.main import COMMANDS, main
from spike_zoo.cli.trainer_commands import TRAINER_VERBS
from tests.conftest import ROOT
from tests.docs.blocks import DOCUMENTS, Block, blocks_of, commands_of, exchanges_of
from tests.docs.how import TABLE, Check, check_of
from tests.docs.sandbox import example_names, write_command_outputs, write_example_files

BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
#: Language stated by a fence -> how its blocks are tested.
LANGUAGES = {
    "sh": "checked line by line, see how.py",
    "console": "run, and its output compared",
    "python": "run after the previous blocks of the document",
    "yaml": "parsed, as a sweep or table if it is one",
    "text": "not run: layouts and drawings",
    "{toctree}": "read by 'make docs'",
    "{eval-rst}": "read by 'make docs'",
}
CONSOLE = [block for block in BLOCKS if block.language == "console"]
YAML = [block for block in BLOCKS if block.language == "yaml"]
SHELL = [(b, line) for b in BLOCKS if b.language == "sh" for line in commands_of(b)]
#: (document, text of a Python block) -> missing requirement; the block is only compiled.
COMPILED = {
    ("docs/tracking.md", "wandb:"): "an account of W&B",
    # tests/checkpoints/test_hub.py pushes
    ("docs/howto/share.md", "push_to_hub"): "an account of the Hub",
}


@pytest.fixture(scope="module")
def example_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Read-only folder with the input files of the examples."""
    folder = tmp_path_factory.mktemp("documents")
    write_example_files(folder)
    return folder


@pytest.fixture
def work(example_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Copy of the example folder as the working folder."""
    folder = tmp_path / "work"
    shutil.copytree(example_folder, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)  # like python -m
    return folder


def _documents(*checks: Check) -> list[str]:
    return sorted({block.document for block, line in SHELL if check_of(line) in checks})


def _arguments(command: str) -> list[str]:
    """Return the arguments of ``spike-zoo`` in a command line."""
    return shlex.split(re.split(r"-m spike_zoo |^spike-zoo ", command, maxsplit=1)[1])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_every_block_states_a_known_language(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.place}: write one of {', '.join(LANGUAGES)}"


@pytest.mark.parametrize(("title", "pattern", "check"), TABLE, ids=lambda x: str(x)[:30])
def test_every_entry_of_the_table_matches_a_documented_command(
    title: str, pattern: str, check: Check
) -> None:
    first = (next(p for _, p, _ in TABLE if re.match(p, line)) for _, line in SHELL)
    assert pattern in set(first), f"{title}: no document contains such a line; remove the entry"


def _parse(lines: list[tuple[Block, str]]) -> None:
    for block, line in lines:
        code = main([*_arguments(line), "--print_config"])
        assert code == 0, f"{block.place}: {line}"


@pytest.mark.parametrize("document", _documents(Check.PARSE))
def test_slow_commands_are_accepted_by_the_parser(document: str, work: Path) -> None:
    _parse([(b, x) for b, x in SHELL if b.document == document and check_of(x) is Check.PARSE])


@pytest.mark.slow
@pytest.mark.parametrize("document", _documents(Check.PARSE_SLOW))
@pytest.mark.filterwarnings("ignore")
def test_training_commands_are_accepted_by_the_parser_of_lightning(
    document: str, work: Path
) -> None:
    _parse([(b, x) for b, x in SHELL if b.document == document and check_of(x) is Check.PARSE_SLOW])


def _run(document: str, *checks: Check) -> None:
    for block, line in SHELL:
        if block.document == document and check_of(line) in checks:
            assert main(_arguments(line)) == 0, f"{block.place}: {line}"


@pytest.mark.parametrize("document", _documents(Check.RUN))
@pytest.mark.filterwarnings("ignore:the recording does not state")
def test_quick_commands_run(document: str, work: Path) -> None:
    _run(document, Check.RUN)


@pytest.mark.slow
@pytest.mark.parametrize("document", _documents(Check.RUN_SLOW))
@pytest.mark.filterwarnings("ignore:the recording does not state")
def test_commands_with_networks_run(document: str, work: Path) -> None:
    _run(document, Check.RUN, Check.RUN_SLOW)


def test_targets_methods_and_profiles_of_make_commands_exist() -> None:
    output = subprocess.run(["make", "-pRrnq", "help"], cwd=ROOT, capture_output=True, text=True)
    targets = set(re.findall(r"^([\w./-]+):", output.stdout, re.MULTILINE))
    for block, line in SHELL:
        if check_of(line) is Check.MAKE:
            for word in shlex.split(line)[1:]:
                name, _, value = word.partition("=")
                path_of = {
                    "METHOD": f"experiments/{value}",
                    "PROFILE": "configs/profiles",
                    "NAME": f"spike_zoo/weights/{value}.safetensors",
                }
                exists = (ROOT / path_of[name]).exists() if value else name in targets
                assert exists, f"{block.place}: {line}"


def test_installed_extras_exist() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for block, line in SHELL:
        if check_of(line) is Check.INSTALL:
            matches = re.findall(r"spike-zoo(?:\[([\w,]+)\])?", line)
            assert matches, block.place
            extras = {extra for group in matches for extra in group.split(",") if extra}
            assert extras <= set(project["optional-dependencies"]), f"{block.place}: {line}"


def test_commands_of_other_programs_exist() -> None:
    wandb = pytest.importorskip("wandb.cli.cli")
    for block, line in SHELL:
        if check_of(line) is Check.FOREIGN:
            program, verb, *_ = [word for word in shlex.split(line) if "=" not in word]
            if program == "wandb":
                assert verb in wandb.cli.commands, f"{block.place}: {line}"
            elif program == "sbatch":
                files = [ROOT / word for word in shlex.split(line) if word.endswith(".sbatch")]
                assert files, f"{block.place}: {line}"
                assert all(file.is_file() for file in files), f"{block.place}: {line}"
            else:
                assert importlib.util.find_spec(program) is not None, f"{block.place}: {line}"


@pytest.mark.parametrize("block", CONSOLE, ids=lambda block: block.place)
def test_console_commands_print_the_documented_output(
    block: Block, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, expected in exchanges_of(block):
        main(_arguments(command))
        captured = capsys.readouterr()
        actual = captured.err + captured.out
        fits = doctest.OutputChecker().check_output(expected, actual, doctest.ELLIPSIS)
        assert fits, f"{block.place}: {command}\nexpected: {expected}\nactual: {actual}"


#: Documents with networks at full size.
SLOW = {
    *("docs/bitstreams.md", "spike_zoo/methods/sci/README.md", "spike_zoo/methods/stir/README.md"),
}
PYTHON = [
    pytest.param(document, marks=[pytest.mark.slow] if document in SLOW else [])
    for document in sorted({block.document for block in BLOCKS if block.language == "python"})
]


@pytest.mark.parametrize("document", PYTHON)
@pytest.mark.filterwarnings("ignore:the recording does not state")
def test_python_blocks_run_in_the_order_of_their_document(document: str, work: Path) -> None:
    write_command_outputs(work)
    space = example_names(document)
    for block in (b for b in blocks_of(document) if b.language == "python"):
        code = compile("\n" * block.line + block.text, block.document, "exec")
        if not any(d == document and part in block.text for d, part in COMPILED):
            exec(code, space)


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.place)
def test_yaml_blocks_are_accepted_by_their_readers(block: Block, work: Path) -> None:
    content = yaml.safe_load(block.text)
    if "parameters" in content:
        from spike_zoo.tables.sweeps.spec import read_sweep

        Path("read.yaml").write_text(block.text, encoding="utf-8")
        assert read_sweep(Path("read.yaml"))
    elif "model" in content:
        assert set(content) == {"model", "data", "trainer"}
        assert Path(content["data"]["init_args"]["archive"]).is_file()
    elif "class_path" in content:
        from spike_zoo.methods.external import ExternalModule

        inspect.signature(ExternalModule).bind(**content["init_args"])
    else:
        from spike_zoo.tables import read_table_file

        for variant in (Path(row["variant"]) for row in content["rows"] if "variant" in row):
            variant.parent.mkdir(exist_ok=True)
            variant.write_text("model: {}\n", encoding="utf-8")
        Path("read.yaml").write_text(block.text, encoding="utf-8")
        assert read_table_file(Path("read.yaml"))


def test_every_command_is_documented() -> None:
    documented = {
        _arguments(line)[0] for _, line in SHELL if "spike_zoo" in line or "spike-zoo " in line
    }
    assert {*COMMANDS, *TRAINER_VERBS} <= documented
