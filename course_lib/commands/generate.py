"""`python -m course_lib generate`: a language model answers a message or continues a text, word by word."""

from __future__ import annotations

import argparse
import re
import time
from typing import TYPE_CHECKING, Any

from course_lib.commands.inputs import garbage_collector_paused, read_lines, say, write_out
from course_lib.errors import BadInput

if TYPE_CHECKING:
    from course_lib.generation import CausalLM, Generation

_FINISHED = {
    "end": "the model ended its answer",
    "stop": "a stop string ended it",
    "length": "--max-new-tokens ended it",
}
# Characters that a terminal obeys instead of showing them, and those that turn the direction of writing.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Model, prompt and sampling."""
    parser.add_argument("--model", default="smollm2", help="smollm2 (default), or a transformers folder of a Llama")
    parser.add_argument("--max-new-tokens", type=int, default=200, metavar="N", help="tokens to write at most (200)")
    parser.add_argument("--temperature", type=float, default=0.0, help="0 takes the likeliest token (0)")
    parser.add_argument("--top-k", type=int, default=0, metavar="K", help="draw from the K likeliest tokens (0: all)")
    parser.add_argument("--top-p", type=float, default=1.0, metavar="P", help="from the likeliest that reach P (1)")
    parser.add_argument("--min-p", type=float, default=0.0, metavar="P", help="from those with P of the best one's (0)")
    parser.add_argument("--seed", type=int, default=0, help="of the draws (0)")
    parser.add_argument("--stop", action="append", default=[], metavar="TEXT", help="ends before this text; repeatable")
    parser.add_argument("--system", metavar="TEXT", help="the system prompt (the model's own)")
    parser.add_argument("--bits", type=int, choices=(4, 8), help="of each weight: faster on a CPU (32)")
    parser.add_argument("--lookup", type=int, default=0, metavar="N", help="guess N tokens from the text before (0)")
    parser.add_argument("--raw", action="store_true", help="continue the text as it is, without the chat template")
    parser.add_argument("--encoding", default="utf-8", help="encoding of standard input (utf-8)")
    parser.add_argument("prompt", metavar="PROMPT", help="a message to the model; - reads standard input")


def run(options: argparse.Namespace) -> tuple[dict[str, Any], list[str], int]:
    """Writes the text on standard output while the model generates it; with --json, at the end."""
    prompt = _prompt(options)
    with garbage_collector_paused():
        from course_lib import assets
        from course_lib.generation import CausalLM, Sampling
        from course_lib.generation.pretrained import COURSE_DECODER

        sampling = Sampling(options.temperature, options.top_k, options.top_p, options.min_p)
        if options.model == COURSE_DECODER:
            assets.fetch(COURSE_DECODER, say)
        lm = CausalLM.from_pretrained(options.model)
        if options.bits:
            from course_lib.generation.quantization import quantize_weights

            lm = quantize_weights(lm, options.bits)
    started = time.perf_counter()
    found = _generate(lm, prompt, sampling, options)
    if found is None:
        return {}, [], 0
    seconds, tokens = time.perf_counter() - started, len(found.token_ids)
    result = {"model": options.model, "text": found.text, "finish_reason": found.finish_reason, "tokens": tokens,
              "prompt_tokens": found.prompt_tokens, "forward_passes": found.forward_passes,
              "seconds": round(seconds, 3), "tokens_per_second": round(tokens / seconds, 1)}  # fmt: skip
    if not options.json:
        say(f"({tokens} tokens in {seconds:.1f} s; {_FINISHED[found.finish_reason]})")
    return result, [], 0


def _prompt(options: argparse.Namespace) -> str:
    """The prompt; wrong arguments are refused before anything is loaded."""
    for name, least in (("max_new_tokens", 1), ("lookup", 0), ("seed", 0)):
        if not least <= getattr(options, name) < 2**63:
            option = f"--{name.replace('_', '-')}"
            raise BadInput(f"{option} is {getattr(options, name)}", f"use a whole number from {least} on")
    if not all(options.stop):
        raise BadInput("--stop is an empty text, which is met at once", "give some characters")
    if options.raw and options.system is not None:
        raise BadInput("--system has no place in a --raw text", "leave one of them out")
    prompt: str = "\n".join(read_lines(None, options.encoding)) if options.prompt == "-" else options.prompt
    if not prompt.strip():
        raise BadInput("the prompt is empty", 'give some words: python -m course_lib generate "What is a noun?"')
    if "\0" in prompt:
        raise BadInput("the prompt holds a NUL character: it is no text", "give a text")
    return prompt


def _generate(lm: CausalLM, prompt: str, sampling: Any, options: argparse.Namespace) -> Generation | None:
    """Streams the text; None where the reader of standard output, such as `head`, has seen enough."""
    from course_lib.generation import stream

    message = [{"role": "user", "content": prompt}]
    ids = lm.encode(prompt) if options.raw else lm.chat_ids(message, options.system)
    pieces = stream(
        lm, ids, max_new_tokens=options.max_new_tokens, sampling=sampling, stop=options.stop, seed=options.seed,
        lookup=options.lookup,
    )  # fmt: skip
    try:
        while True:
            piece = next(pieces)
            if not options.json and not write_out(visible(piece)):
                return None
    except StopIteration as end:
        found: Generation = end.value
        return found
    finally:
        if not options.json:
            write_out("\n")


def visible(text: str) -> str:
    """The text with its control characters, but for line ends and tabs, as escapes: a terminal would obey them."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode(), text)
