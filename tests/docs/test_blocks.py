"""Every code block of the documents works as it is written; ``how.py`` says what that means."""

from __future__ import annotations

import doctest
import importlib.util
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
from tests.docs.how import TABLE, How, how
from tests.docs.sandbox import furnish, names_for, write_made

BLOCKS = [block for document in DOCUMENTS for block in blocks_of(document)]
#: Language -> how a block in it is tested; the fence of every block names one of these.
LANGUAGES = {
    "sh": "line by line, as how.py says",
    "console": "run, and its answers compared",
    "python": "run, after the blocks above it in the same document",
    "yaml": "read; a sweep or a table by its own reader",
    "text": "layouts and drawings: nothing to run",
    "{toctree}": "read by 'make docs'",
    "{eval-rst}": "read by 'make docs'",
}
CONSOLE = [block for block in BLOCKS if block.language == "console"]
YAML = [block for block in BLOCKS if block.language == "yaml"]
SHELL = [(b, line) for b in BLOCKS if b.language == "sh" for line in commands_of(b)]
#: Python that needs what no test has, and why: it is compiled only.
COMPILED = {
    ("docs/tracking.md", "wandb:"): "an account of W&B",
    (
        "docs/howto/share.md",
        "push_to_hub",
    ): "an account of the Hub; tests/checkpoints/test_hub.py pushes",
}


