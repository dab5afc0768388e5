"""The encoder by hand against transformers' own, its three layouts against each other, its costs against torch's count.

The last part is about `cls_state`, which runs transformers' modules.
"""

import math
from dataclasses import replace
from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.utils.flop_counter import FlopCounterMode
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertModel,
    DistilBertConfig,
    DistilBertModel,
    MegatronBertConfig,
    MegatronBertModel,
)

from course_lib import assets
from course_lib.batching import collate, load_tokenizer, sorted_batches, tokenize
from course_lib.classifier.pretrained import load_bert
from course_lib.encoder import (
    BertEncoder,
    EncoderConfig,
    activation_bytes,
    attention_by_hand,
    attention_fast,
    block_mask,
    causal_mask,
    cls_state,
    forward_flops,
    packed,
    packing,
    padding_mask,
    parameter_count,
    supports_cls_only,
)
from course_lib.encoder.weights import our_name, their_name
from course_lib.errors import BadInput, CorruptAsset, MissingAsset

SMALL = EncoderConfig(
    vocab_size=50, hidden_size=32, n_layers=3, n_heads=4, intermediate_size=48, max_positions=40, n_segments=2
)
LENGTHS = (7, 3, 3, 1, 5)


def encoder(seed: int = 0, **changes) -> BertEncoder:
    """Large random weights, so that every part of a layer moves the output."""
    torch.manual_seed(seed)
    made = BertEncoder(replace(SMALL, **changes)).eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return made


def rows_of(lengths: tuple[int, ...], seed: int = 0) -> list[list[int]]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randint(1, 50, (n,), generator=generator).tolist() for n in lengths]


def joined(rows: list[list[int]]) -> torch.Tensor:
    return torch.tensor([token for row in rows for token in row])


def heads(*shape: int, seed: int = 0) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.randn(*shape, generator=generator) for _ in range(3)]


# --- Attention


def test_attention_worked_out_on_paper():
    """Scores 0 and ln 3 give the weights 1/4 and 3/4; the values 0 and 4 then mix to 3."""
    query, key, value = torch.tensor([[1.0]]), torch.tensor([[0.0], [math.log(3)]]), torch.tensor([[0.0], [4.0]])
    mixed, weights = attention_by_hand(query, key, value)
    torch.testing.assert_close(weights, torch.tensor([[0.25, 0.75]]))
    torch.testing.assert_close(mixed, torch.tensor([[3.0]]))
    torch.testing.assert_close(attention_by_hand(query, key, value, torch.tensor([True, False]))[0], torch.zeros(1, 1))


@settings(max_examples=40, deadline=None)
@given(
    st.integers(1, 3), st.integers(1, 3), st.integers(1, 9), st.integers(1, 6), st.booleans(), st.booleans(), st.data()
)
def test_by_hand_and_fast_agree(batch, n_heads, seq, size, causal, padded, data):
    query, key, value = (states.requires_grad_() for states in heads(batch, n_heads, seq, size, seed=seq))
    asked = data.draw(st.integers(1, seq))
    lengths = torch.tensor(data.draw(st.lists(st.integers(1, seq), min_size=batch, max_size=batch)))
    mask = padding_mask((torch.arange(seq) < lengths[:, None]).long()) if padded else None
    by_hand, weights = attention_by_hand(query[:, :, :asked], key, value, mask, causal=causal)
    fast = attention_fast(query[:, :, :asked], key, value, mask, causal=causal)
    torch.testing.assert_close(fast, by_hand, atol=1e-5, rtol=0)
    torch.testing.assert_close(weights.sum(-1), torch.ones(batch, n_heads, asked))
    factor = torch.linspace(-1, 1, fast.numel()).view_as(fast)
    gradients = [torch.autograd.grad((mixed * factor).sum(), (query, key, value)) for mixed in (by_hand, fast)]
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(other, one, atol=1e-5, rtol=0)


@pytest.mark.parametrize("attend", [lambda *a: attention_by_hand(*a)[0], attention_fast], ids=["by hand", "fast"])
def test_a_token_that_may_look_nowhere_spreads_no_nan(attend):
    assert attend(*heads(1, 2, 4, 8), torch.zeros(1, 4, dtype=torch.bool)).isfinite().all()


def test_causal_mask_drawn():
    assert causal_mask(3).int().tolist() == [[1, 0, 0], [1, 1, 0], [1, 1, 1]]


