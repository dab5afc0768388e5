"""Tokens a second of `generate` against transformers', prefill, the KV cache, prompt look-up decoding, and memory.

With weights of 4 and 8 bits: tokens a second of one text, of reading prompts, and the change of the perplexity.

python tests/benchmarks/bench_generate.py [--rounds 5]
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from side_by_side.claims import Claim
from side_by_side.clock import take_turns
from side_by_side.generation_runs import loading_memory, transformers_model, transformers_tokens
from side_by_side.matmul import share_of_peak
from side_by_side.process import in_fresh_process
from side_by_side.report import Report

from course_lib import corpora, machine
from course_lib.generation import CausalLM, generate
from course_lib.generation.decoder import product
from course_lib.generation.quantization import quantize_weights
from course_lib.generation.scoring import token_log_probabilities

PROMPTS = (
    "Write a story about a lighthouse.", "Explain how bread is baked.", "Describe a morning at a harbour.",
    "How does a bicycle work?", "Tell me about the seasons of the year.", "Write a letter to a new neighbour.",
    "Explain what a river delta is.", "Describe how to grow tomatoes.",
)  # fmt: skip
SOURCE = (
    "The old bridge crosses the river near the mill. Every spring the water rises and covers the lowest stones, and "
    "the people of the village bring their boats to the garden walls. In the summer the children swim below the "
    "bridge, while the miller repairs the wheel. When the first frost comes, the boats are turned over, the wheel is "
    "locked, and the river is quiet again until the snow melts in the hills and the whole year begins once more."
)
REPEATING = (
    f"Repeat this text word by word: {SOURCE}",
    f"Correct the typing error in this text and write the whole text: {SOURCE.replace('village', 'vilage')}",
    f"Copy the following paragraph exactly.\n\n{SOURCE.replace('river', 'canal')}",
)
BITS = {"int4": (4, 16), "int4, int8 activations": (4, 8), "int8": (8, 16)}  # of weights and activations, by contender
LOOKUP = 6  # tokens that are guessed at once
HELD_OUT = ("movie_reviews", "product_reviews", "news")  # test texts whose perplexity is measured
Quantized = Mapping[str, CausalLM]  # name of a contender -> the decoder with fewer bits


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line's settings."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5, help="times that each contender runs; the median counts")
    parser.add_argument("--tokens", type=int, default=128, help="new tokens of a prompt")
    parser.add_argument("--cache-tokens", type=int, default=256, help="new tokens with and without the cache")
    parser.add_argument("--held-out", type=int, default=8192, help="tokens whose perplexity is measured")
    return parser.parse_args(arguments)


def ours(lm: CausalLM, prompts: Sequence[str], tokens: int, lookup: int = 0) -> list[list[int]]:
    """Greedy tokens of each prompt."""
    return [list(one.token_ids) for one in generate(lm, list(prompts), max_new_tokens=tokens, lookup=lookup)]


def repeat(lm: CausalLM, tokens: int, lookup: int) -> list[list[int]]:
    """Greedy tokens of the prompts whose answer repeats its source, one after another."""
    return [ours(lm, [prompt], tokens, lookup)[0] for prompt in REPEATING]


def without_cache(lm: CausalLM, prompt: str, tokens: int) -> list[int]:
    """Greedy tokens of one prompt; the whole text is read again for each."""
    ids = lm.chat_ids(prompt)
    start = len(ids)
    with torch.inference_mode():
        while (len(ids) < start + tokens and ids[-1] != lm.tokenizer.eos_token_id) or len(ids) == start:
            ids.append(int(lm.model.logits(lm.model(torch.tensor([ids]))[0, -1]).argmax()))
    return ids[start:]


def race(what: str, contenders: Mapping[str, Callable[[], list[list[int]]]], rounds: int) -> list[dict[str, Any]]:
    """One row a contender: tokens a second, and the fraction of rows whose tokens are those of the first contender."""
    written: dict[str, list[list[int]]] = {}

    def keep(name: str) -> Callable[[], None]:
        return lambda: written.update({name: contenders[name]()})

    seconds = take_turns({name: keep(name) for name in contenders}, rounds)
    reference = written[next(iter(contenders))]
    return [
        {
            "what": what,
            "contender": name,
            "tokens_a_second": sum(map(len, written[name])) / median(times),
            "equal": sum(a == b for a, b in zip(written[name], reference, strict=True)) / len(reference),
            "seconds": times,
        }
        for name, times in seconds.items()
    ]


def races(lm: CausalLM, fewer_bits: Quantized, asked: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Against transformers at batch 1 and 8; look-up decoding; with and without the cache."""
    peer = transformers_model()
    for size in (1, 8):
        prompts = PROMPTS[:size]
        decoders = {"ours": lm, **fewer_bits} if size == 1 else {"ours": lm}
        contenders = {name: partial(ours, one, prompts, asked.tokens) for name, one in decoders.items()}
        contenders["transformers"] = partial(transformers_tokens, peer, lm, prompts, asked.tokens)
        for run in contenders.values():  # to warm up
            run()
        yield from race(f"batch {size}", contenders, asked.rounds)
    for name, one in {"repeated text": lm, "repeated text, int4": fewer_bits["int4"]}.items():
        plain = {f"lookup {n}": partial(repeat, one, 2 * asked.tokens, n) for n in (0, LOOKUP)}
        yield from race(name, plain, asked.rounds)
    cache = {
        "with cache": partial(ours, lm, PROMPTS[:1], asked.cache_tokens),
        "without": lambda: [without_cache(lm, PROMPTS[0], asked.cache_tokens)],
    }
    yield from race("cache", cache, 1)


