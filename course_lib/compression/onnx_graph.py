"""A classifier as an ONNX graph, written node by node: in float32, or with weights of 8 and 4 bits.

`torch.onnx.export` would write the float32 graph, too. Written by hand it runs faster (the last layer computes only the
first token), and each product can have its own number of bits.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import onnx
import torch
from jaxtyping import Int8, UInt8
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from course_lib.classifier.model import BERTForSentimentAnalysis
from course_lib.compression.quantization import QuantParams, fit_qparams
from course_lib.encoder import supports_cls_only
from course_lib.errors import BadInput

OPSET = 17  # of the standard operators
_IR_VERSION = 8  # the file format that came with that opset
MICROSOFT = "com.microsoft"  # ONNX Runtime's own operators: those with 8 and 4 bits
_BITS = (32, 8, 4)
SHARED = 0.9  # a table with no more different rows than this fraction is stored as different rows and an index
_ROWS_AT_ONCE = 256  # of a weight whose ranges are fitted: fitting is faster in the processor's cache
INT8_ACTIVATIONS = 4  # MatMulNBits' accuracy level that multiplies in int8
_ZERO = 128  # the unsigned integer that represents 0 in an activation
_PAIR = 32767 // 255  # so far may two neighbouring integers of a weight add up: see `pair_safe`


@dataclass(frozen=True)
class Bits:
    """How many bits a weight has in the file. Raises BadInput for other numbers."""

    matrices: int = 32  # the encoder's linear layers: 32, 8 (activations get 8 bits, one scale per token), or 4
    embeddings: int = 32  # the embedding table: 32, 8 or 4
    block_size: int = 32  # consecutive weights that share a scale, for 4 bits; a power of 2 from 16 on

    def __post_init__(self) -> None:
        for name in ("matrices", "embeddings"):
            if getattr(self, name) not in _BITS:
                raise BadInput(f"{name} is {getattr(self, name)} bits", f"use one of {', '.join(map(str, _BITS))}")
        if self.block_size < 16 or self.block_size & (self.block_size - 1):
            raise BadInput(f"block_size is {self.block_size}", "use a power of 2 from 16 on: 16, 32, 64, 128")


def build_graph(module: nn.Module, bits: Bits, positions: int = 128, all_tokens: bool = False) -> onnx.ModelProto:
    """The graph `input_ids, attention_mask (batch, seq) -> logits (batch, outputs)`, both sizes free.

    Args:
        module: a `BERTForSentimentAnalysis`.
        bits: of the weights. With 32 for both, only operators of the ONNX standard are used.
        positions: most tokens that a text can have.
        all_tokens: computes the last layer for every token, as exporters of whole models do.

    Raises:
        BadInput: another kind of model, more positions than it has, or a width that the block size does not divide.
    """
    plain = isinstance(module, BERTForSentimentAnalysis) and supports_cls_only(module.bert.config)
    if not plain or module.rating is not None:
        raise BadInput(f"a {type(module).__name__} cannot be written as this graph", "give a BERT with one head")
    have = module.bert.config.max_position_embeddings
    if positions > have:
        raise BadInput(f"positions is {positions}", f"this encoder has {have}")
    return _Builder(module, bits, positions).model(all_tokens)


class GraphBuilder:
    """Collects nodes and constants. A method that adds a node returns the name of its output."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def node(self, kind: str, *inputs: str, output: str | None = None, **settings: Any) -> str:
        """Adds a node with one output."""
        name = output or f"{kind}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [name], name=name, **settings))
        return name

    def constant(self, name: str, values: NDArray[Any]) -> str:
        """A tensor of the file; one that has the name of an earlier one is that one."""
        if all(name != have.name for have in self.constants):
            self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values), name))
        return name

    def ints(self, name: str, values: list[int]) -> str:
        """A constant of whole numbers, such as a shape."""
        return self.constant(name, np.asarray(values, np.int64))

    def float(self, name: str, value: float) -> str:
        """A single number."""
        return self.constant(name, np.asarray(value, np.float32))

    def assemble(
        self, name: str, inputs: list[onnx.ValueInfoProto], outputs: list[onnx.ValueInfoProto]
    ) -> onnx.ModelProto:
        """The graph of all nodes as a model."""
        graph = helper.make_graph(self.nodes, name, inputs, outputs, self.constants)
        opsets = [helper.make_opsetid("", OPSET)]
        if any(node.domain == MICROSOFT for node in self.nodes):
            opsets.append(helper.make_opsetid(MICROSOFT, 1))
        return helper.make_model(graph, opset_imports=opsets, ir_version=_IR_VERSION, producer_name="course_lib")


