"""The model's layers in plain `torch.nn`, without what makes them this model: the measure of what a step must cost.

The same linear layers, norms and attention (`scaled_dot_product_attention`) on the same shapes; no features, masks,
rotary positions, draws or losses.
"""

import torch
import torch.nn.functional as F
from torch import nn

from backend.features import JOINT_INPUT_SIZE, JOINT_OUTPUT_SIZE
from backend.model import MLP_RATIO, ModelConfig
from backend.skeleton import FACTS_SIZE


class Block(nn.Module):
    """A transformer block over windows of `size` tokens, or over all where that is None."""

    def __init__(self, width: int, heads: int, size: int | None):
        super().__init__()
        self.heads, self.size = heads, size
        self.norms = nn.ModuleList(nn.RMSNorm(width) for _ in range(2))
        self.query_key_value, self.out = nn.Linear(width, 3 * width, False), nn.Linear(width, width, False)
        self.up, self.down = nn.Linear(width, MLP_RATIO * width, False), nn.Linear(MLP_RATIO * width, width, False)

    def forward(self, x):
        """`[B, N, D]` to the same."""
        batch, count, width = x.shape
        shape = (-1, self.size or count, 3, self.heads, width // self.heads)
        parts = self.query_key_value(self.norms[0](x)).reshape(shape)
        attended = F.scaled_dot_product_attention(*(parts[:, :, part].transpose(1, 2) for part in range(3)))
        x = x + self.out(attended.transpose(1, 2).reshape(batch, count, width))
        return x + self.down(F.relu(self.up(self.norms[1](x))).square())


class PlainLayers(nn.Module):
    """All layers of a model with two levels."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width, joint, (window, clip) = config.width, config.joint_width, config.levels
        self.config, self.window, self.clip = config, window, clip
        self.facts = nn.Linear(FACTS_SIZE, joint)
        self.joint_blocks = nn.ModuleList(Block(joint, config.joint_heads, None) for _ in range(config.joint_depth))
        self.adapters = nn.ModuleList(
            nn.Linear(joint, size * width, False) for size in (JOINT_INPUT_SIZE, JOINT_OUTPUT_SIZE)
        )
        self.down, self.up = (
            nn.ModuleList(
                nn.ModuleList(Block(width, config.heads, level.stride) for _ in range(getattr(level, depth)))
                for level in config.levels
            )
            for depth in ("encoder_depth", "decoder_depth")
        )
        self.summary = nn.Linear(window.coefficients * width, width, False)
        self.pool = nn.Linear(width, width, False)
        self.latents = nn.ModuleList(nn.Linear(width, 2 * level.latent) for level in config.levels)
        self.back = nn.ModuleList(nn.Linear(level.latent, width) for level in config.levels)
        self.expand = nn.Linear(width, window.coefficients * width, False)
        self.basis = nn.Parameter(torch.randn(window.coefficients, window.stride), requires_grad=False)

    def forward(self, facts, joints):
        """facts `[B, J, F]` and joints `[B, T, J * JOINT_INPUT_SIZE]` to `[B, T, J * JOINT_OUTPUT_SIZE]`."""
        batch, frames, width = len(facts), joints.shape[1], self.config.width
        embedded = self.facts(facts).sin()
        for block in self.joint_blocks:
            embedded = block(embedded)
        inputs, outputs = (adapter(embedded).reshape(batch, -1, width) for adapter in self.adapters)
        x = joints @ inputs
        for block in self.down[0]:
            x = block(x)
        windows = x.reshape(-1, self.window.stride, width)
        tokens = self.summary((self.basis @ windows).flatten(1)) + self.pool(windows).mean(dim=1)
        tokens = tokens.reshape(batch, -1, width)
        tokens = torch.cat((tokens[:, :1], tokens), dim=1)
        for block in self.down[1]:
            tokens = block(tokens)
        chunk = self.back[0](self.latents[0](tokens[:, 1:])[..., : self.window.latent])
        whole = self.back[1](self.latents[1](tokens[:, :1])[..., : self.clip.latent])
        tokens = torch.cat((whole, chunk), dim=1)
        for block in self.up[1]:
            tokens = block(tokens)
        x = self.expand(tokens[:, 1:]).reshape(-1, self.window.coefficients, width)
        x = (self.basis.T @ x).reshape(batch, frames, width)
        for block in self.up[0]:
            x = block(x)
        return x @ outputs.transpose(1, 2)
