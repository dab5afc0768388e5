"""transformers' `generate` on the course's decoder, and what it takes to load it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from course_lib import machine
from course_lib.generation import CausalLM
from course_lib.generation.pretrained import course_decoder_folder


def transformers_model() -> Any:
    """The course's decoder as transformers loads it."""
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(str(course_decoder_folder()), dtype=torch.float32).eval()


def transformers_tokens(model: Any, lm: CausalLM, prompts: Sequence[str], tokens: int) -> list[list[int]]:
    """Greedy tokens of each prompt, padded on the left, up to and with the end token."""
    rows = [lm.chat_ids(prompt) for prompt in prompts]
    longest, pad, end = max(map(len, rows)), lm.tokenizer.pad_token_id, lm.tokenizer.eos_token_id
    ids = torch.tensor([[pad] * (longest - len(row)) + row for row in rows])
    mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows])
    with torch.inference_mode():
        written = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=tokens, pad_token_id=pad)
    new = written[:, longest:].tolist()
    return [row[: row.index(end) + 1] if end in row else row for row in new]


def loading_memory(_: dict[str, Any]) -> dict[str, Any]:
    """Growth of the resident set while the decoder is loaded, to be called in a fresh process."""
    import transformers.models.auto  # noqa: F401

    with machine.PeakMemory() as before:
        pass
    with machine.PeakMemory() as peak:
        lm = CausalLM.from_pretrained()
    weights = sum(weight.nbytes for weight in lm.model.parameters())
    return {"growth_bytes": peak.bytes - before.bytes, "weight_bytes": weights}
