"""Post-training quantisation of classifiers: weights alone, or int8 products with dynamic or static activations."""

from __future__ import annotations

import copy
from collections.abc import Collection, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
import torch
import torch.nn.functional as F
from jaxtyping import Float, Int8, Int32
from torch import Tensor, nn

from course_lib.classifier import TextClassifier
from course_lib.compression.linear_layers import LINEAR_LAYERS, Place, bert_encoder, linear_layers, observe_inputs
from course_lib.compression.quantization import QuantParams, check_finite, fake_quantize, fit_qparams, qparams_of_range
from course_lib.errors import BadInput

EMBEDDINGS = "embeddings"  # the embedding table, beside the names of `LINEAR_LAYERS`
_EXACT = 1024  # products of two int8 whose sum float32 still represents exactly: 1024 * 128 * 128 = 2^24
_MOST = 2**17  # so many products could overflow an int32


# ---- weights alone ---------------------------------------------------------------------------------------------


def quantize_weights(
    classifier: TextClassifier,
    bits: int = 8,
    names: Collection[str] = (*LINEAR_LAYERS, EMBEDDINGS),
    **layout: Any,
) -> TextClassifier:
    """A classifier with quantised weights, kept in float32: it predicts as a file of so many bits would.

    It shows what rounding costs; `export_onnx` writes such a file.

    Args:
        names: of linear layers (`LINEAR_LAYERS`), in all encoder layers; "embeddings" is the embedding table.
        layout: `symmetric`, `axis`, `group_size`, `method`, `narrow_range` of `fit_qparams`; one scale per row when
            left out.

    Raises:
        BadInput: as `linear_layers` and `fit_qparams`.
    """
    names = [names] if isinstance(names, str) else list(names)
    copied = copy.deepcopy(classifier)
    weights = [bert_encoder(copied).embeddings.word_embeddings.weight] if EMBEDDINGS in names else []
    others = [name for name in names if name != EMBEDDINGS]
    if others or not weights:
        weights += [layer.weight for layer in linear_layers(copied, others).values()]
    with torch.no_grad():
        for weight in weights:
            weight.copy_(_rounded(weight, bits, layout))
    return copied


def quantization_sensitivity(
    classifier: TextClassifier, texts: Sequence[str], bits: int = 4, **layout: Any
) -> pd.DataFrame:
    """The mean change of a logit when one linear layer alone is quantised, each in turn.

    Args:
        layout: as in `quantize_weights`.

    Returns:
        layer, matrix, error: the mean |change| of the logits. For `plots.sensitivity`.

    Raises:
        BadInput: as `quantize_weights`, or no text.
    """
    if not len(texts):
        raise BadInput("there is no text", "give some; they need no labels")
    copied = copy.deepcopy(classifier)
    before, rows = copied.decision_logits(texts), []
    for (number, name), linear in linear_layers(copied).items():
        original = linear.weight.detach().clone()
        with torch.no_grad():
            linear.weight.copy_(_rounded(original, bits, layout))
            change = float(np.abs(copied.decision_logits(texts) - before).mean())
            linear.weight.copy_(original)
        rows.append({"layer": number, "matrix": name, "error": change})
    return pd.DataFrame(rows)


def _rounded(weight: Tensor, bits: int, layout: dict[str, Any]) -> Tensor:
    return fake_quantize(weight, fit_qparams(weight, bits, **(layout or {"axis": 0})))


# ---- int8 products ---------------------------------------------------------------------------------------------


class Int8Linear(nn.Linear):
    """A linear layer that multiplies int8 by int8 (`int8_linear`); its `weight` is the quantised one in float32.

    Args:
        linear: the layer that it replaces.
        qparams: of the inputs, calibrated; computed for each token when left out.
    """

    integers: Int8[Tensor, "out in"]
    scale: Float[Tensor, "out 1"]

    def __init__(self, linear: nn.Linear, qparams: QuantParams | None) -> None:
        super().__init__(linear.in_features, linear.out_features, linear.bias is not None, linear.weight.device)
        of_weight = fit_qparams(linear.weight, 8, axis=0)
        self.qparams = qparams
        self.register_buffer("integers", of_weight.quantize(linear.weight.detach()), persistent=False)
        self.register_buffer("scale", of_weight.scale, persistent=False)
        with torch.no_grad():
            self.weight.copy_(of_weight.dequantize(self.integers))
            if linear.bias is not None:
                self.bias.copy_(linear.bias)

    def forward(self, x: Float[Tensor, "*batch in"]) -> Float[Tensor, "*batch out"]:
        """x W^T + b, summed in int32."""
        return int8_linear(x, self.integers, self.scale, self.bias, self.qparams)


def quantize_dynamic(classifier: TextClassifier) -> TextClassifier:
    """A classifier whose linear layers multiply int8 by int8, with a scale computed for each token.

    When saved it is an ordinary float32 model of the quantised weights.

    Raises:
        BadInput: as `bert_encoder`.
    """
    return _with_int8_layers(classifier, {})


