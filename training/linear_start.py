"""A start for training: the linear way from frames to latents and back, set to the principal components of the tokens.

From random weights the model stays near the mean pose for hundreds of steps, because its linear way is a product of six
random matrices through a narrow latent. With frames embedded by the (random) adapters, the best linear code of a
chunk is
known: the principal components of the tokens' cosine coefficients. Training then begins near that code and improves
on it.
"""

import numpy as np
import torch

from backend.model import ModelConfig, cosine_basis, embed_frames, embed_skeleton

from .dataset import batch_features

SMALLEST = 1e-3  # of the largest deviation: components below it are not blown up to unit size


@torch.no_grad()
def linear_start(tree: dict, config: ModelConfig, batches, windows: int) -> None:
    """Sets summary, mean, latent and expand of the first level, in place.

    Args:
        tree: the model's parameters, tensors. batches: an iterator of batches, see `dataset.WindowBatches`.
        windows: from which the components are taken.
    """
    level = config.levels[0]
    width, basis = config.width, torch.from_numpy(cosine_basis(level.stride, level.coefficients).T).float()
    rows = []
    while sum(map(len, rows)) < windows:
        batch = next(batches)
        structure, joints, root, _ = batch_features(batch)
        adapters = embed_skeleton(tree, config, structure)
        tokens = embed_frames(tree, adapters, joints, root, structure["mask"])
        rows.append((basis @ tokens.reshape(-1, level.stride, width)).reshape(-1, level.coefficients * width))
    coefficients = torch.cat(rows)
    values, vectors = torch.linalg.eigh(coefficients.T @ coefficients / len(coefficients))
    deviations = values.clamp_min(0).sqrt()[-level.latent :].flip(0)
    vectors = vectors[:, -level.latent :].flip(1)
    scale = deviations.clamp_min(SMALLEST * deviations[0])
    encoder, decoder = tree["encoder"]["0"], tree["decoder"]["0"]
    for matrix in (encoder["summary"], encoder["mean"], decoder["latent"], decoder["expand"]):
        matrix.mul_(0.1)
    count = np.arange(level.latent)
    encoder["summary"][count] = (vectors / scale).T
    encoder["mean"][count, count] = 1.0
    decoder["latent"][count, count] = 1.0
    decoder["expand"][:, count] = vectors * scale
    shown = float((deviations**2).sum() / values.sum())
    print(f"linear start: {level.latent} components of {len(rows)} batches show {shown:.1%} of the tokens", flush=True)