class _Builder(GraphBuilder):
    """A classifier's graph."""

    def __init__(self, module: BERTForSentimentAnalysis, bits: Bits, positions: int) -> None:
        super().__init__()
        self.module, self.bits, self.positions = module, bits, positions
        self.config = module.bert.config
        self.quantized: dict[str, tuple[str, str]] = {}  # states -> their integers and scales

    def model(self, all_tokens: bool) -> onnx.ModelProto:
        """The whole graph, checked."""
        mask = self.mask()
        hidden = self.embed()
        *lower, last = self.module.bert.encoder.layer
        for number, layer in enumerate(lower):
            hidden = self.layer(f"layer{number}", layer, hidden, hidden, mask)
        if all_tokens:
            state = self.first(self.layer(f"layer{len(lower)}", last, hidden, hidden, mask))
        else:
            state = self.layer(f"layer{len(lower)}", last, self.first(hidden), hidden, mask)
        pooled = self.node("Tanh", self.dense("pooler", self.module.bert.pooler.dense, state))
        self.dense("head", self.module.classifier, pooled, output="logits")
        outputs = self.module.classifier.out_features
        ids = [
            helper.make_tensor_value_info(n, TensorProto.INT64, ["batch", "seq"])
            for n in ("input_ids", "attention_mask")
        ]
        logits = helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", outputs])
        model = self.assemble("classifier", ids, [logits])
        onnx.checker.check_model(model)
        return model

    def first(self, states: str) -> str:
        """The first token's states, (batch, hidden)."""
        rows = self.node("Reshape", states, self.token_shape(self.config.hidden_size))
        zero, one = self.ints("zero", [0]), self.ints("one", [1])
        return self.node("Squeeze", self.node("Slice", rows, zero, one, one), one)

    def token_shape(self, *sizes: int) -> str:
        """The shape (batch, seq, *sizes)."""
        return self.node("Concat", self.node("Shape", "input_ids"), self.ints(f"sizes{sizes}", list(sizes)), axis=0)

    # ---- parts of BERT -----------------------------------------------------------------------------------------

    def mask(self) -> str:
        """0 for a token and a very negative number for padding, (batch, 1, 1, seq), added to attention's scores."""
        mask = self.node("Cast", "attention_mask", to=TensorProto.FLOAT)
        scaled = self.node("Mul", self.node("Sub", mask, self.float("1.0", 1.0)), self.float("1e4", 1e4))
        return self.node("Unsqueeze", scaled, self.ints("axes12", [1, 2]))

    def embed(self) -> str:
        """Word + position + first segment, normalised: (batch * seq, hidden), as all states of tokens."""
        embeddings = self.module.bert.embeddings
        place = embeddings.position_embeddings.weight[: self.positions] + embeddings.token_type_embeddings.weight[0]
        table = self.constant("positions", _array(place))
        seq = self.node("Slice", self.node("Shape", "input_ids"), self.ints("one", [1]), self.ints("two", [2]))
        place_name = self.node("Slice", table, self.ints("zero", [0]), seq, self.ints("zero", [0]))
        summed = self.node("Add", self.embeddings(embeddings.word_embeddings.weight), place_name)
        flat = self.node("Reshape", summed, self.ints("flat", [-1, self.config.hidden_size]))
        return self.norm("embeddings.norm", embeddings.LayerNorm, flat)

    def embeddings(self, table: torch.Tensor) -> str:
        """The vector of each token; rows of the table that are equal are stored once."""
        rows, number = torch.unique(table.detach().float().cpu(), dim=0, return_inverse=True)
        if len(rows) > SHARED * len(table):
            return self.rows(table.detach().float().cpu(), "input_ids")
        small = number.numpy().astype(np.int16 if len(rows) < 2**15 else np.int32)
        which = self.node("Gather", self.constant("words.row", small), "input_ids")
        return self.rows(rows, self.node("Cast", which, to=TensorProto.INT64))

    def rows(self, table: torch.Tensor, ids: str) -> str:
        """Rows of a table, which has one scale per row with 8 bits, and one per block with 4."""
        if self.bits.embeddings == 32:
            return self.node("Gather", self.constant("words", _array(table)), ids)
        if self.bits.embeddings == 8:
            qparams = fit_qparams(table, bits=8, axis=0)
            integers = self.constant("words", qparams.quantize(table).numpy())
            scale = self.constant("words.scale", qparams.scale.reshape(-1, 1).numpy())
            found = self.node("Cast", self.node("Gather", integers, ids), to=TensorProto.FLOAT)
            return self.node("Mul", found, self.node("Gather", scale, ids))
        packed, scales = _blocks(table, self.bits.block_size)
        name = self.constant("words", packed)
        blocks = self.constant("words.scale", scales)
        return self.node(
            "GatherBlockQuantized", name, ids, blocks, domain=MICROSOFT,
            bits=4, block_size=self.bits.block_size, gather_axis=0, quantize_axis=1,
        )  # fmt: skip

    def layer(self, name: str, layer: Any, queries: str, hidden: str, mask: str) -> str:
        """One encoder layer for the states `queries`, of all tokens or of first tokens, which attend to `hidden`."""
        own, after = layer.attention.self, layer.attention.output
        mixed = self.attend(name, own, queries, hidden, mask)
        added = self.node("Add", self.dense(f"{name}.output", after.dense, mixed), queries)
        states = self.norm(f"{name}.attention_norm", after.LayerNorm, added)
        wide = self.gelu(self.dense(f"{name}.expand", layer.intermediate.dense, states))
        added = self.node("Add", self.dense(f"{name}.contract", layer.output.dense, wide), states)
        return self.norm(f"{name}.norm", layer.output.LayerNorm, added)

    def attend(self, name: str, own: Any, queries: str, hidden: str, mask: str) -> str:
        """softmax(Q K^T / sqrt(size) + mask) V for all heads (Vaswani et al. 2017, equation 1)."""
        heads, size = own.num_attention_heads, own.attention_head_size
        tokens = self.token_shape(heads, size)
        first = self.ints("first", [-1, 1, heads, size])

        def split(which: str, linear: nn.Linear, states: str, order: list[int]) -> str:
            parts = tokens if states == hidden else first
            return self.node(
                "Transpose", self.node("Reshape", self.dense(f"{name}.{which}", linear, states), parts), perm=order
            )

        query = split("query", own.query, queries, [0, 2, 1, 3])
        key = split("key", own.key, hidden, [0, 2, 3, 1])
        value = split("value", own.value, hidden, [0, 2, 1, 3])
        scores = self.node("Mul", self.node("MatMul", query, key), self.float("scale", size**-0.5))
        weights = self.node("Softmax", self.node("Add", scores, mask), axis=-1)
        merged = self.node("Transpose", self.node("MatMul", weights, value), perm=[0, 2, 1, 3])
        return self.node("Reshape", merged, self.ints("merged", [-1, heads * size]))

    def norm(self, name: str, norm: nn.LayerNorm, states: str) -> str:
        """Layer normalisation over the width."""
        weights = (self.constant(f"{name}.{kind}", _array(getattr(norm, kind))) for kind in ("weight", "bias"))
        return self.node("LayerNormalization", states, *weights, axis=-1, epsilon=norm.eps)

    def gelu(self, states: str) -> str:
        """x (1 + erf(x / sqrt 2)) / 2, in one node where ONNX Runtime's operators are allowed."""
        if self.bits.matrices != 32:
            return self.node("Gelu", states, domain=MICROSOFT)
        error = self.node("Erf", self.node("Mul", states, self.float("sqrt_half", 0.5**0.5)))
        share = self.node("Mul", self.node("Add", error, self.float("1.0", 1.0)), self.float("half", 0.5))
        return self.node("Mul", states, share)

    def dense(self, name: str, linear: nn.Linear, states: str, output: str | None = None) -> str:
        """x W^T + b with the bits of matrices; the head, a few hundred numbers, is always float32."""
        bits = 32 if name == "head" else self.bits.matrices
        weight, bias = linear.weight.detach().float().cpu(), self.constant(f"{name}.bias", _array(linear.bias))
        if bits == 32:
            product = self.node("MatMul", states, self.constant(f"{name}.weight", _array(weight.T)))
            return self.node("Add", product, bias, output=output)
        return self.dense8(name, weight, bias, states) if bits == 8 else self.dense4(name, weight, bias, states)

    def dense8(self, name: str, weight: torch.Tensor, bias: str, states: str) -> str:
        """One scale per output and one per token; ONNX Runtime's own dynamic quantisation has one per batch."""
        qparams = pair_safe(weight)
        integers = self.constant(f"{name}.weight", np.ascontiguousarray(qparams.quantize(weight).numpy().T))
        scale, one = self.constant(f"{name}.scale", qparams.scale.flatten().numpy()), self.float("1.0", 1.0)
        tokens, token_scale = self.quantize(states)
        zero = self.constant("zero_point", np.asarray(_ZERO, np.uint8))
        sums = self.node("MatMulIntegerToFloat", tokens, integers, one, scale, zero, domain=MICROSOFT)
        return self.node("Add", self.node("Mul", sums, token_scale), bias)

    def quantize(self, states: str) -> tuple[str, str]:
        """States as unsigned integers, 1 to 255 with 128 for 0, and a scale for each row, (rows, 1)."""
        if states not in self.quantized:
            largest = self.node("ReduceMax", self.node("Abs", states), axes=[-1])
            largest = self.node("Max", largest, self.float("tiny", 1e-30))
            scale = self.node("Mul", largest, self.float("1/127", 1 / 127))
            rows = self.node("Squeeze", scale, self.ints("one", [1]))
            zero = helper.make_tensor("value", TensorProto.UINT8, [1], [_ZERO])
            zeros = self.node("ConstantOfShape", self.node("Shape", rows), value=zero)
            self.quantized[states] = self.node("QuantizeLinear", states, rows, zeros, axis=0), scale
        return self.quantized[states]

    def dense4(self, name: str, weight: torch.Tensor, bias: str, states: str) -> str:
        """One scale per block of inputs; ONNX Runtime quantises activations by blocks of a token, too."""
        (outputs, inputs), block = weight.shape, self.bits.block_size
        if inputs % block:
            raise BadInput(f"{name} has {inputs} inputs, not a multiple of {block}", "use a smaller block_size")
        packed, scales = _blocks(weight, block)
        integers = self.constant(f"{name}.weight", packed.reshape(outputs, inputs // block, block // 2))
        scale = self.constant(f"{name}.scale", scales.flatten())
        return self.node(
            "MatMulNBits", states, integers, scale, "", "", bias, domain=MICROSOFT,
            K=inputs, N=outputs, bits=4, block_size=block, accuracy_level=INT8_ACTIVATIONS,
        )  # fmt: skip


def _array(tensor: torch.Tensor) -> NDArray[Any]:
    found: NDArray[Any] = tensor.detach().float().cpu().numpy()
    return found


def pair_safe(weight: torch.Tensor) -> QuantParams:
    """8-bit parameters, one scale per row, with which int8 products are exact on any processor.

    Without VNNI, x86 processors add two neighbouring products of an unsigned with a signed byte in 16 bits, which
    saturate (the instruction VPMADDUBSW). 255 * (a + b) fits for |a + b| <= 128. Rows with larger pairs get a larger
    scale; with weights of a trained model these are few, and the scale grows by little.
    """
    qparams = fit_qparams(weight, bits=8, axis=0)
    while True:
        integers = qparams.quantize(weight).to(torch.int32)
        largest = (integers[:, 1:] + integers[:, :-1]).abs().amax(1, keepdim=True)
        if not bool((largest > _PAIR).any()):
            return qparams
        qparams = replace(qparams, scale=torch.where(largest > _PAIR, qparams.scale * largest / _PAIR, qparams.scale))


def _blocks(weight: torch.Tensor, block: int) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """4-bit integers, two per byte and stored as 0 to 15 with 8 for zero; and a scale per block, (rows, blocks)."""
    packed, scales = [], []
    for rows in weight.detach().float().cpu().split(_ROWS_AT_ONCE):
        qparams = fit_qparams(rows, bits=4, group_size=block, method="mse", narrow_range=False)
        packed.append(pack_int4(qparams.quantize(rows)))
        scales.append(qparams.scale)
    return torch.cat(packed).numpy(), torch.cat(scales).numpy()


def pack_int4(integers: Int8[Tensor, "rows columns"]) -> UInt8[Tensor, "rows half"]:
    """Two integers from -8 to 7 per byte, stored as 0 to 15: the first in the lower four bits."""
    shifted = (integers.to(torch.int16) + 8).to(torch.uint8).reshape(len(integers), -1, 2)
    return shifted[..., 0] | (shifted[..., 1] << 4)
