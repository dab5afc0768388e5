"""Generation, token by token: the loop, stop rules, batches of prompts, streams, and prompt look-up decoding."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import torch
from torch import Tensor

from course_lib.batching import unique_rows
from course_lib.errors import BadInput
from course_lib.generation.pretrained import CausalLM
from course_lib.generation.sampling import Sampling

GREEDY = Sampling()
_LOOKUP_NGRAM = 3  # tokens at the end that are searched for in the text before

Prompt = str | Sequence[int]  # a user's message, or token ids as `CausalLM.encode` and `chat_ids` make them


@dataclass(frozen=True)
class Generation:
    """What a model wrote after one prompt.

    Attributes:
        text: without special tokens, up to a stop string.
        token_ids: all that were generated, up to the one that completes a stop string; the end token included.
        finish_reason: `end` (the model's end token), `stop` (a stop string) or `length` (max_new_tokens).
        prompt_tokens: tokens that were read.
        forward_passes: of the model, the prompt's included. Fewer than tokens where look-up decoding guessed right.
    """

    text: str
    token_ids: tuple[int, ...]
    finish_reason: str
    prompt_tokens: int
    forward_passes: int


def generate(
    lm: CausalLM,
    prompts: Prompt | Sequence[Prompt],
    *,
    max_new_tokens: int = 100,
    sampling: Sampling = GREEDY,
    stop: str | Sequence[str] = (),
    seed: int = 0,
    lookup: int = 0,
) -> list[Generation]:
    """Continues one prompt or several at once.

    Args:
        lm: the model.
        prompts: strings are messages of a user in the chat template; lists of token ids are continued as they are.
        max_new_tokens: at most so many for each prompt.
        sampling: how the next token is chosen; greedy when left out.
        stop: strings that end an answer; they are no part of it.
        seed: row i is drawn with a generator of the seed `seed + i`, so that it does not depend on the other rows.
        lookup: tokens that prompt look-up decoding guesses at once (one prompt alone). 0 turns it off. The tokens are
            the same, or of the same distribution.

    Raises:
        BadInput: no prompt, an empty one, one that does not fit into the model's positions together with
            `max_new_tokens`, or `lookup` with several prompts.
    """
    rows = _token_rows(lm, prompts)
    stops = _check(lm, rows, max_new_tokens, sampling, stop, seed, lookup)
    if lookup or len(rows) == 1:
        tokens = _one_row(lm, rows[0], max_new_tokens, sampling, seed, lookup)
        return [_collect(lm, len(rows[0]), tokens, stops)]
    return _batch(lm, rows, max_new_tokens, sampling, stops, seed)


def generate_in_batches(
    lm: CausalLM, prompts: Sequence[Sequence[int]], max_new_tokens: int, batch_size: int
) -> list[str]:
    """The greedy continuations of many prompts: equal ones are read once, and those of similar length together."""
    rows, numbers = unique_rows([tuple(prompt) for prompt in prompts])
    order = sorted(range(len(rows)), key=lambda number: len(rows[number]))
    texts = [""] * len(rows)
    for start in range(0, len(order), batch_size):
        batch = order[start : start + batch_size]
        written = generate(lm, [rows[number] for number in batch], max_new_tokens=max_new_tokens)
        for number, one in zip(batch, written, strict=True):
            texts[number] = one.text
    return [texts[number] for number in numbers]


def stream(
    lm: CausalLM,
    prompt: Prompt,
    *,
    max_new_tokens: int = 100,
    sampling: Sampling = GREEDY,
    stop: str | Sequence[str] = (),
    seed: int = 0,
    lookup: int = 0,
) -> Generator[str, None, Generation]:
    """The same for one prompt, as pieces of text that appear while the model writes.

    A piece is held back while it could be the beginning of a stop string or of a character of several bytes. The
    generator returns the whole `Generation` (the value of its StopIteration).
    """
    rows = _token_rows(lm, prompt)
    if len(rows) > 1:
        raise BadInput(f"there are {len(rows)} prompts", "give one; `generate` takes several")
    (row,) = rows
    stops = _check(lm, rows, max_new_tokens, sampling, stop, seed, lookup)
    tokens = _one_row(lm, row, max_new_tokens, sampling, seed, lookup)
    return _pieces(lm, len(row), tokens, stops)


# ---- checks, before long work begins -----------------------------------------------------------------------------


def _token_rows(lm: CausalLM, prompts: Prompt | Sequence[Prompt]) -> list[list[int]]:
    given: Any = prompts
    if isinstance(given, str) or (isinstance(given, Sequence) and given and isinstance(given[0], int)):
        given = [given]
    if not isinstance(given, Sequence) or not all(isinstance(one, Sequence) for one in given):
        raise BadInput(f"the prompt is {prompts!r:.80}", "give a string, token ids, or a list of such prompts")
    if any(isinstance(one, bytes) for one in given):
        raise BadInput(f"the prompt is {prompts!r:.80}", "decode the bytes to a string")
    return lm.check_ids([lm.chat_ids(one) if isinstance(one, str) else one for one in given], "prompts")


def _check(
    lm: CausalLM,
    rows: list[list[int]],
    max_new_tokens: int,
    sampling: Sampling,
    stop: str | Sequence[str],
    seed: int,
    lookup: int,
) -> tuple[str, ...]:
    for name, value, least in (("max_new_tokens", max_new_tokens, 1), ("lookup", lookup, 0), ("seed", seed, 0)):
        if not isinstance(value, Integral) or value < least:
            raise BadInput(f"{name} is {value!r}", f"use a whole number from {least} on")
    if not isinstance(sampling, Sampling):
        raise BadInput(f"sampling is {sampling!r:.80}", "give Sampling(temperature=...)")
    room, longest = lm.model.config.max_positions, max(map(len, rows))
    if longest >= room:
        raise BadInput(f"the prompt has {longest} tokens", f"this model reads {room}, its answer included: shorten it")
    if longest + max_new_tokens > room:
        raise BadInput(
            f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's {room} positions",
            f"use at most max_new_tokens={room - longest}",
        )
    if lookup and len(rows) > 1:
        raise BadInput(f"lookup is {lookup} with {len(rows)} prompts", "use it with one prompt")
    stops = [stop] if isinstance(stop, str) else stop
    if not isinstance(stops, (list, tuple)) or not all(isinstance(one, str) and one for one in stops):
        raise BadInput(f"stop strings are {stop!r:.80}", "give a list of strings; an empty one would be met at once")
    return tuple(stops)


# ---- one row -------------------------------------------------------------------------------------------------------

# Each new token with the number of forward passes so far; look-up decoding yields several tokens of one pass.
Steps = Iterator[tuple[int, int]]


def _one_row(lm: CausalLM, row: list[int], most: int, sampling: Sampling, seed: int, lookup: int) -> Steps:
    """The new tokens of one row; the end token is the last."""
    random, passes, longest = torch.Generator().manual_seed(seed), 0, len(row) + most
    cache, unread, ids, end = lm.model.new_cache(1, longest), row, list(row), lm.tokenizer.eos_token_id
    while len(ids) < longest:
        room = longest - len(ids) - 1
        guess = look_up(ids, min(lookup, room)) if len(ids) > len(row) else []
        with torch.inference_mode():
            hidden = lm.model(torch.tensor([[*unread, *guess]], device=lm.device), cache=cache)
            logits = lm.model.logits(hidden[0, len(unread) - 1 :])
        new = verify(guess, logits, sampling, random)
        new = new[: new.index(end) + 1] if end in new else new
        ids += new
        passes += 1
        yield from ((token, passes) for token in new)
        if new[-1] == end:
            return
        cache.crop(len(ids) - 1)  # a guess that was wrong is forgotten; the last token has not been read yet
        unread = new[-1:]


def look_up(ids: Sequence[int], most: int) -> list[int]:
    """A guess of the next tokens: those that followed the last time that the text had its last three tokens.

    Saxena 2023, "Prompt lookup decoding"; transformers' `prompt_lookup_num_tokens`. An empty list where there is none.
    """
    if most < 1 or len(ids) <= _LOOKUP_NGRAM:
        return []
    last = list(ids[-_LOOKUP_NGRAM:])
    for start in range(len(ids) - _LOOKUP_NGRAM - 1, -1, -1):
        if ids[start] == last[0] and list(ids[start : start + _LOOKUP_NGRAM]) == last:
            return list(ids[start + _LOOKUP_NGRAM : start + _LOOKUP_NGRAM + most])
    return []


def verify(guess: Sequence[int], logits: Tensor, sampling: Sampling, random: torch.Generator) -> list[int]:
    """The guessed tokens that are accepted, and one more token of the model's own.

    Exact in distribution (Leviathan et al. 2023, arXiv:2211.17192, algorithm 1, for a draft that is certain of each
    token): a guess x is accepted with its probability p(x); otherwise a token is drawn from p without x.

    Args:
        guess: tokens.
        logits: shape (guess + 1, vocab): for the token in the place of each guess, and for the one after the last.
        sampling: how tokens are chosen.
        random: a generator of the CPU.
    """
    accepted: list[int] = []
    for token, row in zip(guess, logits, strict=False):
        if sampling.temperature == 0:
            best = int(row.argmax())
            accepted.append(best)
            if best != token:
                return accepted
            continue
        chances = sampling.probabilities(row).cpu()
        if float(torch.rand((), generator=random)) >= float(chances[token]):
            chances[token] = 0.0
            return [*accepted, int(torch.multinomial(chances, 1, generator=random))]
        accepted.append(token)
    return [*accepted, sampling.draw(logits[len(guess)], random)]


def _collect(lm: CausalLM, prompt_tokens: int, steps: Steps, stops: tuple[str, ...]) -> Generation:
    """The tokens of one row, until a stop string appears."""
    ids: list[int] = []
    passes = 0
    for token, passes in steps:  # noqa: B007
        ids.append(token)
        if _is_stopped(lm, ids, stops):
            break
    return _generation(lm, ids, stops, prompt_tokens, passes)


def _is_stopped(lm: CausalLM, ids: Sequence[int], stops: tuple[str, ...]) -> bool:
    return bool(stops) and _stop_place(lm.decode(ids), stops) is not None


def _generation(
    lm: CausalLM, ids: Sequence[int], stops: tuple[str, ...], prompt_tokens: int, passes: int
) -> Generation:
    text = lm.decode(ids)
    place = _stop_place(text, stops)
    reason = "stop" if place is not None else "end" if ids[-1] == lm.tokenizer.eos_token_id else "length"
    return Generation(text[:place], tuple(ids), reason, prompt_tokens, passes)


def _stop_place(text: str, stops: tuple[str, ...]) -> int | None:
    """Where the first stop string begins."""
    places = [place for stop in stops if (place := text.find(stop)) >= 0]
    return min(places, default=None)


def _pieces(lm: CausalLM, prompt_tokens: int, steps: Steps, stops: tuple[str, ...]) -> Generator[str, None, Generation]:
    shown, passes, ids = 0, 0, []  # type: int, int, list[int]
    for token, passes in steps:  # noqa: B007
        ids.append(token)
        text = lm.decode(ids)
        if _stop_place(text, stops) is not None:
            break
        ready = len(text) - _held_back(text, stops)
        if ready > shown:
            yield text[shown:ready]
            shown = ready
    found = _generation(lm, ids, stops, prompt_tokens, passes)
    if len(found.text) > shown:
        yield found.text[shown:]
    return found


def _held_back(text: str, stops: tuple[str, ...]) -> int:
    """Characters at the end that are not certain yet: half a character, after the beginning of a stop string."""
    whole = text.rstrip("\ufffd")
    lengths = [n for stop in stops for n in range(1, len(stop)) if whole.endswith(stop[:n])]
    return len(text) - len(whole) + max(lengths, default=0)


# ---- several rows ----------------------------------------------------------------------------------------------------


@torch.inference_mode()
def _batch(
    lm: CausalLM, rows: list[list[int]], most: int, sampling: Sampling, stops: tuple[str, ...], seed: int
) -> list[Generation]:
    """Rows side by side, padded on the left so that all end at the same place. What follows a row's end is left out."""
    ids, mask = lm.pad_left(rows)
    padded, end = not bool(mask.all()), lm.tokenizer.eos_token_id
    cache = lm.model.new_cache(len(rows), ids.shape[1] + most)
    randoms = [torch.Generator().manual_seed(seed + number) for number in range(len(rows))]
    written: list[list[int]] = [[] for _ in rows]
    going = set(range(len(rows)))
    for _ in range(most):
        hidden = lm.model(ids, mask if padded else None, cache)
        drawn = _draw_rows(lm.model.logits(hidden[:, -1]), sampling, randoms)
        for number in sorted(going):
            written[number].append(drawn[number])
            if drawn[number] == end or _is_stopped(lm, written[number], stops):
                going.discard(number)
        if not going:
            break
        ids = torch.tensor(drawn, device=lm.device)[:, None]
        mask = torch.cat([mask, torch.ones_like(ids)], 1)
    return [_generation(lm, tokens, stops, len(row), len(tokens)) for tokens, row in zip(written, rows, strict=True)]


def _draw_rows(logits: Tensor, sampling: Sampling, randoms: Sequence[torch.Generator]) -> list[int]:
    if sampling.temperature == 0:
        best: list[int] = logits.argmax(-1).tolist()
        return best
    return [sampling.draw(row, random) for row, random in zip(logits, randoms, strict=True)]