@pytest.fixture(scope="module")
def furnished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with small files of the names that documents use; to be copied, not changed."""
    folder = tmp_path_factory.mktemp("documents")
    furnish(folder)
    return folder


@pytest.fixture
def work(furnished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it as the working folder."""
    folder = tmp_path / "work"
    shutil.copytree(furnished, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.syspath_prepend(folder)  # as python -m finds what lies there
    return folder


def _documents(*answers: How) -> list[str]:
    return sorted({block.document for block, line in SHELL if how(line) in answers})


def _words(command: str) -> list[str]:
    """Return the arguments of our program in a command line."""
    return shlex.split(re.split(r"-m spike_zoo |^spike-zoo ", command, maxsplit=1)[1])


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_the_fence_of_a_block_says_what_it_is(block: Block) -> None:
    assert block.language in LANGUAGES, f"{block.place}: write one of {', '.join(LANGUAGES)}"


@pytest.mark.parametrize(("about", "pattern", "answer"), TABLE, ids=lambda x: str(x)[:30])
def test_no_line_of_the_table_is_left_over(about: str, pattern: str, answer: How) -> None:
    first = (next(p for _, p, _ in TABLE if re.match(p, line)) for _, line in SHELL)
    assert pattern in set(first), f"{about}: no document has such a line any more"


def _parse(lines: list[tuple[Block, str]]) -> None:
    for block, line in lines:
        code = main([*_words(line), "--print_config"])
        assert code == 0, f"{block.place}: {line}"


@pytest.mark.parametrize("document", _documents(How.PARSE))
def test_what_takes_long_is_understood_by_the_parser(document: str, work: Path) -> None:
    _parse([(b, x) for b, x in SHELL if b.document == document and how(x) is How.PARSE])


@pytest.mark.slow
@pytest.mark.parametrize("document", _documents(How.PARSE_SLOW))
@pytest.mark.filterwarnings("ignore")
def test_trainings_are_understood_by_lightnings_parser(document: str, work: Path) -> None:
    _parse([(b, x) for b, x in SHELL if b.document == document and how(x) is How.PARSE_SLOW])


def _run(document: str, *answers: How) -> None:
    for block, line in SHELL:
        if block.document == document and how(line) in answers:
            assert main(_words(line)) == 0, f"{block.place}: {line}"


@pytest.mark.parametrize("document", _documents(How.RUN))
@pytest.mark.filterwarnings("ignore:the recording does not state")
def test_what_is_quick_runs(document: str, work: Path) -> None:
    _run(document, How.RUN)


@pytest.mark.slow
@pytest.mark.parametrize("document", _documents(How.RUN_SLOW))
@pytest.mark.filterwarnings("ignore:the recording does not state")
def test_what_asks_a_network_runs(document: str, work: Path) -> None:
    _run(document, How.RUN, How.RUN_SLOW)


@pytest.mark.parametrize("document", _documents(How.MAKE))
def test_targets_methods_and_profiles_are_there(document: str) -> None:
    shown = subprocess.run(["make", "-pRrnq", "help"], cwd=ROOT, capture_output=True, text=True)
    targets = set(re.findall(r"^([\w./-]+):", shown.stdout, re.MULTILINE))
    for block, line in SHELL:
        if block.document == document and how(line) is How.MAKE:
            for word in shlex.split(line)[1:]:
                name, _, value = word.partition("=")
                known = {
                    "METHOD": f"experiments/{value}",
                    "PROFILE": "configs/profiles",
                    "NAME": f"spike_zoo/weights/{value}.safetensors",
                }
                found = (ROOT / known[name]).exists() if value else name in targets
                assert found, f"{block.place}: {line}"


def test_what_is_installed_names_extras_that_there_are() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for block, line in SHELL:
        if how(line) is How.INSTALL:
            named = re.findall(r"spike-zoo(?:\[([\w,]+)\])?", line)
            assert named, block.place
            extras = {extra for group in named for extra in group.split(",") if extra}
            assert extras <= set(project["optional-dependencies"]), f"{block.place}: {line}"


def test_programs_of_others_have_the_verb_that_is_named() -> None:
    wandb = pytest.importorskip("wandb.cli.cli")
    for block, line in SHELL:
        if how(line) is How.FOREIGN:
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
def test_a_console_answers_what_is_written(
    block: Block, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for command, wanted in exchanges_of(block):
        main(_words(command))
        said = capsys.readouterr()
        got = said.err + said.out
        fits = doctest.OutputChecker().check_output(wanted, got, doctest.ELLIPSIS)
        assert fits, f"{block.place}: {command}\nwanted: {wanted}\ngot: {got}"


SLOW = {"spike_zoo/methods/sci/README.md", "spike_zoo/methods/stir/README.md"}  # whole networks
PYTHON = [
    pytest.param(document, marks=[pytest.mark.slow] if document in SLOW else [])
    for document in sorted({block.document for block in BLOCKS if block.language == "python"})
]


@pytest.mark.parametrize("document", PYTHON)
@pytest.mark.filterwarnings("ignore:the recording does not state")
def test_python_runs_in_the_order_of_its_document(document: str, work: Path) -> None:
    write_made(work)
    space = names_for(document)
    for block in (b for b in blocks_of(document) if b.language == "python"):
        only = [why for (d, part), why in COMPILED.items() if d == document and part in block.text]
        code = compile("\n" * block.line + block.text, block.document, "exec")
        if not only:
            exec(code, space)


@pytest.mark.parametrize("block", YAML, ids=lambda block: block.place)
def test_yaml_is_what_its_reader_takes(block: Block, work: Path) -> None:
    content = yaml.safe_load(block.text)
    if "parameters" in content:
        from spike_zoo.sweeps.spec import read_sweep

        Path("read.yaml").write_text(block.text, encoding="utf-8")
        assert read_sweep(Path("read.yaml"))
    elif "model" in content:
        assert set(content) == {"model", "data", "trainer"}
        assert Path(content["data"]["init_args"]["archive"]).is_file()
    else:
        from spike_zoo.tables import read_table_file

        for row in content["rows"]:
            for key, text in (
                ("variant", "model: {}\n"),
                ("scores", "name,niqe,brisque\na.png,5,30\n"),
            ):
                if key in row:
                    Path(row[key]).parent.mkdir(exist_ok=True)
                    Path(row[key]).write_text(text, encoding="utf-8")
        Path("read.yaml").write_text(block.text, encoding="utf-8")
        assert read_table_file(Path("read.yaml"))


def test_every_command_stands_in_a_document() -> None:
    shown = {_words(line)[0] for _, line in SHELL if "spike_zoo" in line or "spike-zoo " in line}
    assert {*COMMANDS, *TRAINER_VERBS} <= shown
