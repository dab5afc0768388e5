"""LitServe with the ONNX model of the course, its batching on; runs in an environment of its own, see the README here.

PYTHON serving_litserve.py EXPORT_FOLDER PORT

It answers `POST /predict` with `{"text": ...}`; up to 8 requests wait at most 10 ms for each other. The model runs on
one thread. Nothing of the course is imported here.
"""

import json
import sys
from pathlib import Path
from typing import Any

import litserve
import numpy as np
import onnxruntime
from tokenizers import Tokenizer


class Classifier(litserve.LitAPI):
    """The four steps that LitServe calls."""

    def setup(self, device: str) -> None:
        """Loads the model, in the worker."""
        folder = Path(sys.argv[1])
        note = json.loads((folder / "classes.json").read_text(encoding="utf-8"))
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(str(folder / "model.onnx"), options)
        self.tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        self.tokenizer.enable_truncation(note["max_length"])
        self.tokenizer.enable_padding(pad_id=note["pad_id"])

    def decode_request(self, request: dict[str, str]) -> str:
        """The text of one request."""
        return request["text"]

    def predict(self, texts: list[str]) -> Any:
        """Logits of a batch."""
        rows = self.tokenizer.encode_batch(list(texts))
        ids, mask = [row.ids for row in rows], [row.attention_mask for row in rows]
        feed = {"input_ids": np.array(ids, np.int64), "attention_mask": np.array(mask, np.int64)}
        return self.session.run(["logits"], feed)[0]

    def encode_response(self, logits: Any) -> dict[str, int]:
        """The response to one request."""
        return {"label": int(logits.argmax())}


if __name__ == "__main__":
    server = litserve.LitServer(Classifier(max_batch_size=8, batch_timeout=0.01), accelerator="cpu")
    server.run(host="127.0.0.1", port=int(sys.argv[2]), generate_client_file=False, log_level="error")