def test_dropout_drops_weights_and_keeps_the_mean():
    query, key, value = (states.expand(4000, 1, 4, 8) for states in heads(1, 1, 4, 8))
    torch.manual_seed(0)
    plain, dropped = (attention_by_hand(query, key, value, dropout=p)[0] for p in (0.0, 0.3))
    assert (plain - dropped).abs().max() > 0.1
    torch.testing.assert_close(dropped.mean(0), plain.mean(0), atol=0.05, rtol=0)


# --- Equal to transformers

SHAPES = {
    "base": {},
    "one layer, one head": {"num_hidden_layers": 1, "num_attention_heads": 1},
    "wide inside": {"hidden_size": 24, "num_attention_heads": 3, "intermediate_size": 200, "num_hidden_layers": 2},
    "coarse norm": {"layer_norm_eps": 1e-2},
    "decoder": {"is_decoder": True},
}


def assert_equal_to(bert: BertModel, own: BertEncoder, ids, mask, types=None) -> None:
    """Hidden states, pooled output, and the gradient of every parameter. Padding's own states mean nothing."""
    theirs = bert(ids, mask, types)
    hidden, pooled = own(ids, mask, types), own.pool(own(ids, mask, types))
    at_tokens = mask.bool()
    torch.testing.assert_close(hidden[at_tokens], theirs.last_hidden_state[at_tokens], atol=1e-5, rtol=0)
    torch.testing.assert_close(pooled, theirs.pooler_output, atol=1e-5, rtol=0)
    factor = torch.randn(hidden.shape, generator=torch.Generator().manual_seed(5)) * mask[..., None]
    for states, vector in ((theirs.last_hidden_state, theirs.pooler_output), (hidden, pooled)):
        ((states * factor).sum() + vector.pow(3).sum()).backward()
    wanted = {our_name(name): p.grad for name, p in bert.named_parameters()}
    given = {name: p.grad for name, p in own.named_parameters()}
    assert set(given) == set(wanted)
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        assert name.endswith("key.bias") or gradient.abs().max() > 1e-4 * largest, f"{name}: nothing to compare"
        torch.testing.assert_close(given[name], gradient, atol=1e-5 * largest, rtol=0, msg=name)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_states_and_gradients_equal_transformers(shape, padded):
    bert, (ids, mask) = model(**shape), batch(padded)
    types = (torch.arange(ids.shape[1]) > 2).long().expand_as(ids)
    assert_equal_to(bert, BertEncoder.from_transformers(bert), ids, mask, types)


@pytest.mark.parametrize("causal", [False, True])
def test_vectors_in_place_of_ids_equal_transformers(causal):
    bert, (ids, mask) = model(is_decoder=causal), batch(True)
    own = BertEncoder.from_transformers(bert)
    vectors = torch.randn(*ids.shape, own.config.hidden_size, generator=torch.Generator().manual_seed(2))
    theirs = bert(inputs_embeds=vectors, attention_mask=mask).last_hidden_state
    states = own(attention_mask=mask, inputs_embeds=vectors)
    torch.testing.assert_close(states[mask.bool()], theirs[mask.bool()], atol=1e-5, rtol=0)
    words = own(attention_mask=mask, inputs_embeds=own.word_embeddings[ids])
    torch.testing.assert_close(words, own(ids, mask), atol=0, rtol=0)


@pytest.mark.slow
def test_states_and_gradients_equal_transformers_on_the_course_encoder():
    folder = assets.path("course_encoder")
    texts = ["I like it", "", "A film that says nothing, and says it at length, twice.", "Not bad at all!"]
    rows = collate(tokenize(texts, load_tokenizer(folder)), range(4))
    own = BertEncoder.from_transformers(folder)
    assert not own.training and own.config == EncoderConfig(dropout=0.1)
    assert_equal_to(load_bert(folder), own, rows.input_ids, rows.attention_mask)


@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
def test_the_written_out_model_equals_the_fast_one(padded):
    own, (ids, mask) = encoder(), batch(padded)
    fast, by_hand = own(ids, mask), own(ids, mask, by_hand=True)
    torch.testing.assert_close(by_hand[mask.bool()], fast[mask.bool()], atol=1e-5, rtol=0)


def test_states_are_the_same_where_no_gradient_is_kept():
    own, (ids, mask) = encoder(), batch(padded=True)
    with torch.inference_mode():
        without = own(ids, mask)
    assert torch.equal(without, own(ids, mask))


