"""Model cards contain the values of a record, with escaped text."""

import pytest
import yaml

from spike_zoo.training.model_card import model_card
from tests.helpers.results import make_result

DESCRIPTION = {
    "class_path": "spike_zoo.methods.stir.STIRModule",
    "hyper_parameters": {"width": 0.5, "api_key": "letmein"},
    "summary": "Train STIR.",
    "command": "reconstruct",
}
RESULT = make_result(
    metrics={"test/psnr": 35.194, "test/f1_3": 0.5, "val/psnr": 36.0, "train/total": 0.1},
    config={"data": {"init_args": {"archive": "data/default.h5"}}},
    images=48,
)


def test_a_card_states_metrics_data_licence_and_recipe() -> None:
    card = model_card("me/small", DESCRIPTION, RESULT, licence="cc-by-4.0")
    assert "| psnr | 35.19 |" in card
    assert "48 images" in card
    assert "`default.h5`" in card
    assert RESULT.data_sha256 is not None
    assert RESULT.data_sha256 in card
    assert "cc-by-4.0" in card
    assert "configs/stir.yaml" in card
    assert "width: 0.5" in card
    assert 'spike_zoo.load("hf:me/small")' in card
    assert "36" not in card.partition("## Data")[0], (
        "validation metrics select the checkpoint and are no results"
    )


def test_a_card_contains_no_secret() -> None:
    assert "letmein" not in model_card("small", DESCRIPTION, RESULT)


def test_the_header_is_parsed_by_the_hub() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="of the extra 'hub'")
    data = hub.ModelCard(model_card("me/small", DESCRIPTION, RESULT)).data
    (result,) = data.eval_results
    assert (result.metric_type, result.metric_value) == ("psnr", 35.194)
    assert (result.dataset_name, result.dataset_split) == ("default.h5", "test")


def test_a_card_of_weights_without_a_record_states_that() -> None:
    card = model_card("small", DESCRIPTION)
    assert "No test record of these weights" in card
    header = yaml.safe_load(card.split("---")[1])
    assert set(header) == {"license", "library_name", "tags"}
    assert 'spike_zoo.load("small")' in card


@pytest.mark.parametrize(
    ("command", "line"), [("deblur", "--method small"), ("classify", "classify digit.npz")]
)
def test_a_card_states_the_command_for_the_weights(command: str, line: str) -> None:
    assert line in model_card("small", {**DESCRIPTION, "command": command})


def _card_with(text: str) -> str:
    """Return the body of a card with a given text as names, arguments and facts."""
    described = {
        "class_path": f"own.{text}Module",
        "hyper_parameters": {"text": text, text: 1},
        "summary": text,
        "command": "deblur",
    }
    result = make_result(
        metrics={f"test/{text}": 1.0, "test/psnr": 30.0},
        config={"data": {"init_args": {"archive": text}}},
        **dict.fromkeys(("profile", "commit", "data_sha256"), text),
        configs=[text],
        versions={"torch": text},
        begins_with={"init_from": {"path": text}},
    )
    card = model_card(f"me/{text}", described, result, licence=text)
    header, body = card.removeprefix("---\n").split("\n---\n", 1)
    assert yaml.safe_load(header)["license"] == text
    return body


def test_text_of_users_is_escaped() -> None:
    markdown = pytest.importorskip("markdown_it", reason="of rich").MarkdownIt()
    markdown.enable("table")  # HTML is enabled by default, as on the Hub
    hostile = (
        "<img src=x onerror=alert(1)> ![x](x.png) [y](z) **b** _c_ | `d`\n---\n```\n# e\x1b[31m\n"
    )
    tokens, plain = (markdown.parse(_card_with(text)) for text in (hostile, "text"))
    assert [token.type for token in tokens] == [token.type for token in plain]
    kinds = {child.type for token in tokens for child in token.children or ()}
    assert kinds == {"text", "code_inline"}
    assert "\x1b" not in markdown.render(_card_with(hostile))
