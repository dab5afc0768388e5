"""`first_token` against transformers' own forward pass: outputs, gradients, padding, and what it spares."""

import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode
from transformers import BertConfig, BertModel, DistilBertConfig, DistilBertModel

from course_lib import assets
from course_lib.batching import collate, load_tokenizer, tokenize
from course_lib.classifier.sources import load_bert
from course_lib.encoder import first_token, walks


def model(layers: int = 3, attention: str = "sdpa", **changes) -> BertModel:
    """Large random weights, so that every part of a layer moves the output."""
    torch.manual_seed(0)
    shape = {"hidden_size": 32, "num_attention_heads": 4, "intermediate_size": 48, "vocab_size": 50}
    config = BertConfig(**{**shape, "num_hidden_layers": layers, "initializer_range": 0.3, **changes})
    config._attn_implementation = attention
    return BertModel(config).eval()


def batch(padded: bool) -> tuple[torch.Tensor, torch.Tensor]:
    lengths = (7, 3, 1, 5) if padded else (6, 6, 6)
    rows = collate([list(range(2, 2 + n)) for n in lengths], range(len(lengths)))
    return rows.input_ids, rows.attention_mask


def test_first_token_of_a_batch_is_a_tensor_that_padding_would_change():
    """The tests below could not fail if the mask had no say."""
    bert, (ids, mask) = model(), batch(padded=True)
    unmasked = bert(ids, torch.ones_like(mask)).last_hidden_state[:, 0]
    assert (unmasked - bert(ids, mask).last_hidden_state[:, 0]).abs().max() > 0.1


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
def test_equal_to_transformers(padded, layers, attention):
    bert, (ids, mask) = model(layers, attention), batch(padded)
    with torch.no_grad():
        wanted = bert(ids, mask).last_hidden_state[:, 0]
        given = first_token(bert, ids, mask)
    assert given.dtype == torch.float32 and given.shape == (len(ids), 32)
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
def test_gradients_are_equal_too(padded):
    bert, (ids, mask) = model(), batch(padded)
    gradients = []
    for output in (bert(ids, mask).last_hidden_state[:, 0], first_token(bert, ids, mask)):
        bert.zero_grad()
        output.pow(3).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in bert.named_parameters() if p.grad is not None})
    wanted, given = gradients
    assert set(given) == set(wanted) and len(given) > 40  # all but the pooler
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        torch.testing.assert_close(given[name], gradient, atol=1e-6 * largest, rtol=0, msg=name)


def test_token_types_are_read():
    bert, (ids, mask) = model(), batch(padded=True)
    types = (torch.arange(ids.shape[1]) > 2).long().expand_as(ids)
    with torch.no_grad():
        wanted = bert(ids, mask, types).last_hidden_state[:, 0]
        torch.testing.assert_close(first_token(bert, ids, mask, types), wanted, atol=1e-5, rtol=0)
        assert (first_token(bert, ids, mask) - wanted).abs().max() > 1e-2


def test_a_row_does_not_feel_its_neighbours():
    bert, (ids, mask) = model(), batch(padded=True)
    with torch.no_grad():
        together = first_token(bert, ids, mask)
        alone = [first_token(bert, ids[i : i + 1, : mask[i].sum()], mask[i : i + 1, : mask[i].sum()]) for i in range(4)]
    torch.testing.assert_close(torch.cat(alone), together, atol=1e-5, rtol=0)


def test_attention_drops_only_while_training():
    bert, (ids, mask) = model(attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0), batch(padded=False)
    with torch.no_grad():
        still = first_token(bert, ids, mask)
        assert torch.equal(first_token(bert, ids, mask), still)
        bert.train()
        assert (first_token(bert, ids, mask) - still).abs().max() > 1e-2


def test_equal_to_transformers_on_the_course_encoder():
    folder = assets.path("course_encoder")
    texts = ["I like it", "", "A film that says nothing, and says it at length, twice.", "Not bad at all!"]
    rows = collate(tokenize(texts, load_tokenizer(folder)), range(4))
    bert = load_bert(folder)
    with torch.no_grad():
        wanted = bert(rows.input_ids, rows.attention_mask).last_hidden_state[:, 0]
        given = first_token(bert, rows.input_ids, rows.attention_mask)
    assert wanted.std() > 0.1
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)


def test_a_seventh_of_a_six_layer_encoder_is_spared():
    """Ten of the last layer's twelve H x H products serve the first token only: 10 / 12 / 6 = 14 %."""
    bert = model(layers=6, intermediate_size=128)
    ids = torch.full((2, 100), 7)
    counts = []
    for run in (lambda: bert(ids, torch.ones_like(ids)), lambda: first_token(bert, ids, torch.ones_like(ids))):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run()
        matmuls = counter.get_flop_counts()["Global"]
        counts.append(sum(n for kind, n in matmuls.items() if "addmm" in str(kind) or str(kind) == "aten.mm"))
    assert 1 - counts[1] / counts[0] == pytest.approx(10 / 12 / 6, abs=0.005)


@pytest.mark.parametrize(
    ("made", "walkable"),
    [
        (lambda: model(), True),
        (lambda: model(is_decoder=True), False),
        (lambda: DistilBertModel(DistilBertConfig(dim=8, hidden_dim=8, n_layers=1, n_heads=2, vocab_size=10)), False),
        (lambda: torch.nn.Linear(2, 2), False),
    ],
    ids=["bert", "decoder", "distilbert", "no transformer"],
)
def test_walks_only_through_plain_berts(made, walkable):
    assert walks(made()) is walkable
