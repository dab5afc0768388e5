"""A decoder on an accelerator writes and scores what it does on the CPU, and waits once a token."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import simulated_accelerator as accelerator
import torch
from toy_decoders import byte_tokenizer, toy_decoder, toy_lm

from course_lib.generation import CausalLM, Sampling, decoder_embeddings, generate, stream
from course_lib.generation.quantization import quantize_weights
from course_lib.generation.scoring import PromptClassifier

OnCpu = Callable[[Callable[[], Any]], Any]


def loaded(folder: Path) -> CausalLM:
    if not folder.exists():
        lm = toy_lm()
        lm.model.float()
        lm.save_pretrained(folder)
    return CausalLM.from_pretrained(folder)


def test_tokens_are_those_of_a_cpu(tmp_path: Path, on_cpu: OnCpu) -> None:
    def texts() -> list[Any]:
        lm = loaded(tmp_path / "toy")
        hot, prompts = Sampling(0.8, top_k=50, top_p=0.9, min_p=0.05), ["one", "a longer two", [5, 6, 7]]
        return [
            generate(lm, prompts, max_new_tokens=12), generate(lm, prompts, max_new_tokens=12, sampling=hot, stop="zz"),
            generate(lm, "one", max_new_tokens=40, lookup=4),
            generate(lm, "one", max_new_tokens=9, sampling=hot, lookup=4),
            list(stream(lm, "two", max_new_tokens=9, sampling=hot)),
        ]  # fmt: skip

    assert texts() == on_cpu(texts)
    assert loaded(tmp_path / "toy").model.embeddings.weight.device.type == accelerator.NAME


def test_scores_are_those_of_a_cpu(tmp_path: Path, on_cpu: OnCpu) -> None:
    def scores() -> list[Any]:
        lm = loaded(tmp_path / "toy")
        model = PromptClassifier(lm, "Review: {text}", {0: "bad", 1: "very good"}, examples=[("fine", 1)])
        model.calibrate(["one", "two", "three"])
        texts = ["good", "a bad film"]
        return [model.predict_proba(texts), model.bias, decoder_embeddings(lm, texts, {1: "mean", 0: "last"})]

    for here, there in zip(scores(), on_cpu(scores), strict=True):
        np.testing.assert_allclose(here, there, atol=1e-5, rtol=1e-4)


def test_greedy_decoding_waits_once_a_token(tmp_path: Path) -> None:
    lm, prompt = loaded(tmp_path / "toy"), [5, 6, 7]
    with accelerator.counted() as counts:
        done = generate(lm, prompt, max_new_tokens=10)[0]
    assert counts["synchronize"] + counts["to_host"] <= len(done.token_ids) + 1, accelerator.places


def test_launches_of_a_token_do_not_grow(tmp_path: Path) -> None:
    """Neither with the rows nor with the tokens written so far."""
    lm, per_token = loaded(tmp_path / "toy"), []
    for rows in (2, 6):
        totals = []
        for tokens in (4, 8, 16):
            with accelerator.counted():
                done = generate(lm, [[5, 6, 7]] * rows, max_new_tokens=tokens)
            assert len(done[0].token_ids) == tokens
            totals.append(accelerator.launches.total())
        per_token += [(totals[1] - totals[0]) / 4, (totals[2] - totals[1]) / 8]
    assert len(set(per_token)) == 1, (per_token, accelerator.launches.most_common(8))


def test_a_saved_folder_is_read_anywhere(tmp_path: Path, on_cpu: OnCpu) -> None:
    saved = loaded(tmp_path / "toy").save_pretrained(tmp_path / "again")
    here, there = loaded(saved).model, on_cpu(lambda: CausalLM.from_pretrained(tmp_path / "toy")).model
    for ours, theirs in zip(here.parameters(), there.parameters(), strict=True):
        assert torch.equal(ours.cpu(), theirs)


def test_rounded_weights_decode_there_in_torch(tmp_path: Path) -> None:
    wide = CausalLM(toy_decoder(hidden_size=64, intermediate_size=96), byte_tokenizer())
    lm = quantize_weights(CausalLM.from_pretrained(wide.save_pretrained(tmp_path / "wide")), 4)
    assert lm.device.type == accelerator.NAME and 0.05 < max(lm.model.weight_errors.values()) < 0.1
    plain = CausalLM.from_pretrained(lm.save_pretrained(tmp_path / "rounded"))
    for prompt in ("one", "a longer two"):
        assert generate(lm, prompt, max_new_tokens=9) == generate(plain, prompt, max_new_tokens=9)
