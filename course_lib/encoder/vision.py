"""A vision transformer: an image is cut into patches, and each patch is a token of the encoder."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.encoder.config import EncoderConfig
from course_lib.encoder.model import BertEncoder
from course_lib.errors import BadInput


def patchify(images: Float[Tensor, "batch height width"], size: int) -> Float[Tensor, "batch patches pixels"]:
    """The square patches of each image, row by row; the pixels of a patch row by row as well.

    Raises:
        BadInput: another shape, or sides that are no multiple of the patch size.
    """
    shape = tuple(images.shape)
    if images.ndim != 3 or not isinstance(size, int) or size < 1 or shape[1] % size or shape[2] % size:
        raise BadInput(f"images of the shape {shape} and patches of {size}", "use a size that divides both sides")
    rows, columns = shape[1] // size, shape[2] // size
    grid = images.reshape(-1, rows, size, columns, size).permute(0, 1, 3, 2, 4)  # the two axes of the grid first
    return grid.reshape(-1, rows * columns, size * size)


def unpatchify(patches: Float[Tensor, "batch patches pixels"], columns: int) -> Float[Tensor, "batch height width"]:
    """The images whose `patchify` gives these patches, `columns` beside each other.

    Raises:
        BadInput: patches that are not square, or whose number is no multiple of the columns.
    """
    shape = tuple(patches.shape)
    if len(shape) != 3 or columns < 1 or shape[1] % columns or round(shape[2] ** 0.5) ** 2 != shape[2]:
        raise BadInput(
            f"patches of the shape {shape} in {columns} columns", "give what patchify returns, and its columns"
        )
    size, rows = round(patches.shape[2] ** 0.5), patches.shape[1] // columns
    grid = patches.reshape(-1, rows, columns, size, size).permute(0, 1, 3, 2, 4)
    return grid.reshape(-1, rows * size, columns * size)


class VisionTransformer(nn.Module):
    """ViT (Dosovitskiy et al. 2021, arXiv:2010.11929): a linear map of patches, a class token, BERT's layers.

    Args:
        image_size: height and width in pixels.
        patch_size: of a patch, a divisor of the image's size.
        classes: number of logits.
        config: of the encoder; `max_positions` must be the number of patches + 1. ViT has `norm="pre"`.
        positions: False sets all position embeddings to 0 and keeps them there.

    Raises:
        BadInput: positions that are not the patches and the class token.
    """

    def __init__(
        self, image_size: int, patch_size: int, classes: int, config: EncoderConfig, positions: bool = True
    ) -> None:
        super().__init__()
        patches = (image_size // max(patch_size, 1)) ** 2
        if patch_size < 1 or image_size % patch_size or config.max_positions != patches + 1:
            raise BadInput(
                f"{config.max_positions} positions for images of {image_size} in patches of {patch_size}",
                f"use a patch size that divides {image_size}, and max_positions={patches + 1}",
            )
        self.patch_size = patch_size
        self.patch_embedding = nn.Linear(patch_size**2, config.hidden_size)
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.hidden_size))
        self.encoder = BertEncoder(config)
        self.head = nn.Linear(config.hidden_size, classes)
        if not positions:
            nn.init.zeros_(self.encoder.embeddings.positions.requires_grad_(False).weight)

    def forward(self, images: Float[Tensor, "batch height width"]) -> Float[Tensor, "batch classes"]:
        """The logits, from the last state of the class token."""
        patches = self.patch_embedding(patchify(images, self.patch_size))
        tokens = torch.cat([self.class_token.expand(len(images), -1, -1), patches], 1)
        logits: Tensor = self.head(self.encoder(inputs_embeds=tokens, cls_only=True)[:, 0])
        return logits
