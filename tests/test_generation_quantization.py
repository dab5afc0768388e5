"""Decoders with weights of 4 and 8 bits: exact formats, bounded errors, the two ways of computing, and fallbacks."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from toy_decoders import byte_tokenizer, toy_decoder

from course_lib.errors import BadInput
from course_lib.generation import CausalLM, Decoder, generate, quantization, stream
from course_lib.generation.finetuning import with_adapters
from course_lib.generation.quantization import BLOCK, QuantizedDecoder, quantize_blocks, quantize_weights, split_rows

SIZES = {"hidden_size": 64, "intermediate_size": 96}
PROMPTS = [[1, 5, 9, 40], [7] * 30, [3], list(range(60, 90))]


def wide_lm(seed: int = 0, **sizes: Any) -> CausalLM:
    """In float32, of widths that blocks of 32 divide."""
    return CausalLM(toy_decoder(seed, **{**SIZES, **sizes}), byte_tokenizer())


def decoder(lm: CausalLM) -> QuantizedDecoder:
    assert isinstance(lm.model, QuantizedDecoder)
    return lm.model


def dequantized(lm: CausalLM) -> CausalLM:
    """An ordinary decoder with the rounded weights."""
    plain = Decoder(lm.model.config).eval().requires_grad_(False)
    plain.load_state_dict(lm.model.state_dict())
    return CausalLM(plain, lm.tokenizer)


def ids(length: int, rows: int = 1) -> Tensor:
    return torch.randint(3, 259, (rows, length), generator=torch.Generator().manual_seed(length))


@torch.inference_mode()
def read(model: Decoder, tokens: Tensor, pieces: list[int]) -> Tensor:
    """The states of tokens that are read piece by piece; what the cache held before does not matter."""
    cache = model.new_cache(1, tokens.shape[1])
    cache.keys.fill_(float("nan"))
    cache.values.fill_(float("nan"))
    return torch.cat([model(piece, cache=cache) for piece in tokens.split(pieces, 1)], 1)


# ---- rounding ------------------------------------------------------------------------------------------------------


def test_a_matrix_that_was_stored_so_is_found_again() -> None:
    random = torch.Generator().manual_seed(0)
    integers = torch.randint(0, 16, (40, 6, BLOCK), generator=random)
    integers[..., 3], integers[..., 17] = 0, 15
    scale, minimum = torch.rand(40, 6, 1, generator=random).half(), torch.randn(40, 6, 1, generator=random).half()
    stored = (integers * scale.float() + minimum.float()).view(40, -1)
    assert torch.equal(quantize_blocks(stored, 4).dequantize(), stored)
    integers = torch.randint(-127, 128, (40, 6, BLOCK), generator=random)
    integers[..., 5] = 127
    stored = (integers * scale.float()).view(40, -1)
    assert torch.equal(quantize_blocks(stored, 8).dequantize(), stored)


@pytest.mark.parametrize(("bits", "steps"), [(4, 15), (8, 254)])
def test_no_weight_moves_by_more_than_half_a_step(bits: int, steps: int) -> None:
    weight = torch.randn(30, 96, generator=torch.Generator().manual_seed(1))
    weight[0], weight[1], weight[2] = 0.0, -3.0, torch.linspace(1e-9, 2e-9, 96)
    parts = weight.unflatten(1, (-1, BLOCK))
    widest = parts.amax(-1) - parts.amin(-1) if bits == 4 else 2 * parts.abs().amax(-1)
    moved = (quantize_blocks(weight, bits).dequantize() - weight).abs().unflatten(1, (-1, BLOCK)).amax(-1)
    bound = 1.01 * widest / steps / 2 + (widest / 2**11 if bits == 4 else 0)  # a scale of 4 bits is rounded to 16
    assert bool((moved <= bound + 1e-7).all())


def test_the_errors_are_those_of_the_weights() -> None:
    lm = wide_lm()
    for bits, least, most in ((4, 0.05, 0.1), (8, 0.003, 0.01)):
        model = decoder(quantize_weights(lm, bits))
        for name, error in model.weight_errors.items():
            true, rounded = lm.model.get_parameter(name), model.get_parameter(name)
            assert error == pytest.approx(float((true - rounded).norm() / true.norm()))
            assert name == "embeddings.weight" or least < error < most
    again = decoder(quantize_weights(quantize_weights(lm, 4), 4))
    assert set(again.weight_errors.values()) == {0.0} and len(again.weight_errors) == 9
    assert again.embeddings.weight is not lm.model.embeddings.weight  # rounding changed it the first time


# ---- products ------------------------------------------------------------------------------------------------------


BITS = [(4, 16), (4, 8), (8, 16), (8, 8)]  # of weights and activations


@pytest.mark.parametrize("bits", BITS, ids=str)
@pytest.mark.parametrize("pieces", [[32], [13, 1, 7, 11], [1] * 32], ids=str)
@pytest.mark.parametrize("sizes", [{}, {"n_heads": 2, "n_kv_heads": 1}, {"n_layers": 1, "vocab_size": 300}], ids=str)
def test_states_are_those_of_the_rounded_weights(
    bits: tuple[int, int], pieces: list[int], sizes: dict[str, Any]
) -> None:
    lm = quantize_weights(wide_lm(**sizes), *bits)
    with torch.inference_mode():
        wanted = dequantized(lm).model(ids(32))
    found = read(lm.model, ids(32), pieces)
    assert not torch.equal(found, wanted)  # activations are rounded, or summed in another order
    assert float((found - wanted).norm() / wanted.norm()) < (0.05 if bits[1] == 8 else 1e-3)


def test_logits_are_those_of_the_rounded_weights() -> None:
    lm = quantize_weights(wide_lm(), 4)
    states = read(lm.model, ids(20), [20])[0].clone()
    states[3, :BLOCK], states[4] = 0.0, 0.0
    with torch.inference_mode():
        torch.testing.assert_close(lm.model.logits(states), dequantized(lm).model.logits(states), atol=2e-3, rtol=1e-3)
    coarse, rest = split_rows(states)
    assert torch.equal(coarse + rest, states)
    largest = states.unflatten(-1, (-1, BLOCK)).abs().amax(-1).repeat_interleave(BLOCK, -1)
    assert bool((rest.abs() <= 0.501 * largest / 127).all())


@pytest.mark.parametrize("bits", [4, 8])
def test_everything_else_computes_with_the_rounded_weights(bits: int) -> None:
    lm, long = quantize_weights(wide_lm(), bits), ids(33)
    plain, mask = dequantized(lm).model, torch.ones(2, 9, dtype=torch.long)
    mask[0, :4] = 0
    with torch.inference_mode():
        assert torch.equal(lm.model(ids(9)), plain(ids(9)))
        assert torch.equal(lm.model(ids(9, 2), mask), plain(ids(9, 2), mask))
        assert torch.equal(
            lm.model(ids(9, 2), cache=lm.model.new_cache(2, 9)), plain(ids(9, 2), cache=plain.new_cache(2, 9))
        )
        assert torch.equal(lm.model(long, cache=lm.model.new_cache(1, 33)), plain(long, cache=plain.new_cache(1, 33)))
    assert generate(lm, PROMPTS[:1] * 2, max_new_tokens=1)  # several rows
    double = copy.deepcopy(lm.model).double()
    assert double.logits(double(ids(3), cache=double.new_cache(1, 3))).dtype == torch.float64


def test_a_copy_may_be_trained() -> None:
    lm = quantize_weights(wide_lm(), 4)
    adapted = with_adapters(lm.model, 2)
    with torch.no_grad():
        found = adapted(ids(5), cache=adapted.new_cache(1, 5))
    torch.testing.assert_close(found, dequantized(lm).model(ids(5)), atol=1e-5, rtol=1e-4)
    adapted.logits(adapted(ids(5))).square().mean().backward()
    assert any(weight.grad is not None for weight in adapted.parameters())
    lm.model.requires_grad_(True)
    lm.model.logits(lm.model(ids(5))).square().mean().backward()
    assert lm.model.layers[0].attention.qkv_proj.weight.grad is not None


# ---- generation ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("prompt", PROMPTS, ids=len)
def test_greedy_tokens_are_those_of_the_rounded_weights(prompt: list[int]) -> None:
    lm = quantize_weights(wide_lm(2), 4)
    found, wanted = (generate(one, prompt, max_new_tokens=40)[0] for one in (lm, dequantized(lm)))
    assert found == wanted


@pytest.mark.parametrize("bits", BITS, ids=str)
def test_look_up_streams_and_threads_give_the_same_tokens(bits: tuple[int, int]) -> None:
    lm = quantize_weights(wide_lm(3), *bits)
    for prompt in PROMPTS:
        plain, fast = (generate(lm, prompt, max_new_tokens=40, lookup=lookup)[0] for lookup in (0, 4))
        assert plain.token_ids == fast.token_ids and fast.forward_passes <= plain.forward_passes
        assert "".join(stream(lm, prompt, max_new_tokens=40)) == plain.text
    wanted = [generate(lm, prompt, max_new_tokens=20)[0] for prompt in PROMPTS]
    with ThreadPoolExecutor(4) as pool:
        jobs = [pool.submit(generate, lm, prompt, max_new_tokens=20) for prompt in PROMPTS * 3]
        assert [job.result()[0] for job in jobs] == wanted * 3


def test_the_course_decoder_loses_nothing_with_4_bits() -> None:
    lm = CausalLM.from_pretrained()
    quantized = quantize_weights(lm, 4)
    model = decoder(quantized)
    assert len(model.weight_errors) == 121 and set(model.weight_errors.values()) == {0.0}
    pairs = zip(model.parameters(), lm.model.parameters(), strict=True)
    assert all(ours.data_ptr() == theirs.data_ptr() for ours, theirs in pairs)  # no second copy
    prompt = "What is the capital of France?"
    texts = [generate(one, prompt, max_new_tokens=8)[0].text for one in (quantized, lm)]
    assert texts[0] == texts[1] == "The capital of France is Paris."


# ---- saving, fallbacks, bad input ----------------------------------------------------------------------------------


def test_the_rounded_weights_are_saved(tmp_path: Path) -> None:
    lm = quantize_weights(wide_lm(), 4)
    again = CausalLM.from_pretrained(lm.save_pretrained(tmp_path / "toy")).model
    assert not isinstance(again, QuantizedDecoder)
    for name, weight in lm.model.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight)


@pytest.mark.parametrize("missing", [True, False])
def test_without_the_operators_torch_computes(missing: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(model: Any) -> Any:
        raise RuntimeError("no such operator")

    if missing:
        monkeypatch.setattr(quantization, "_session", fail)
    with pytest.warns(UserWarning, match="float32 instead"):
        lm = quantize_weights(wide_lm(**({} if missing else {"n_heads": 8, "n_kv_heads": 4})), 4)  # heads of 8 numbers
    found = read(lm.model, ids(12), [5, 1, 6])
    torch.testing.assert_close(found, dequantized(lm).model(ids(12)), atol=1e-5, rtol=1e-4)
    assert [one.token_ids for one in generate(lm, PROMPTS[0], max_new_tokens=9)] == [
        one.token_ids for one in generate(dequantized(lm), PROMPTS[0], max_new_tokens=9)
    ]


@pytest.mark.parametrize("bits", [3, 0, 32, True, "4", 4.5, None])
def test_bits_that_are_refused(bits: Any) -> None:
    with pytest.raises(BadInput, match="bits"):
        quantize_weights(wide_lm(), bits)


@pytest.mark.parametrize("bits", [(4, 32), (8, 4), (4, "8"), (8, True), (8, None)], ids=str)
def test_bits_of_activations_that_are_refused(bits: Any) -> None:
    with pytest.raises(BadInput, match="activation_bits"):
        quantize_weights(wide_lm(), *bits)


def test_models_that_are_refused() -> None:
    with pytest.raises(BadInput, match="multiple of 32"):
        quantize_weights(wide_lm(intermediate_size=80), 4)
    lm = wide_lm()
    lm.model.layers[1].feed_forward.down_proj.weight[3, 4] = float("nan")
    with pytest.raises(BadInput, match="infinity or a NaN"):
        quantize_weights(lm, 4)


def test_too_many_tokens_are_refused() -> None:
    lm = quantize_weights(wide_lm(), 4)
    with pytest.raises(BadInput, match="room"):
        lm.model(ids(6), cache=lm.model.new_cache(1, 5))
