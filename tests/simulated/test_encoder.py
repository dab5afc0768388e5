"""The encoder by hand on an accelerator: padded, packed and with its attention maps, as on a CPU."""

from __future__ import annotations

import simulated_accelerator as accelerator
import torch

from course_lib.batching import collate
from course_lib.encoder import BertEncoder, EncoderConfig, packing

CONFIG = EncoderConfig(vocab_size=50, hidden_size=32, n_layers=2, n_heads=4, intermediate_size=48, max_positions=20)
ROWS = [[1, 2, 3, 4], [5, 6], [7, 8, 9, 10, 11, 12]]
SIM = torch.device(accelerator.NAME)


def test_all_layouts_as_on_a_cpu() -> None:
    torch.manual_seed(0)
    encoder, batch = BertEncoder(CONFIG).eval(), collate(ROWS, range(3))
    joined, lengths = torch.tensor([token for row in ROWS for token in row]), [len(row) for row in ROWS]

    def outputs(where: torch.device) -> list[torch.Tensor]:
        encoder.to(where)
        ids, mask, _ = (tensor.to(where) for tensor in (batch.input_ids, batch.attention_mask, batch.index))
        with torch.inference_mode():
            states = [
                encoder(ids, mask), encoder(ids, mask, cls_only=True), encoder(ids, mask, by_hand=True),
                encoder.forward_packed(joined.to(where), packing(lengths, where)),
                encoder.forward_packed(joined.to(where), lengths, by_hand=True), encoder.attention_maps(ids, mask),
            ]  # fmt: skip
        return [state.cpu() for state in states]

    for wanted, found in zip(outputs(torch.device("cpu")), outputs(SIM), strict=True):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-5)


def test_a_forward_pass_does_not_wait() -> None:
    encoder, batch = BertEncoder(CONFIG).to(SIM).eval(), collate(ROWS, range(3)).to(SIM)
    with accelerator.counted() as counts, torch.inference_mode():
        encoder(batch.input_ids, batch.attention_mask)
    assert not counts, accelerator.places
