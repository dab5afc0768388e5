"""The tokens under the words: which piece belongs to which player, and gradients at the pieces' embeddings."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn

from course_lib import machine
from course_lib.batching import collate, sorted_batches
from course_lib.errors import BadInput
from course_lib.explain.attribution import Floats
from course_lib.explain.game import Game
from course_lib.explain.words import Players
from course_lib.text.modules import add_to_embeddings, inference_copy, input_embeddings


@dataclass(frozen=True, eq=False)
class Pieces:
    """Every text of a game as its model's tokenizer cuts it.

    Attributes:
        game: classifier and texts.
        ids: token ids of each text, special tokens included.
        owners: for each token the player whose word it is a piece of, -1 for none.
    """

    game: Game
    ids: list[list[int]]
    owners: list[NDArray[np.int64]]

    @classmethod
    def of(cls, game: Game) -> Pieces:
        """Cuts the texts; words beyond the model's `max_length` have no piece, and a warning says how many they are.

        Raises:
            BadInput: a classifier without a torch module: nobody can look into it.
        """
        classifier = game.classifier
        if not (hasattr(classifier, "module_") and hasattr(classifier, "tokenizer_")):
            raise BadInput(
                f"nobody can look into a {type(classifier).__name__}: it has no torch module",
                "use a method that only asks, such as 'shap', 'lime' or 'occlusion'",
            )
        if not game.texts:
            return cls(game, [], [])
        encoded = classifier.tokenizer_(
            game.texts, truncation=True, max_length=classifier.max_length,
            return_attention_mask=False, return_offsets_mapping=True,
        )  # fmt: skip
        places = [np.array(offsets, np.int64).reshape(-1, 2) for offsets in encoded["offset_mapping"]]
        unread = [_unread(*one, classifier.max_length) for one in zip(game.players, places, strict=True)]
        if any(unread):
            warnings.warn(
                f"{sum(unread)} words of {sum(map(bool, unread))} texts stand beyond the {classifier.max_length} "
                "tokens that the classifier reads: their scores are 0",
                stacklevel=2,
            )
        owners = [_owners(*one) for one in zip(game.players, places, strict=True)]
        return cls(game, encoded["input_ids"], owners)

    def by_word(self, text: int, numbers: NDArray[Any]) -> Floats:
        """(n,), the sum of each word's pieces; numbers is (seq,) or longer, padded."""
        owner, sums = self.owners[text], np.zeros(len(self.game.players[text]))
        inside = owner >= 0
        np.add.at(sums, owner[inside], numbers[: len(owner)][inside])
        return sums

    @property
    def pad_id(self) -> int:
        return int(self.game.classifier.tokenizer_.pad_token_id or 0)


def _owners(players: Players, places: NDArray[np.int64]) -> NDArray[np.int64]:
    """(tokens,), the player of the first character of a word in each token's place; -1 for none.

    That need not be the token's first character: SentencePiece and byte-level BPE hold the blank before a word.

    Args:
        players: of the text.
        places: (tokens, 2), start and end in characters.
    """
    owner = players.owner_of_characters()
    here = np.where(owner >= 0, np.arange(len(owner)), len(owner) - 1)
    first = np.minimum.accumulate(here[::-1])[::-1][places[:, 0]]  # the next character of a word, from the start on
    return np.where(first < places[:, 1], owner[first], -1)


def _unread(players: Players, places: NDArray[np.int64], max_length: int) -> int:
    """How many words stand behind the last token of a text that was cut off."""
    end = places[:, 1].max(initial=0)
    return sum(word.spans[0][0] >= end for word in players.words) if len(places) >= max_length else 0


@dataclass(frozen=True, eq=False)
class Point:
    """A batch of jobs at which the model was differentiated.

    Attributes:
        jobs: (batch,), their numbers.
        outputs: (batch,), the target's output at each.
        gradient: of it with respect to the embeddings.
        embeddings: of the unchanged texts.
    """

    jobs: NDArray[np.int64]
    outputs: Floats
    gradient: Float[Tensor, "batch seq hidden"]
    embeddings: Float[Tensor, "batch seq hidden"]


# Job numbers, token ids, embeddings and which tokens may move (batch, seq, 1) -> what is added to the embeddings.
Shift = Callable[[NDArray[np.int64], Tensor, Tensor, Tensor], Tensor]


def layer_of(game: Game) -> nn.Embedding:
    """The layer whose outputs gradients are taken of."""
    return input_embeddings(game.classifier.module_)


def slopes(pieces: Pieces, texts: NDArray[np.int64], shift: Shift) -> Iterator[Point]:
    """The gradient of the target's output for each job, at its text's embeddings plus its shift.

    Args:
        pieces: the texts' tokens.
        texts: (jobs,), which text each job is about; jobs of equal length share batches.
        shift: what is added; only words may move: special tokens and punctuation stay.
    """
    game, module = pieces.game, inference_copy(pieces.game.classifier.module_)
    layer = input_embeddings(module)
    lengths = [len(pieces.ids[text]) for text in texts]
    for jobs in sorted_batches(lengths, machine.preset().predict_tokens // 2):
        batch = collate(pieces.ids, texts[jobs], pieces.pad_id).to(machine.device())
        movable = np.zeros(batch.input_ids.shape, np.float32)
        for row, text in enumerate(texts[jobs]):
            movable[row, : lengths[jobs[row]]] = pieces.owners[text] >= 0
        with torch.no_grad():
            embeddings = layer(batch.input_ids)
            may = torch.from_numpy(movable)[..., None].to(embeddings)
            delta = shift(jobs, batch.input_ids, embeddings, may)
        delta = delta.detach().requires_grad_()
        with torch.enable_grad(), add_to_embeddings(module, delta):
            # In double precision: where float32's softmax is 1, its gradient is 0.
            logits = module(batch.input_ids, batch.attention_mask).double()
            outputs = _output(logits[:, : len(game.classifier.classes_)], game.columns[texts[jobs]], game.output)
            (gradient,) = torch.autograd.grad(outputs.sum(), delta)
        yield Point(jobs, outputs.detach().cpu().numpy(), gradient, embeddings)


def _output(logits: Tensor, columns: NDArray[np.int64], output: str) -> Tensor:
    wanted = torch.from_numpy(columns).to(logits.device)[:, None]
    if output == "probability":
        return logits.softmax(-1).gather(1, wanted)[:, 0]
    others = logits.scatter(1, wanted, -torch.inf).logsumexp(-1)
    return logits.gather(1, wanted)[:, 0] - others