def test_autocast_keeps_the_stream_between_the_layers_in_float32():
    own, ids, seen = encoder(), batch(padded=False)[0], []
    for layer in own.layers:
        layer.register_forward_hook(lambda module, inputs, output: seen.append(output.dtype))
    with torch.autocast("cpu", dtype=torch.bfloat16), torch.no_grad():
        given = own(ids)
    assert seen == [torch.float32] * 3
    assert 0 < float((given - own(ids)).detach().abs().mean()) < 0.05


def test_attention_maps_equal_transformers():
    bert, (ids, mask) = model(attention="eager"), batch(padded=True)
    with torch.no_grad():
        wanted = torch.stack(bert(ids, mask, output_attentions=True).attentions)
        maps = BertEncoder.from_transformers(bert).attention_maps(ids, mask)
    assert maps.shape == (3, 4, 4, 7, 7)
    torch.testing.assert_close(maps, wanted, atol=1e-5, rtol=0)


def test_pre_norm_equals_megatron_bert():
    """Shoeybi et al. 2019 (arXiv:1909.08053) norm before each block, after the last, and not in the embeddings."""
    own, (ids, mask) = encoder(norm="pre"), batch(padded=True)
    config = MegatronBertConfig(
        vocab_size=50, hidden_size=32, num_hidden_layers=3, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=40, layer_norm_eps=SMALL.norm_eps, pad_token_id=0,
    )  # fmt: skip
    megatron = MegatronBertModel(config).eval()
    swaps = (
        ("attention.output.LayerNorm", "attention.ln"),
        ("output.LayerNorm", "ln"),
        ("last_norm", "encoder.ln"),
    )
    weights = {}
    for name, tensor in own.state_dict().items():
        name = name if name.startswith("last_norm") else their_name(name)
        for theirs, megatrons in swaps:
            name = name.replace(theirs, megatrons)
        weights[name] = tensor
    megatron.load_state_dict(weights)
    with torch.no_grad():
        torch.testing.assert_close(
            own(ids, mask)[mask.bool()], megatron(ids, mask).last_hidden_state[mask.bool()], atol=1e-5, rtol=0
        )


# --- Names, folders, configurations


def test_there_and_back_again():
    own, (ids, mask) = encoder(causal=True, norm_eps=1e-6), batch(padded=False)
    bert = own.to_transformers()
    back = BertEncoder.from_transformers(bert)
    assert back.config == own.config and bert.config.is_decoder
    for name, tensor in own.state_dict().items():
        assert torch.equal(back.state_dict()[name], tensor) and back.state_dict()[name] is not tensor
    with torch.no_grad():
        torch.testing.assert_close(bert(ids, mask).last_hidden_state, own(ids), atol=1e-5, rtol=0)


def test_to_transformers_leaves_the_callers_random_numbers_alone():
    own = encoder()
    torch.manual_seed(3)
    wanted = torch.rand(4)
    torch.manual_seed(3)
    own.to_transformers()
    assert torch.equal(torch.rand(4), wanted)


@pytest.mark.parametrize("kind", [BertModel, BertForMaskedLM])
def test_a_saved_folder_is_read(kind, tmp_path):
    bert = kind(model().config).eval()
    bert.save_pretrained(tmp_path)
    own, ids = BertEncoder.from_transformers(tmp_path), batch(padded=False)[0]
    with torch.no_grad():
        torch.testing.assert_close(own(ids), bert.base_model(ids).last_hidden_state, atol=1e-5, rtol=0)


def test_damaged_and_empty_folders_are_named(tmp_path):
    with pytest.raises(MissingAsset, match=r"config\.json"):
        BertEncoder.from_transformers(tmp_path)
    model().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"no weights")
    with pytest.raises(CorruptAsset, match="cannot be loaded"):
        BertEncoder.from_transformers(tmp_path)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"hidden_act": "relu"}, "hidden_act is 'relu'"),
        ({"hidden_dropout_prob": 0.2}, r"probabilities of dropout: \(0.2, 0.1\)"),
        ({"is_decoder": True, "add_cross_attention": True}, "add_cross_attention is True"),
    ],
    ids=["activation", "two dropouts", "cross attention"],
)
def test_other_berts_are_refused(changes, said):
    with pytest.raises(BadInput, match=said):
        EncoderConfig.from_transformers(BertConfig(**changes))


