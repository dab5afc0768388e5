"""`python -m course_lib generate`: a stream, one JSON object, an interruption, and plain errors."""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from command_runs import told

from course_lib import assets, generation
from course_lib.commands import main
from course_lib.commands.generate import visible
from course_lib.generation import CausalLM, Decoder, DecoderConfig, Sampling, generate
from course_lib.generation.pretrained import course_decoder_folder
from course_lib.generation.quantization import quantize_weights


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny random decoder and the tokenizer of the course's."""
    from course_lib.batching import load_tokenizer

    torch.manual_seed(0)
    config = DecoderConfig(
        hidden_size=16, n_layers=2, n_heads=4, n_kv_heads=2, intermediate_size=32, max_positions=64
    )  # fmt: skip
    lm = CausalLM(Decoder(config).eval(), load_tokenizer(course_decoder_folder()))
    return lm.save_pretrained(tmp_path_factory.mktemp("generate") / "model")


def test_the_stream_and_the_json_object_are_what_the_library_generates(
    model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    call = ["generate", "What is a noun?", "--model", str(model), "--max-new-tokens", "12", "--temperature", "1",
            "--top-k", "50", "--seed", "3"]  # fmt: skip
    lm = CausalLM.from_pretrained(model)
    (wanted,) = generate(lm, "What is a noun?", max_new_tokens=12, sampling=Sampling(1.0, 50), seed=3)
    assert main(call) == 0
    said = capsys.readouterr()
    assert said.out == visible(wanted.text) + "\n" and "12 tokens in" in said.err and "--max-new-tokens" in said.err
    assert main([*call, "--json"]) == 0
    found = told(capsys)
    assert (found["text"], found["finish_reason"], found["tokens"]) == (wanted.text, "length", 12)
    assert found["seconds"] >= 0 and found["tokens_per_second"] > 0 and found["prompt_tokens"] == wanted.prompt_tokens


def test_fewer_bits(model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    torch.manual_seed(0)
    config = DecoderConfig(
        hidden_size=64, n_layers=1, n_heads=4, n_kv_heads=2, intermediate_size=64, max_positions=64
    )  # fmt: skip
    lm = CausalLM(Decoder(config).eval(), CausalLM.from_pretrained(model).tokenizer)
    (wanted,) = generate(quantize_weights(lm, 4), "What is a noun?", max_new_tokens=8)
    call = ["generate", "What is a noun?", "--model", str(lm.save_pretrained(tmp_path / "new"))]
    assert main([*call, "--max-new-tokens", "8", "--bits", "4", "--json"]) == 0
    assert told(capsys)["text"] == wanted.text


def test_raw_text_a_system_prompt_and_standard_input(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    lm = CausalLM.from_pretrained(model)
    prompts: dict[str, Any] = {
        "--raw": lm.encode("It rains\nin Paris"),
        "--system=Be brief.": lm.chat_ids("It rains\nin Paris", "Be brief."),
    }
    for option, ids in prompts.items():
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"It rains\r\nin Paris\n")))
        assert main(["generate", "-", option, "--model", str(model), "--max-new-tokens", "5", "--json"]) == 0
        assert told(capsys)["text"] == generate(lm, ids, max_new_tokens=5)[0].text


def replace_stream(monkeypatch: pytest.MonkeyPatch, *pieces: str, then: type[BaseException] | None = None) -> None:
    """From now on the model writes these pieces."""

    def stream(*_: Any, **__: Any) -> Iterator[str]:
        yield from pieces
        if then:
            raise then
        return generation.Generation("".join(pieces), (1, 2), "end", 3, 2)

    monkeypatch.setattr(generation, "stream", stream)


def test_what_was_written_before_an_interruption_stays(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_stream(monkeypatch, "Once ", "upon", then=KeyboardInterrupt)
    assert main(["generate", "Write.", "--model", str(model)]) == 130
    said = capsys.readouterr()
    assert said.out == "Once upon\n" and said.err == "interrupted; the same command starts again\n"


def test_a_terminal_gets_no_control_characters(
    model: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    replace_stream(monkeypatch, "a\x1b[31m\tb\n", "\x9b0m\u202ec\r\U0001f600é")
    assert main(["generate", "Write.", "--model", str(model)]) == 0
    assert capsys.readouterr().out == "a\\x1b[31m\tb\n\\x9b0m\\u202ec\\r\U0001f600é\n"


def test_a_reader_who_has_seen_enough_stops_the_model(model: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Closed(io.StringIO):
        def write(self, text: str) -> int:
            raise BrokenPipeError

    replace_stream(monkeypatch, "Once ", then=AssertionError)
    monkeypatch.setattr(sys, "stdout", Closed())
    assert main(["generate", "Write.", "--model", str(model)]) == 0


def test_the_download_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], model: Path) -> None:
    monkeypatch.setattr(assets, "fetch", lambda name, progress: progress(f"{name}: fetching"))
    monkeypatch.setattr(CausalLM, "from_pretrained", lambda name, own=CausalLM.from_pretrained: own(model))
    replace_stream(monkeypatch, "Yes.")
    assert main(["generate", "Really?"]) == 0
    assert capsys.readouterr().err.startswith("smollm2: fetching\n")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([""], "the prompt is empty"),
        ([" \n"], "the prompt is empty"),
        (["a\0b"], "NUL character"),
        (["a", "--max-new-tokens", "0"], "--max-new-tokens is 0"),
        (["a", "--lookup", "-1"], "--lookup is -1"),
        (["a", "--seed", str(2**70)], "--seed is"),
        (["a", "--stop", "b", "--stop", ""], "--stop is an empty text"),
        (["a", "--raw", "--system", "b"], "--system has no place"),
        (["a", "--temperature", "-1"], "temperature is -1.0"),
        (["a", "--temperature", "nan"], "temperature is nan"),
        (["a", "--top-p", "0"], "top_p is 0.0"),
    ],
    ids=lambda part: " ".join(part)[:30] if isinstance(part, list) else "",
)
def test_bad_input_is_refused_before_the_model_is_loaded(
    arguments: list[str], said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(CausalLM, "from_pretrained", lambda name: pytest.fail("loaded"))
    assert main(["generate", *arguments, "--json"]) == 1
    assert said in told(capsys)["error"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["word " * 70], "the prompt has"),
        (["a", "--max-new-tokens", "10000"], "exceed the model's 64 positions"),
    ],
)
def test_what_does_not_fit_the_model_is_refused(
    arguments: list[str], said: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["generate", *arguments, "--model", str(model)]) == 1
    assert said in capsys.readouterr().err


@pytest.mark.parametrize(("given", "said"), [(b"caf\xe9", "is not in utf-8"), (b"", "the prompt is empty")])
def test_standard_input_that_is_no_prompt(
    given: bytes, said: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(given)))
    assert main(["generate", "-"]) == 1
    assert said in capsys.readouterr().err


def test_a_folder_of_another_model_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    for folder, said in ((str(assets.path("course_encoder")), "model_type is 'bert'"), ("nothing", "there is no")):
        assert main(["generate", "a", "--model", folder]) == 1
        assert said in capsys.readouterr().err
