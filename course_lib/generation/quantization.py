"""Weights of 4 or 8 bits, and decoding with them: a step reads them from memory as they are stored.

A step of one token uses each weight once, so that reading the weights takes longer than the arithmetic. Torch's own
products with 4 and 8 bits are slower than float32 on a processor with AVX2; those of ONNX Runtime are several times
faster. `quantize_weights` therefore gives the steps of one text to ONNX Runtime, and everything else to torch.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from jaxtyping import Float, Int, Int8
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import Tensor

from course_lib.compression.onnx_graph import INT8_ACTIVATIONS, MICROSOFT, GraphBuilder, pack_int4
from course_lib.compression.quantization import QuantParams, check_finite, qparams_of_range
from course_lib.errors import BadInput
from course_lib.generation.decoder import Decoder, DecoderConfig, KVCache
from course_lib.generation.pretrained import CausalLM

BITS, ACTIVATION_BITS = (4, 8), (16, 8)
BLOCK = 32  # consecutive weights of a row that share a scale, as in GGUF's Q4_1 and Q8_0
_MOST_TOKENS = 32  # at once; float32 products of torch read more of them faster: tests/benchmarks


def quantize_weights(lm: CausalLM, bits: int = 4, activation_bits: int = 16) -> CausalLM:
    """The same model with 4 or 8 bits for each weight of the linear layers, and 8 for the embeddings, the tied head.

    A block of 32 weights shares its parameters, as in llama.cpp's formats. With 4 bits they are a scale and a minimum
    (Q4_1: 16 evenly spaced values from the smallest to the largest weight), with 8 bits a scale (Q8_0). The course's
    decoder is shipped in these formats: with `bits=4` its weights do not change at all.

    One text on a CPU is decoded by ONNX Runtime (`QuantizedDecoder`). Batches, prompts of more than 32 tokens, and a
    GPU compute in float32 with the same weights. `QuantizedDecoder.weight_errors` tells what rounding the weights lost,
    and `scoring.perplexity` what rounding weights and activations costs. `CausalLM.save_pretrained` writes the rounded
    weights as float32.

    Args:
        lm: its weights are not changed; those that rounding leaves as they are, are shared.
        bits: of the linear layers, 4 or 8.
        activation_bits: 8 rounds each block of 32 activations of a token to integers from -127 to 127. 16 adds the same
            for what this rounding has lost, so that results are nearly those of float32, at about 1.5 times the time.

    Raises:
        BadInput: other numbers of bits, weights that are not finite, or a width that 32 does not divide.
    """
    for name, value, possible in (("bits", bits, BITS), ("activation_bits", activation_bits, ACTIVATION_BITS)):
        if value not in possible or not isinstance(value, int):
            raise BadInput(f"{name} is {value!r}", f"use {' or '.join(map(str, possible))}")
    config = lm.model.config
    for name in ("hidden_size", "intermediate_size"):
        if (width := getattr(config, name)) % BLOCK:
            raise BadInput(f"{name} is {width}", f"blocks of weights need a multiple of {BLOCK}")
    return CausalLM(QuantizedDecoder(lm.model, bits, activation_bits), lm.tokenizer)


@dataclass(frozen=True, eq=False)
class BlockWeight:
    """A matrix in blocks of `BLOCK` weights along a row: the numbers of `qparams`, plus the block's minimum.

    Args:
        integers: from -8 to 7, or from -127 to 127.
        qparams: a scale for each block, (out, blocks, 1).
        minimum: of each block, with 4 bits; None with 8, whose integers are symmetric around 0.
    """

    integers: Int8[Tensor, "out blocks block"]
    qparams: QuantParams
    minimum: Float[Tensor, "out blocks 1"] | None = None

    def dequantize(self) -> Float[Tensor, "out in"]:
        """The real numbers."""
        values = self.qparams.dequantize(self.integers)
        return (values if self.minimum is None else values + self.minimum).flatten(1)


def quantize_blocks(weight: Float[Tensor, "out in"], bits: int) -> BlockWeight:
    """Rounds a matrix to Q4_1 or Q8_0; a matrix that has been stored so is found again, bit for bit.

    Raises:
        BadInput: weights that are not finite.
    """
    blocks = check_finite(weight, "weights").cpu().unflatten(1, (-1, BLOCK))
    if bits == 8:
        largest = blocks.abs().amax(-1, keepdim=True)
        qparams = qparams_of_range(-largest, largest, 8)
        return BlockWeight(qparams.quantize(blocks), qparams)
    minimum = blocks.amin(-1, keepdim=True)
    above = blocks - minimum
    qparams = qparams_of_range(torch.zeros_like(minimum), above.amax(-1, keepdim=True), 4, symmetric=False)
    half = qparams.scale.half().float()  # a scale has 16 bits in Q4_1
    qparams = replace(qparams, scale=torch.where((half > 0) & half.isfinite(), half, qparams.scale))
    return BlockWeight(qparams.quantize(above), qparams, minimum)


class _BoundCache(KVCache):
    """A cache whose memory ONNX Runtime reads and extends in place, once `_Runtime` has bound it."""

    binding: Any = None


class QuantizedDecoder(Decoder):
    """A decoder whose weights are rounded, and which decodes one text on a CPU with ONNX Runtime.

    All other calls (several rows, a mask, no cache, gradients, more than 32 tokens, a GPU, another dtype) compute with
    the rounded weights in float32, in torch. So does a copy, since its layers may be changed. A machine whose ONNX
    Runtime lacks the operators gets a warning, and torch for everything.

    Attributes:
        bits: of the linear layers.
        activation_bits: 16 or 8; see `quantize_weights`.
        weight_errors: name of a weight -> |W - Q| / |W| (Frobenius norms), what rounding has changed.
    """

    def __init__(self, source: Decoder, bits: int, activation_bits: int) -> None:
        with torch.device("meta"):
            super().__init__(source.config)
        self.bits, self.activation_bits, self.weight_errors = bits, activation_bits, dict[str, float]()
        device, blocks, weights = source.embeddings.weight.device, dict[str, BlockWeight](), dict[str, Tensor]()
        for name, weight in source.state_dict().items():
            weights[name] = weight
            if weight.ndim == 2:
                blocks[name] = quantize_blocks(weight, 8 if name == "embeddings.weight" else bits)
                rounded = blocks[name].dequantize().to(weight)
                self.weight_errors[name] = float((weight - rounded).norm() / weight.norm().clamp(min=1e-30))
                weights[name] = weight if torch.equal(weight, rounded) else rounded
        self.load_state_dict(weights, assign=True)
        self.fill_rotation_table()
        self.to(device).eval().requires_grad_(False)
        self._runtime = _start(self, blocks) if device.type == "cpu" else None

    def new_cache(self, batch: int, capacity: int) -> KVCache:
        return _BoundCache(self.config, batch, capacity, self.embeddings.weight)

    def forward(
        self,
        input_ids: Int[Tensor, "batch new"],
        attention_mask: Int[Tensor, "batch seq"] | None = None,
        cache: KVCache | None = None,
    ) -> Float[Tensor, "batch new hidden"]:
        runtime = self._runtime_for(input_ids.shape[1])
        if runtime is None or attention_mask is not None or not isinstance(cache, _BoundCache) or len(input_ids) > 1:
            return super().forward(input_ids, attention_mask, cache)
        self._check(input_ids, None, cache)
        states = runtime.states(self.embeddings(input_ids[0]), cache)
        return states[None]

    def logits(self, hidden: Float[Tensor, "*batch hidden"]) -> Float[Tensor, "*batch vocab"]:
        rows = hidden.reshape(-1, self.config.hidden_size)
        runtime = None if hidden.requires_grad else self._runtime_for(len(rows))
        return super().logits(hidden) if runtime is None else runtime.logits(rows).view(*hidden.shape[:-1], -1)

    def _runtime_for(self, tokens: int) -> _Runtime | None:
        weight = self.embeddings.weight
        plain = weight.device.type == "cpu" and weight.dtype == torch.float32
        needs_gradients = torch.is_grad_enabled() and weight.requires_grad
        return self._runtime if plain and 0 < tokens <= _MOST_TOKENS and not needs_gradients else None


def _start(model: QuantizedDecoder, blocks: dict[str, BlockWeight]) -> _Runtime | None:
    """ONNX Runtime with these weights, tried on one token; None with a warning where it lacks an operator."""
    try:
        runtime = _Runtime(model, blocks)
        cache = _BoundCache(model.config, 1, 1, model.embeddings.weight)
        runtime.logits(runtime.states(model.embeddings.weight[:1].detach(), cache))
    except Exception as error:  # ONNX Runtime's own exceptions have no common base but this
        reason = " ".join(str(error).split())[:200]
        warnings.warn(
            f"ONNX Runtime cannot decode with {model.bits} bits here ({reason}); decoding computes in float32 instead.",
            stacklevel=4,
        )
        return None
    return runtime


class _Runtime:
    """The layers and the head in ONNX Runtime, with their own copy of the quantised weights."""

    def __init__(self, model: QuantizedDecoder, blocks: dict[str, BlockWeight]) -> None:
        self.config = model.config
        self._layers = _session(_DecoderGraph(model, blocks).layers())
        self._head = _session(_DecoderGraph(model, blocks).head())

    def __deepcopy__(self, memo: dict[int, Any]) -> None:
        """A copy of the model may get other weights, such as adapters, which these sessions would not have."""

    def states(self, embedded: Float[Tensor, "new hidden"], cache: _BoundCache) -> Float[Tensor, "new hidden"]:
        """The last layer's states, normalised. The new keys and values are written into the cache."""
        embedded, states = embedded.contiguous(), torch.empty_like(embedded)
        binding, end = self._bound(cache), cache.length + len(embedded)
        binding.bind_input("hidden", "cpu", 0, np.float32, embedded.shape, embedded.data_ptr())
        binding.bind_output("states", "cpu", 0, np.float32, states.shape, states.data_ptr())
        lengths = np.array([end - 1], np.int32), np.array([end], np.int32)  # kept until the run is over
        for name, length in zip(("last_position", "length"), lengths, strict=True):
            binding.bind_cpu_input(name, length)
        self._layers.run_with_iobinding(binding)
        cache.length = end
        return states

    def logits(self, states: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows vocab"]:
        """Scores of every token of the vocabulary.

        The product rounds its inputs to 8 bits. The states are given as the sum of two rows: what 8 bits represent, and
        the rest, which gets 8 bits of its own. The weights are read once for both.
        """
        parts = torch.cat(split_rows(states.detach()))
        (scores,) = self._head.run(["logits"], {"states": parts.numpy()})
        return torch.from_numpy(scores[: len(states)] + scores[len(states) :])

    def _bound(self, cache: _BoundCache) -> Any:
        """The binding of a cache: every layer reads its keys and values, and extends them in place."""
        if cache.binding is None:
            cache.binding = self._layers.io_binding()
            for number in range(self.config.n_layers):
                for name, tensor in (("key", cache.keys[number]), ("value", cache.values[number])):
                    place = ("cpu", 0, np.float32, tensor.shape, tensor.data_ptr())
                    cache.binding.bind_input(f"past_{name}.{number}", *place)
                    cache.binding.bind_output(f"present_{name}.{number}", *place)
        return cache.binding


def split_rows(states: Float[Tensor, "rows width"]) -> tuple[Float[Tensor, "rows width"], Float[Tensor, "rows width"]]:
    """Two parts whose sum are the states: multiples of a block's largest number / 127, and the rest."""
    blocks = states.unflatten(-1, (-1, BLOCK))
    step = blocks.abs().amax(-1, keepdim=True).clamp(min=1e-30) / 127
    coarse = ((blocks / step).round() * step).flatten(-2)
    return coarse, states - coarse


def _session(model: onnx.ModelProto) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4  # `_start` tells of an error
    # Its threads would go on spinning after a run, and take the processor from torch's threads and the other session's.
    options.add_session_config_entry("session.force_spinning_stop", "1")
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


class _DecoderGraph(GraphBuilder):
    """The decoder of `decoder.py` for one text, node by node, with products of quantised weights.

    States have the shape (new, hidden). The operators are those of ONNX Runtime's own models.
    """

    def __init__(self, model: QuantizedDecoder, blocks: dict[str, BlockWeight]) -> None:
        super().__init__()
        self.model, self.blocks = model, blocks
        self.config: DecoderConfig = model.config
        self.sums: dict[str, str] = {}  # states -> their sums over blocks

    def layers(self) -> onnx.ModelProto:
        """hidden, past keys and values, last_position, length -> states, present keys and values."""
        describe, config = helper.make_tensor_value_info, self.config
        past = [f"_{kind}.{number}" for number in range(config.n_layers) for kind in ("key", "value")]
        shape: list[str | int | None] = [1, config.n_kv_heads, "capacity", config.head_size]
        state: list[str | int | None] = ["new", config.hidden_size]
        inputs = [describe("hidden", TensorProto.FLOAT, state)]
        inputs += [describe(name, TensorProto.INT32, [1]) for name in ("last_position", "length")]
        inputs += [describe(f"past{name}", TensorProto.FLOAT, shape) for name in past]
        outputs = [describe("states", TensorProto.FLOAT, state)]
        outputs += [describe(f"present{name}", TensorProto.FLOAT, shape) for name in past]
        self.all_layers()
        return self.assemble("decoder", inputs, outputs)

    def head(self) -> onnx.ModelProto:
        """states -> logits."""
        config = self.config
        self.linear("embeddings.weight", "states", output="logits")
        given = helper.make_tensor_value_info("states", TensorProto.FLOAT, ["rows", config.hidden_size])
        found = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["rows", config.vocab_size])
        return self.assemble("head", [given], [found])

    def all_layers(self) -> None:
        """Every norm also adds the output of the block before to the residual state."""
        names = [f"layers.{number}" for number in range(self.config.n_layers)]
        gain = self.constant(f"{names[0]}.norm", _array(self.model.get_parameter(f"{names[0]}.attention_norm.weight")))
        normed = self.node("SimplifiedLayerNormalization", "hidden", gain, axis=-1, epsilon=self.config.norm_eps)
        hidden = "hidden"
        for name, after in zip(names, [f"{name}.attention_norm" for name in names[1:]] + ["norm"], strict=True):
            normed, hidden = self.add_norm(f"{name}.feed_forward_norm", self.attend(name, normed), hidden)
            normed, hidden = self.add_norm(after, self.feed_forward(f"{name}.feed_forward", normed), hidden)

    def add_norm(self, name: str, update: str, hidden: str) -> tuple[str, str]:
        """RMSNorm(hidden + update), and the sum."""
        outputs = "states" if name == "norm" else f"{name}.normed", f"{name}.hidden"
        gain = self.constant(name, _array(self.model.get_parameter(f"{name}.weight")))
        self.nodes.append(
            _node(
                "SkipSimplifiedLayerNormalization", [update, hidden, gain], [outputs[0], "", "", outputs[1]],
                epsilon=self.config.norm_eps,
            )
        )  # fmt: skip
        return outputs

    def attend(self, name: str, normed: str) -> str:
        """Rotates queries and keys, extends the cache, attends, and mixes the heads' outputs."""
        half, (_, number) = self.config.head_size // 2, name.split(".")
        batch = self.ints("batch", [0])
        heads = self.node("Unsqueeze", self.linear(f"{name}.attention.qkv_proj.weight", normed), batch)
        rotation = [self.constant(kind, _array(getattr(self.model, kind)[:, :half])) for kind in ("cos", "sin")]
        past = [f"past_key.{number}", f"past_value.{number}"]
        self.nodes.append(
            _node(
                "GroupQueryAttention", [heads, "", "", *past, "last_position", "length", *rotation],
                [f"{name}.mixed", f"present_key.{number}", f"present_value.{number}"],
                num_heads=self.config.n_heads, kv_num_heads=self.config.n_kv_heads, do_rotary=1,
            )
        )  # fmt: skip
        return self.linear(f"{name}.attention.o_proj.weight", self.node("Squeeze", f"{name}.mixed", batch))

    def feed_forward(self, name: str, normed: str) -> str:
        """SwiGLU."""
        both = self.linear(f"{name}.gate_up_proj.weight", normed)
        parts = [f"{name}.gate", f"{name}.up"]
        self.nodes.append(_node("Split", [both], parts, domain="", axis=-1))
        silu = self.node("QuickGelu", parts[0], domain=MICROSOFT, alpha=1.0)  # x sigmoid(alpha x)
        return self.linear(f"{name}.down_proj.weight", self.node("Mul", silu, parts[1]))

    def linear(self, name: str, x: str, output: str | None = None) -> str:
        """x W^T. MatMulNBits computes it for numbers scale * integer; what a block's minimum adds, follows."""
        weight, qparams = self.blocks[name], self.blocks[name].qparams
        outputs, inputs = len(weight.integers), weight.integers[0].numel()
        split = output is None and self.model.activation_bits == 16
        if qparams.bits == 4:
            integers = pack_int4(weight.integers.flatten(1)).view(outputs, -1, BLOCK // 2)
        else:
            integers = (weight.integers ^ -128).view(torch.uint8)  # 0 is 128
        product = self.node(
            "MatMulNBits", self.split(x, inputs) if split else x, self.constant(name, integers.numpy()),
            self.constant(f"{name}.scale", qparams.scale.flatten().numpy()), output=output, domain=MICROSOFT,
            K=inputs, N=outputs, bits=qparams.bits, block_size=BLOCK, accuracy_level=INT8_ACTIVATIONS,
        )  # fmt: skip
        if split:
            parts = [f"{name}.coarse", f"{name}.rest"]
            self.nodes.append(_node("Split", [product], parts, domain="", axis=0))
            product = self.node("Add", *parts)
        if weight.minimum is None:
            return product
        offset = (weight.minimum - qparams.zero_point * qparams.scale)[..., 0]
        return self.node("Gemm", self.block_sums(x, inputs), self.constant(f"{name}.offset", offset.T.numpy()), product)

    def block_sums(self, x: str, width: int) -> str:
        """The sum over each block of the states."""
        if x not in self.sums:
            self.sums[x] = self.node("ReduceSum", self.in_blocks(x, width), self.ints("last", [2]), keepdims=0)
        return self.sums[x]

    def split(self, x: str, width: int) -> str:
        """The two parts of `split_rows`, one below the other: (2 new, width)."""
        blocks = self.in_blocks(x, width)
        largest = self.node("ReduceMax", self.node("Abs", blocks), axes=[2])
        step = self.node("Mul", self.node("Max", largest, self.float("tiny", 1e-30)), self.float("1/127", 1 / 127))
        coarse = self.node("Mul", self.node("Round", self.node("Div", blocks, step)), step)
        both = self.node("Concat", coarse, self.node("Sub", blocks, coarse), axis=0)
        return self.node("Reshape", both, self.ints(f"rows{width}", [-1, width]))

    def in_blocks(self, x: str, width: int) -> str:
        """(new, blocks, block)."""
        return self.node("Reshape", x, self.ints(f"blocks{width}", [-1, width // BLOCK, BLOCK]))


def _node(kind: str, inputs: list[str], outputs: list[str], domain: str = MICROSOFT, **settings: Any) -> onnx.NodeProto:
    """A node with several outputs; an empty name is one that is left out."""
    return helper.make_node(kind, inputs, outputs, name=outputs[0], domain=domain, **settings)


def _array(tensor: Tensor) -> NDArray[np.float32]:
    array: NDArray[np.float32] = tensor.detach().float().cpu().numpy()
    return array