def test_what_is_no_bert_is_refused():
    with pytest.raises(BadInput, match="Linear is no BERT"):
        BertEncoder.from_transformers(nn.Linear(2, 2))
    with pytest.raises(BadInput, match="model_type is 'distilbert'"):
        BertEncoder.from_transformers(DistilBertModel(DistilBertConfig(dim=8, hidden_dim=8, n_layers=1, n_heads=2)))
    with pytest.raises(BadInput, match="norm='pre'"):
        encoder(norm="pre").to_transformers()


@pytest.mark.parametrize(
    "changes",
    [{"n_heads": 5}, {"n_layers": 0}, {"hidden_size": 32.0}, {"dropout": 1.0}, {"norm": "mid"}, {"pad_id": 50}],
    ids=lambda changes: next(iter(changes)),
)
def test_impossible_shapes_are_refused(changes):
    with pytest.raises(BadInput, match=next(iter(changes))):
        replace(SMALL, **changes)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda e: e(torch.ones(2, 41, dtype=torch.long)), "a row of 41 tokens"),
        (lambda e: e(torch.ones(4, dtype=torch.long)), r"the shape \(4,\)"),
        (lambda e: e(torch.ones(2, 4, dtype=torch.long), torch.ones(2, 3)), r"\(2, 3\), input_ids \(2, 4\)"),
        (lambda e: e.forward_packed(torch.ones(5, dtype=torch.long), [2, 2]), r"\(5,\), lengths add up to 4"),
        (lambda e: e.forward_packed(torch.ones(2, dtype=torch.long), [2, 0]), r"rows of \[2, 0\] tokens"),
        (lambda e: e.forward_packed(torch.ones(41, dtype=torch.long), [41]), "a row of 41 tokens"),
        (lambda e: e(), "exactly one of input_ids and inputs_embeds"),
        (lambda e: e(torch.ones(2, 4, dtype=torch.long), inputs_embeds=torch.ones(2, 4, 32)), "exactly one"),
        (lambda e: e(inputs_embeds=torch.ones(2, 4, 31)), r"inputs_embeds has the shape \(2, 4, 31\)"),
        (lambda e: e(inputs_embeds=torch.ones(2, 41, 32)), "a row of 41 tokens"),
    ],
    ids=[
        "too long",
        "one dimension",
        "mask",
        "packed sum",
        "empty row",
        "packed too long",
        "nothing",
        "both",
        "vectors of another width",
        "too many vectors",
    ],
)
def test_inputs_that_do_not_fit_are_named(call, said):
    with pytest.raises(BadInput, match=said):
        call(encoder())


def test_weights_start_as_in_bert():
    torch.manual_seed(0)
    own = BertEncoder(replace(SMALL, hidden_size=128, vocab_size=500))
    assert float(own.word_embeddings[1:].detach().std()) == pytest.approx(0.02, rel=0.02)
    assert float(own.layers[1].feed_forward.expand.weight.detach().std()) == pytest.approx(0.02, rel=0.05)
    assert not own.word_embeddings[0].any() and not own.layers[0].attention.key.bias.any()
    assert own.embeddings.norm.weight.eq(1).all()


def test_dropout_acts_in_training_alone():
    own, (ids, mask) = encoder(dropout=0.2), batch(padded=True)
    with torch.no_grad():
        assert torch.equal(own(ids, mask), own(ids, mask))
        own.train()
        torch.manual_seed(0)
        first = own(ids, mask)
        assert (first - own(ids, mask)).abs().max() > 0.1
        torch.manual_seed(0)
        assert torch.equal(own(ids, mask), first)


@pytest.mark.parametrize("by_hand", [False, True], ids=["fast", "by hand"])
@pytest.mark.parametrize("layout", ["padded", "packed"])
def test_attention_drops_weights_in_every_layout(layout, by_hand):
    own, ids = encoder(dropout=0.3).train(), batch(padded=False)[0]
    for module in own.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0  # what is left is attention's own

    def states():
        if layout == "packed":
            return own.forward_packed(ids.flatten(), [6, 6, 6], by_hand=by_hand)
        return own(ids, by_hand=by_hand)

    assert (states() - states()).abs().max() > 0.1
    own.eval()
    assert torch.equal(states(), states())


# --- The first position alone