@torch.inference_mode()
def layouts(lm: CausalLM, rounds: int) -> dict[str, dict[str, float]]:
    """Milliseconds of all products of one layer, by rows: x W^T as `F.linear` computes it, and `decoder.product`."""
    layer = lm.model.layers[0]
    weights = [part.weight for part in layer.modules() if isinstance(part, torch.nn.Linear)]
    found = {}
    for rows in (1, 8, 64, 512):
        inputs = [torch.randn(rows, weight.shape[1]) for weight in weights]

        def run(multiply: Callable[..., Any], inputs: list[torch.Tensor] = inputs) -> None:
            for _ in range(20):
                for x, weight in zip(inputs, weights, strict=True):
                    multiply(x, weight)

        seconds = take_turns({"F.linear": lambda: run(F.linear), "product": lambda: run(product)}, rounds + 1)
        found[str(rows)] = {name: 1000 * median(times[1:]) / 20 for name, times in seconds.items()}
    return found


def held_out_text(lm: CausalLM, tokens: int) -> str:
    """Test reviews of several domains, about so many tokens together."""
    parts = []
    for name in HELD_OUT:
        whole = lm.encode("\n\n".join(corpora.part(name, "test")["text"]))
        parts.append(lm.decode(whole[: tokens // len(HELD_OUT)]))
    return "\n\n".join(parts)


def perplexities(lm: CausalLM, fewer_bits: Quantized, text: str) -> dict[str, dict[str, float]]:
    """By decoder: the perplexity, how much larger it is than that of float32, and the standard error of this ratio."""
    exact = token_log_probabilities(lm, text)
    found = {"ours": {"perplexity": float(np.exp(-exact.mean())), "increase": 0.0, "error": 0.0}}
    for name, one in fewer_bits.items():
        lost = exact - (logs := token_log_probabilities(one, text))
        found[name] = {
            "perplexity": float(np.exp(-logs.mean())),
            "increase": float(np.expm1(lost.mean())),
            "error": float(lost.std() / len(lost) ** 0.5),
            "tokens": float(len(lost)),
            "weight_error": max(one.model.weight_errors.values()),
        }
    return found


@torch.inference_mode()
def prompts_read(lm: CausalLM, fewer_bits: Quantized, rounds: int) -> dict[str, dict[str, float]]:
    """Seconds of reading a prompt, by its tokens and decoder."""
    found = {}
    for tokens in (16, 32, 127, 512):
        ids = torch.randint(0, 49152, (1, tokens), generator=torch.Generator().manual_seed(0))

        def read(one: CausalLM, ids: torch.Tensor = ids) -> None:
            one.model.logits(one.model(ids, cache=one.model.new_cache(1, ids.shape[1]))[:, -1])

        decoders = {"ours": lm, **fewer_bits}
        seconds = take_turns({name: partial(read, one) for name, one in decoders.items()}, rounds + 1)
        found[str(tokens)] = {name: median(times[1:]) for name, times in seconds.items()}
    return found


def claims_of_bits(content: Mapping[str, Any]) -> list[Claim]:
    """What fewer bits must not cost."""
    found = [
        Claim(f"{name}: increase of the perplexity over float32", 0.01, content["perplexity"][name]["increase"], True)
        for name in BITS
    ]
    for tokens, seconds in content["prompts_s"].items():
        found.append(
            Claim(
                f"int4: seconds of reading {tokens} tokens, over float32", 1.15, seconds["int4"] / seconds["ours"], True
            )
        )
    return found


def claims(rows: Sequence[dict[str, Any]], prefill: float, memory: float) -> list[Claim]:
    """Ratios of tokens a second, the fraction of the peak, and the memory of loading."""
    speed = {(row["what"], row["contender"]): row["tokens_a_second"] for row in rows}
    ratios = [
        ("batch 1", "ours", "transformers", 1.5), ("batch 8", "ours", "transformers", 1.0),
        *(("batch 1", name, "transformers", 3.0) for name in BITS),
        ("repeated text, int4", f"lookup {LOOKUP}", "lookup 0", 1.0),
        ("repeated text", f"lookup {LOOKUP}", "lookup 0", 1.3), ("cache", "with cache", "without", 5.0),
    ]  # fmt: skip
    found = [
        Claim(f"{what}: {one} over {other}, tokens a second", goal, speed[what, one] / speed[what, other])
        for what, one, other, goal in ratios
    ]
    return [
        *found,
        Claim("prefill of 512 tokens: fraction of the measured matmul peak", 0.8, prefill),
        Claim("peak memory of loading, over the bytes of the weights", 1.3, memory, at_most=True),
    ]


def main(asked: argparse.Namespace) -> None:
    """All of them, one after another."""
    report = Report("generate", vars(asked), asked.rounds < 5 or asked.tokens < 128 or asked.cache_tokens < 256)
    memory = in_fresh_process(loading_memory, {})
    lm = CausalLM.from_pretrained()
    fewer_bits = {name: quantize_weights(lm, *bits) for name, bits in BITS.items()}
    for row in races(lm, fewer_bits, asked):
        report.add(row)
    text = torch.randint(0, 49152, (1, 512), generator=torch.Generator().manual_seed(0))

    def read() -> None:
        with torch.inference_mode():
            lm.model.logits(lm.model(text)[:, -1])

    prefill = share_of_peak(read, machine.device(), torch.float32, asked.rounds)
    report.content |= {"memory": memory, "prefill": vars(prefill), "layouts_ms": layouts(lm, asked.rounds)}
    report.content["perplexity"] = perplexities(lm, fewer_bits, held_out_text(lm, asked.held_out))
    report.content["prompts_s"] = prompts_read(lm, fewer_bits, asked.rounds)
    found = claims(report.rows, prefill.share, memory["growth_bytes"] / memory["weight_bytes"])
    found += claims_of_bits(report.content)
    report.close(HEADING, [line(row) for row in report.rows], found)
    print(f"prefill: {prefill.gflops:.0f} of {prefill.peak_gflops:.0f} GFLOP/s")
    for rows, times in report.content["layouts_ms"].items():
        print(f"products of a layer, {rows} rows: " + ", ".join(f"{name} {ms:.3f} ms" for name, ms in times.items()))
    for name, values in report.content["perplexity"].items():
        print(f"{name}: perplexity {values['perplexity']:.2f}, {values['increase']:+.2%} +- {values['error']:.2%}")
    for tokens, times in report.content["prompts_s"].items():
        print(f"reading {tokens} tokens: " + ", ".join(f"{name} {1000 * s:.0f} ms" for name, s in times.items()))


HEADING = ("contender", "tokens/s", "median s", "slowest s", "rows equal")


def line(row: dict[str, Any]) -> tuple[str, ...]:
    """A row of the table."""
    seconds = row["seconds"]
    return (
        f"{row['what']}: {row['contender']}",
        f"{row['tokens_a_second']:.1f}",
        f"{median(seconds):.2f}",
        f"{max(seconds):.2f}",
        f"{row['equal']:.0%}",
    )


if __name__ == "__main__":
    main(options())