def quantize_static(classifier: TextClassifier, texts: Sequence[str]) -> TextClassifier:
    """As `quantize_dynamic`, but with one range for the inputs of each layer, calibrated beforehand on texts.

    (Krishnamoorthi 2018, arXiv:1806.08342, section 3.) It computes less per prediction, and outliers of one token
    make the quantisation steps of all others wide. The range is affine, since activations are seldom centred on 0.

    Args:
        texts: n > 0 texts of the kind that it will read, without labels.

    Raises:
        BadInput: as `bert_encoder`, or no text.
    """
    ranges: dict[Place, Tensor] = {}  # (2,), the smallest and the largest value so far

    def observe(place: Place, inputs: Tensor) -> None:
        values = check_finite(inputs, "activations").flatten()
        values = torch.cat([ranges[place], values]) if place in ranges else values
        ranges[place] = torch.stack([values.amin(), values.amax()])

    observe_inputs(classifier, texts, observe)
    found = {place: qparams_of_range(low, high, 8, symmetric=False) for place, (low, high) in ranges.items()}
    return _with_int8_layers(classifier, found)


def _with_int8_layers(classifier: TextClassifier, qparams: dict[Place, QuantParams]) -> TextClassifier:
    copied = copy.deepcopy(classifier)
    for number, layer in enumerate(bert_encoder(copied).encoder.layer):
        for name, path in LINEAR_LAYERS.items():
            layer.set_submodule(path, Int8Linear(layer.get_submodule(path), qparams.get((number, name))))
    return copied


def token_qparams(x: Float[Tensor, "*batch hidden"]) -> QuantParams:
    """8 bits and one scale for each token, from the token itself (dynamic; Yao et al. 2022, arXiv:2206.01861).

    Nothing is calibrated, and an outlier in one token does not make the steps of another wide.

    Returns:
        Parameters whose scales have shape (*batch, 1).

    Raises:
        BadInput: no value, values that are not finite, or a single number.
    """
    x = check_finite(x, "activations")
    return fit_qparams(x, 8, group_size=x.shape[-1] if x.ndim else 1)


def int8_linear(
    x: Float[Tensor, "*batch in"],
    weight_int8: Int8[Tensor, "out in"],
    weight_scale: Float[Tensor, "out 1"],
    bias: Float[Tensor, "out"] | None = None,
    qparams: QuantParams | None = None,
) -> Float[Tensor, "*batch out"]:
    """x W^T + b with the product in integers: int8 times int8, summed exactly in int32, scaled once at the end.

    Scales can be taken out of the sum as long as they are constant along `in`, so groups are not possible. Affine
    activations add zero_point * (sum of a weight row) to the sum, which is subtracted again (Jacob et al. 2018,
    arXiv:1712.05877, section 2.3).

    Args:
        x: activations.
        weight_int8: symmetric, with the scales `weight_scale`.
        weight_scale: of each row.
        bias: added at the end.
        qparams: of the activations, calibrated; one scale per token when left out.

    Returns:
        float32.

    Raises:
        BadInput: shapes that do not fit, a weight that is not int8, or activations that are not finite.
    """
    x = check_finite(x, "activations")
    if weight_int8.dtype != torch.int8 or not x.ndim or x.shape[-1] != weight_int8.shape[-1]:
        met = f"x has shape {tuple(x.shape)}, the weight is {weight_int8.dtype} of shape {tuple(weight_int8.shape)}"
        raise BadInput(met, "give an int8 matrix (out, in) and activations (..., in)")
    qparams = token_qparams(x) if qparams is None else qparams
    tokens = qparams.quantize(x)
    sums = int8_matmul(tokens.flatten(0, -2) if x.ndim > 1 else tokens[None], weight_int8)
    sums = sums.reshape(*x.shape[:-1], len(weight_int8))
    if not qparams.symmetric:
        sums = sums - qparams.zero_point * weight_int8.sum(1, dtype=torch.int32)
    output = sums.float() * qparams.scale * weight_scale.flatten()
    return output if bias is None else output + bias


def int8_matmul(a: Int8[Tensor, "m k"], b: Int8[Tensor, "n k"]) -> Int32[Tensor, "m n"]:
    """a b^T, exactly, by the fastest method of this device.

    A CPU that multiplies int8 (VNNI) and a CUDA GPU have instructions for it. Elsewhere slices of 1024 columns are
    multiplied in float32, whose 24 bits represent every partial sum exactly.

    Raises:
        BadInput: so many columns that a sum could overflow int32.
    """
    if a.shape[1] >= _MOST:
        raise BadInput(f"{a.shape[1]} products in a sum may overflow an int32", f"use fewer than {_MOST}")
    if a.is_cuda:
        # cuBLAS needs more than 16 rows, and multiples of 8: zeros do not change a sum.
        k, m, n = -a.shape[1] % 8, max(-len(a) % 8, 24 - len(a)), -len(b) % 8
        return torch._int_mm(F.pad(a, (0, k, 0, m)), F.pad(b, (0, k, 0, n)).T)[: len(a), : len(b)]
    if _has_vnni():
        return torch._int_mm(a, b.T)
    slices = zip(a.split(_EXACT, 1), b.split(_EXACT, 1), strict=True)
    return torch.stack([(x.float() @ y.float().T).to(torch.int32) for x, y in slices]).sum(0, dtype=torch.int32)


@lru_cache(maxsize=1)
def _has_vnni() -> bool:
    """Whether the CPU has AVX512-VNNI; without it `torch._int_mm` is a plain loop (an older torch may not tell)."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return bool(capabilities.get("avx512_vnni", False))