@pytest.mark.parametrize("norm", ["post", "pre"])
@pytest.mark.parametrize("causal", [False, True], ids=["both ways", "causal"])
def test_the_first_position_alone_is_the_same(norm, causal):
    own, (ids, mask) = encoder(norm=norm, causal=causal), batch(padded=True)
    first = own(ids, mask, cls_only=True)
    assert first.shape == (4, 1, 32)
    torch.testing.assert_close(first, own(ids, mask)[:, :1], atol=1e-5, rtol=0)


# --- Padded, bucketed, packed


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(1, 9), min_size=1, max_size=6), st.booleans(), st.sampled_from(["post", "pre"]), st.booleans()
)
def test_padded_bucketed_and_packed_rows_agree(lengths, causal, norm, by_hand):
    own, tokens = encoder(causal=causal, norm=norm), rows_of(tuple(lengths))
    padded = collate(tokens, range(len(tokens)))
    types = (padded.input_ids % 2) * padded.attention_mask
    flat = joined(tokens)
    with torch.no_grad():
        wanted = own(padded.input_ids, padded.attention_mask, types)[padded.attention_mask.bool()]
        given = own.forward_packed(flat, lengths, flat % 2, by_hand=by_hand)
        torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)
        starts = packing(lengths).boundaries
        for index in sorted_batches(lengths, token_budget=10):
            bucket = collate(tokens, index)
            states = own(bucket.input_ids, bucket.attention_mask, bucket.input_ids % 2 * bucket.attention_mask)
            for row, at in zip(states, index, strict=True):
                torch.testing.assert_close(row[: lengths[at]], wanted[starts[at] : starts[at + 1]], atol=1e-5, rtol=0)


def test_gradients_of_packed_rows_equal_those_of_padded_ones():
    tokens, gradients = rows_of(LENGTHS), []
    padded = collate(tokens, range(len(tokens)))
    for layout in ("padded", "packed", "packed by hand"):
        own = encoder()
        if layout == "padded":
            states = own(padded.input_ids, padded.attention_mask)[padded.attention_mask.bool()]
        else:
            states = own.forward_packed(joined(tokens), LENGTHS, by_hand=layout != "packed")
        states.pow(3).sum().backward()
        gradients.append({name: p.grad for name, p in own.named_parameters() if not name.startswith("pooler")})
    largest = max(float(gradient.abs().max()) for gradient in gradients[0].values())
    for other in gradients[1:]:
        for name, gradient in gradients[0].items():
            torch.testing.assert_close(other[name], gradient, atol=1e-5 * largest, rtol=0, msg=name)


def test_a_packing_drawn():
    rows = packing([2, 1, 2])
    assert rows.positions.tolist() == [0, 1, 0, 0, 1] and rows.boundaries.tolist() == [0, 2, 3, 5]
    assert block_mask([2, 1]).int().tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1]]


@pytest.mark.parametrize("version", ["window_size", "is_causal"])
@pytest.mark.parametrize("causal", [False, True], ids=["both ways", "causal"])
def test_the_kernel_of_a_gpu_is_called_by_its_signature(version, causal, monkeypatch):
    """Without a GPU: a function with the kernel's signature does what its documentation says."""

    def stand_in(query, key, value, begins, key_begins, longest, longest_key, ahead):
        assert begins.dtype == torch.int32 and torch.equal(begins, key_begins) and longest == longest_key == 7
        rows = [slice(a, b) for a, b in pairwise(begins)]
        turned = [[states[row].transpose(0, 1) for states in (query, key, value)] for row in rows]
        return torch.cat([attention_by_hand(*parts, causal=ahead)[0].transpose(0, 1) for parts in turned])

    def since_2_11(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, *, window_size=(-1, -1)):
        assert window_size in ((-1, -1), (-1, 0))
        return stand_in(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, window_size == (-1, 0))

    def before(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, is_causal=False):
        return stand_in(q, k, v, cu_seq_q, cu_seq_k, max_q, max_k, is_causal)

    monkeypatch.setattr(packed, "varlen_kernel", lambda: since_2_11 if version == "window_size" else before)
    query, key, value = heads(4, sum(LENGTHS), 8)
    given = packed.by_varlen(query, key, value, packed=packing(LENGTHS), causal=causal)
    wanted = packed.by_rows(query, key, value, packed=packing(LENGTHS), causal=causal)
    torch.testing.assert_close(given, wanted, atol=1e-5, rtol=0)


