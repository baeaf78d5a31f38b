"""Strict reader of YAML: the content of PyYAML's loader, or an error with file and line."""

from pathlib import Path

import pytest

from spike_zoo.cli.main import main
from spike_zoo.errors import ConfigError, FormatError
from spike_zoo.utils.yaml_files import read_yaml


def _write(folder: Path, text: str) -> Path:
    path = folder / "own.yaml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\nb: {c: 2, c: 3}\n", r"own\.yaml: line 2: the key 'c' is given twice"),
        ("- {a: 1}\n- a: 1\n  b: 2\n  a: 3\n", r"own\.yaml: line 4: the key 'a' is given twice"),
        ("a: 1\nb: [", r"own\.yaml: line 2: not YAML: "),
        ("a: !!python/name:os.getcwd\n", r"own\.yaml: line 1: not YAML: could not determine"),
        ("a: &a [*a]\n", "line 1: aliases .* or a value contains itself"),
        ("a: " + "[" * 5000 + "]" * 5000, "its values are nested too deeply"),
    ],
)
def test_content_that_is_not_valid_is_rejected_with_file_and_line(
    text: str, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError, match=message):
        read_yaml(_write(tmp_path, text))
    with pytest.raises(FormatError, match=message):
        read_yaml(_write(tmp_path, text), FormatError)


def test_a_file_that_is_not_utf_8_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "own.yaml").write_bytes(b"a: \xff\n")
    with pytest.raises(ConfigError, match=r"own\.yaml: not YAML in UTF-8"):
        read_yaml(tmp_path / "own.yaml")


def test_a_merged_mapping_may_have_a_key_that_replaces_one_of_the_anchor(tmp_path: Path) -> None:
    text = "base: &base {a: 1, b: 2}\nown: {<<: *base, b: 3}\n"
    assert read_yaml(_write(tmp_path, text))["own"] == {"a": 1, "b": 3}


BOMB = "".join(
    f"a{level}: &a{level} [{', '.join([f'*a{level - 1}' if level else 'x'] * 9)}]\n"
    for level in range(9)
)


@pytest.mark.parametrize(
    "line",
    [
        "fit --config bomb.yaml",
        "fit --config bomb.yaml --safe",
        "simulate --config bomb.yaml",
        "table bomb.yaml",
        "sweep bomb.yaml",
        "info a.dat",
    ],
)
def test_aliases_that_repeat_many_values_are_rejected(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.dat").write_bytes(bytes(100))
    for name in ("bomb.yaml", "a.dat.yaml"):
        Path(name).write_text(BOMB)
    assert main(line.split()) in (1, 2)
    error = capsys.readouterr().err
    assert ".yaml: line 5: aliases (*name) repeat more than 10,000 values" in error


def test_files_that_a_configuration_names_are_checked_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("bomb.yaml").write_text(BOMB)
    Path("own.yaml").write_text("model: bomb.yaml\n")
    assert main(["fit", "--config", "own.yaml"]) == 2
    assert "own.yaml: model: aliases (*name) repeat" in capsys.readouterr().err


def test_a_long_document_may_have_aliases(tmp_path: Path) -> None:
    text = "a: &a [1, 2, 3]\nb: [*a, *a]\nc: [" + "0, " * 12_000 + "]\n"
    content = read_yaml(_write(tmp_path, text))
    assert content["b"] == [[1, 2, 3], [1, 2, 3]]
    assert len(content["c"]) == 12_000
