"""FastAPI and `transformers.pipeline` as tutorials join them; runs in an environment of its own, see the README here.

PYTHON serving_fastapi.py TRANSFORMERS_FOLDER PORT

It answers `POST /predict` with `{"text": ...}`. FastAPI calls a synchronous endpoint in one of 40 threads; each
prediction uses one thread. Nothing of the course is imported here.
"""

import sys

import torch
import uvicorn
from fastapi import FastAPI
from pydantic import BaseModel
from transformers import pipeline

torch.set_num_threads(1)
app = FastAPI()
classifier = pipeline("text-classification", model=sys.argv[1])


class Item(BaseModel):
    """A request."""

    text: str


@app.post("/predict")
def predict(item: Item) -> dict[str, object]:
    """Label and score."""
    result: dict[str, object] = classifier(item.text)[0]
    return result


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[2]), log_level="error")