def test_this_torch_has_the_kernel_with_a_known_signature():
    kernel = packed.varlen_kernel()
    assert kernel is not None
    assert {"window_size", "is_causal"} & set(packed.inspect.signature(kernel).parameters)


@pytest.mark.parametrize(
    ("dtype", "dropout", "kernel", "said"),
    [
        (torch.float32, 0.0, print, "takes half precision, not torch.float32"),
        (torch.bfloat16, 0.1, print, "no dropout, which is 0.1"),
        (torch.bfloat16, 0.0, None, "has no torch.nn.attention.varlen"),
    ],
)
def test_a_warning_says_why_the_kernel_is_not_used(dtype, dropout, kernel, said, monkeypatch):
    monkeypatch.setattr(packed, "varlen_kernel", lambda: kernel)
    with pytest.warns(UserWarning, match=said):
        assert not packed.varlen_fits(SimpleNamespace(device=torch.device("cuda"), dtype=dtype), dropout)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
@pytest.mark.parametrize("causal", [False, True], ids=["both ways", "causal"])
def test_packed_rows_on_a_gpu_equal_the_cpu(causal):
    own, ids = encoder(causal=causal), joined(rows_of(LENGTHS))
    wanted = own.forward_packed(ids, LENGTHS)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        given = own.cuda().forward_packed(ids.cuda(), LENGTHS)
    assert float((given.float().cpu() - wanted).abs().mean()) < 0.05


# --- Causal


@settings(max_examples=25, deadline=None)
@given(st.integers(2, 9), st.data(), st.sampled_from(["fast", "by hand", "packed"]), st.sampled_from(["post", "pre"]))
def test_an_output_never_depends_on_later_tokens(seq, data, way, norm):
    own = encoder(norm=norm, causal=True)
    changed_from = data.draw(st.integers(1, seq - 1))
    ids = torch.tensor(rows_of((seq,)))
    other = ids.clone()
    other[:, changed_from:] = (other[:, changed_from:] + 7) % 49 + 1

    def states(rows):
        if way == "packed":
            return own.forward_packed(rows[0], [seq])[None]
        return own(rows, by_hand=way == "by hand")

    with torch.no_grad():
        one, two = states(ids), states(other)
    torch.testing.assert_close(two[:, :changed_from], one[:, :changed_from], atol=1e-6, rtol=0)
    assert (two[:, changed_from:] - one[:, changed_from:]).abs().amax(-1).min() > 1e-3


def test_one_flag_makes_the_same_weights_autoregressive():
    own, (ids, mask) = encoder(), batch(padded=True)
    reading_all = own(ids, mask)
    own.causal = True
    given, wanted = own(ids, mask), own.to_transformers()(ids, mask).last_hidden_state
    torch.testing.assert_close(given[mask.bool()], wanted[mask.bool()], atol=1e-5, rtol=0)
    assert (given - reading_all)[:, 0].abs().max() > 0.1
    own.causal = False
    assert torch.equal(own(ids, mask), reading_all)
    maps = encoder(causal=True).attention_maps(ids)
    assert not maps.triu(1).any() and maps.tril().sum(-1).allclose(torch.ones(()))


# --- Costs

COUNTED = {
    "small": SMALL,
    "pre-norm": replace(SMALL, norm="pre", n_layers=2),
    "wide": replace(SMALL, hidden_size=64, n_heads=2, intermediate_size=256, max_positions=128),
    "one layer": replace(SMALL, n_layers=1, n_heads=8, n_segments=1),
}
counted = pytest.mark.parametrize("config", COUNTED.values(), ids=COUNTED)


@counted
def test_parameters_counted(config):
    own, parts = BertEncoder(config), parameter_count(config)
    assert parts.total == sum(p.numel() for p in own.parameters())
    assert parts["attention"] == sum(p.numel() for layer in own.layers for p in layer.attention.parameters())
    assert parts["norms"] == sum(
        p.numel() for m in own.modules() if isinstance(m, nn.LayerNorm) for p in m.parameters()
    )


def test_the_course_encoder_has_22_7_million_parameters():
    assert parameter_count(EncoderConfig()).total == 22_713_216


@counted
@pytest.mark.parametrize("cls_only", [False, True])
def test_operations_counted(config, cls_only):
    """With attention by hand, since torch's counter does not know the fused kernel of the CPU."""
    own, ids = BertEncoder(config), torch.ones(3, 20, dtype=torch.long)
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        own(ids, cls_only=cls_only, by_hand=True)
    with FlopCounterMode(display=False) as both:
        own(ids, cls_only=cls_only, by_hand=True).sum().backward()
    assert forward.get_total_flops() == forward_flops(config, 3, 20, cls_only)
    assert both.get_total_flops() == 3 * forward_flops(config, 3, 20, cls_only)


@counted
@pytest.mark.parametrize(("batch_size", "seq"), [(2, 8), (5, 40)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=["float32", "bfloat16"])
def test_memory_for_the_backward_pass_counted(config, batch_size, seq, dtype):
    own = BertEncoder(config).to(dtype)
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with saved_tensors_hooks(keep, lambda tensor: tensor):
        output = own(torch.ones(batch_size, seq, dtype=torch.long))
    for tensor in (output, *own.parameters()):
        kept.pop(tensor.untyped_storage().data_ptr(), None)
    measured = sum(tensor.untyped_storage().nbytes() for tensor in kept.values())
    counted = activation_bytes(config, batch_size, seq, dtype)
    assert counted == pytest.approx(measured, rel=0.1)


def test_bytes_of_whole_numbers_are_refused():
    with pytest.raises(BadInput, match=r"dtype is torch\.int64"):
        activation_bytes(SMALL, 1, 1, torch.int64)


# --- cls_state, which runs transformers' modules


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


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("padded", [True, False], ids=["padded", "unpadded"])
def test_cls_state_and_its_gradients_equal_transformers(padded, layers, attention):
    bert, (ids, mask) = model(layers, attention), batch(padded)
    types = (torch.arange(ids.shape[1]) > 2).long().expand_as(ids)
    outputs = [bert(ids, mask, types).last_hidden_state[:, 0], cls_state(bert, ids, mask, types)]
    assert outputs[1].dtype == torch.float32 and outputs[1].shape == (len(ids), 32)
    torch.testing.assert_close(outputs[1], outputs[0], atol=1e-5, rtol=0)
    gradients = []
    for output in outputs:
        bert.zero_grad()
        output.pow(3).sum().backward()
        gradients.append({name: p.grad.clone() for name, p in bert.named_parameters() if p.grad is not None})
    wanted, given = gradients
    assert set(given) == set(wanted) and len(given) > 13 * layers  # all but the pooler
    largest = max(float(gradient.abs().max()) for gradient in wanted.values())
    for name, gradient in wanted.items():
        torch.testing.assert_close(given[name], gradient, atol=1e-5 * largest, rtol=0, msg=name)
    with torch.no_grad():  # neither the mask nor the types are without effect
        assert not padded or (cls_state(bert, ids, torch.ones_like(mask), types) - outputs[0]).abs().max() > 0.1
        assert (cls_state(bert, ids, mask) - outputs[0]).abs().max() > 1e-2


def test_attention_drops_only_while_training():
    bert, (ids, mask) = model(attention_probs_dropout_prob=0.5, hidden_dropout_prob=0.0), batch(padded=False)
    with torch.no_grad():
        still = cls_state(bert, ids, mask)
        assert torch.equal(cls_state(bert, ids, mask), still)
        bert.train()
        assert (cls_state(bert, ids, mask) - still).abs().max() > 1e-2


def test_a_seventh_of_a_six_layer_encoder_is_spared():
    """Ten of the last layer's twelve H x H products serve the first token only: 10 / 12 / 6 = 14 %."""
    bert = model(layers=6, intermediate_size=128)
    ids = torch.full((2, 100), 7)
    counts = []
    for run in (lambda: bert(ids, torch.ones_like(ids)), lambda: cls_state(bert, ids, torch.ones_like(ids))):
        with FlopCounterMode(display=False) as counter, torch.no_grad():
            run()
        matmuls = counter.get_flop_counts()["Global"]
        counts.append(sum(n for kind, n in matmuls.items() if "addmm" in str(kind) or str(kind) == "aten.mm"))
    assert 1 - counts[1] / counts[0] == pytest.approx(10 / 12 / 6, abs=0.005)


@pytest.mark.parametrize(
    ("config", "supported"),
    [(BertConfig(), True), (BertConfig(is_decoder=True), False), (DistilBertConfig(), False)],
    ids=["bert", "decoder", "distilbert"],
)
def test_only_plain_berts_are_supported(config, supported):
    assert supports_cls_only(config) is supported
