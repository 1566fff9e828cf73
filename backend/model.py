"""The hierarchical transformer VAE, written once for both engines as functions of (parameters, config, arrays).

A clip of frames is embedded with matrices that a small transformer over the joints makes from the skeleton, so that any
skeleton fits. Each level attends inside windows (every second block shifted by half a window), then summarises each
window into one token; the last level attends over all tokens and one clip token. Every level has a latent. The
decoder mirrors this from the top down. Suffixes give the axes, see the key in `backend/__init__.py`; E is the width
of joint embeddings, S the frames of a window, C the coefficients of the cosine basis.
"""

from dataclasses import dataclass, field

import numpy as np

from .engines import engine_of
from .features import IDENTITY_SIXD, JOINT_INPUT_SIZE, JOINT_INPUTS, JOINT_OUTPUT_SIZE, ROOT_SIZE, columns
from .skeleton import FACTS, FACTS_SIZE, RELATIONS

MLP_RATIO = 4
QUERY_BLOCK = 128  # chunks attended from at once, so that memory stays linear in the clip's length
HIDDEN_SCORE = -1e9  # added to the scores of what must not be seen
# The adapter matrices come out of a linear layer whose output is scaled down and whose weights start scaled up by the
# inverse: the matrices start at the same size and move slowly.
ADAPTER_SCALE = 0.04
FACTS_FREQUENCY = 4.0  # radians a height: joints a tenth of the height apart are alike, half of it unlike
FACTS_GAIN = 2**0.5
TIED_GAIN = 0.5  # of the way back along the directions that are read, when training starts
INPUT_GAIN = 5.0  # a joint's turns and shifts from the reference pose are about 0.2
LOG_VARIANCE_RANGE = (-10.0, 4.0)


@dataclass(frozen=True)
class Level:
    """One level of the hierarchy.

    Attributes:
        stride: frames (or tokens of the level below) a window; None for the last level, which spans the clip.
        encoder_depth, decoder_depth: transformer blocks each way.
        latent: size of this level's latent (one a window; for the last level one a clip).
        coefficients: cosine coefficients that summarise and expand a window.
        reach: for the last level, how many tokens to each side a token attends to.
        lap: frames over which a window's expansion runs on into the next one and is faded into it.
    """

    stride: int | None
    encoder_depth: int
    decoder_depth: int
    latent: int
    coefficients: int = 12
    reach: int = 8
    lap: int = 0


@dataclass(frozen=True)
class ModelConfig:
    """Sizes of the model. Frames come in multiples of `chunk`."""

    width: int = 160
    heads: int = 5
    joint_width: int = 128
    joint_heads: int = 4
    joint_depth: int = 2
    levels: tuple[Level, ...] = field(
        default=(
            Level(stride=32, encoder_depth=1, decoder_depth=2, latent=128, lap=8),
            Level(stride=None, encoder_depth=1, decoder_depth=2, latent=64),
        )
    )

    @property
    def chunk(self) -> int:
        """Frames under one token of the last level."""
        return int(np.prod([level.stride for level in self.levels[:-1]]))

    @property
    def encoder_blocks(self) -> int:
        """Transformer blocks of all levels on the way up; `decoder_blocks`: on the way down."""
        return sum(level.encoder_depth for level in self.levels)

    @property
    def decoder_blocks(self) -> int:
        """See `encoder_blocks`."""
        return sum(level.decoder_depth for level in self.levels)


def block_shapes(width: int) -> dict:
    """Parameter shapes of one transformer block."""
    return {
        "attention_norm": (width,),
        "query_key_value": (3 * width, width),
        "attention_out": (width, width),
        "mlp_norm": (width,),
        "mlp_up": (MLP_RATIO * width, width),
        "mlp_down": (width, MLP_RATIO * width),
    }


def blocks_shapes(depth: int, width: int) -> dict:
    """Parameter shapes of a stack of blocks."""
    return {str(index): block_shapes(width) for index in range(depth)}


def parameter_shapes(config: ModelConfig) -> dict:
    """Every parameter of the model, as a nested dict of shapes."""
    width, joint = config.width, config.joint_width
    shapes = {
        "skeleton": {
            "facts": (joint, FACTS_SIZE),
            "facts_bias": (joint,),
            "relations": (len(RELATIONS), config.joint_heads),
            "blocks": blocks_shapes(config.joint_depth, joint),
            "norm": (joint,),
            "input_adapter": (JOINT_INPUT_SIZE * width, joint),
            "output_adapter": (JOINT_OUTPUT_SIZE * width, joint),
            "output_bias": (JOINT_OUTPUT_SIZE, joint),
            "token": (width, joint),
        },
        "root_in": (width, ROOT_SIZE),
        "frame_bias": (width,),
        "hidden_frame": (width,),
        "clip_token": (width,),
        "encoder": {},
        "decoder": {},
        "root_out": (ROOT_SIZE, width),
        "root_out_bias": (ROOT_SIZE,),
    }
    for index, level in enumerate(config.levels):
        encoder = {
            "blocks": blocks_shapes(level.encoder_depth, width),
            "norm": (width,),
            "mean": (level.latent, width),
            "log_variance": (level.latent, width),
            "log_variance_bias": (level.latent,),
        }
        decoder = {
            "latent": (width, level.latent),
            "latent_bias": (width,),
            "blocks": blocks_shapes(level.decoder_depth, width),
        }
        if level.stride is not None:
            encoder |= {
                "pool_query": (config.heads, width),
                "pool_value": (width, width),
                "summary": (width, level.coefficients * width),
            }
            decoder |= {
                "expand": (level.coefficients * width, width),
            }
        if index == 0:
            decoder["hidden_latent"] = (width,)
        shapes["encoder"][str(index)] = encoder
        shapes["decoder"][str(index)] = decoder
    return shapes


def initial_parameters(config: ModelConfig, seed: int) -> dict:
    """Random parameters to start training from: a nested dict of float32 numpy arrays."""
    rng = np.random.default_rng(seed)

    def start(name, shape):
        if name.endswith("norm"):
            return np.ones(shape, np.float32)
        if name == "log_variance_bias":
            return np.full(shape, -5.0, np.float32)
        if name == "facts":
            return (FACTS_FREQUENCY * rng.standard_normal(shape)).astype(np.float32)
        if name == "facts_bias":
            return rng.uniform(-np.pi, np.pi, shape).astype(np.float32)
        if name.endswith("bias") or name in ("attention_out", "mlp_down", "log_variance", "relations"):
            return np.zeros(shape, np.float32)
        scale = {
            # the sum over joints is divided by the root of their number
            "input_adapter": 1.0 / (ADAPTER_SCALE * np.sqrt(JOINT_INPUT_SIZE * shape[-1])),
            "output_adapter": 0.05 / (ADAPTER_SCALE * np.sqrt(config.width * shape[-1])),
            "output_bias": 0.001,
            "root_out": 0.02,
            "hidden_frame": 0.5,
            "hidden_latent": 0.5,
            "clip_token": 0.5,
            "root_in": 0.5,
        }.get(name, shape[-1] ** -0.5)
        return (scale * rng.standard_normal(shape)).astype(np.float32)

    def walk(shapes):
        return {name: walk(shape) if isinstance(shape, dict) else start(name, shape) for name, shape in shapes.items()}

    return walk(parameter_shapes(config))


def rotary_angles(count: int, key_width: int, start: float = 0.0) -> np.ndarray:
    """Angles of rotary positions (Su et al., RoFormer, 2021), `[count, K/2]`."""
    frequencies = 1.0 / 200.0 ** (np.arange(key_width // 2) / (key_width // 2))
    return (np.arange(count) + start)[:, None] * frequencies


def cosine_basis(size: int, coefficients: int, rows: int | None = None) -> np.ndarray:
    """The first orthonormal cosines over a window of `size` (DCT-II), `[S, C]`, or run on for `rows`."""
    k, t = np.arange(coefficients)[None], np.arange(rows or size)[:, None]
    basis = np.cos(np.pi * k * (t + 0.5) / size) * np.sqrt(2.0 / size)
    basis[:, 0] /= np.sqrt(2.0)
    return basis


def split_heads(x_BND, heads: int):
    """`[B, N, 3D]` to three of `[B, N, H, K]`."""
    batch, count, width = x_BND.shape
    key = width // (3 * heads)
    return engine_of(x_BND).unbind(x_BND.reshape(batch, count, 3, heads, key), 2)


def attend(query, key, value, bias=None):
    """Attention over `[B, N, H, K]`, heads in the third place; bias broadcasts to `[B, H, N, N]`."""
    xp = engine_of(query)
    swap = [x.swapaxes(1, 2) for x in (query, key, value)]
    return xp.attention(*swap, bias).swapaxes(1, 2)


def window_attention(query, key, value, size: int, shifted: bool, causal: bool):
    """Attention inside windows of `size` tokens over `[B, N, H, K]`; shifted windows leave half windows at both ends.

    With `causal`, the later half of a shifted window, which is the next chunk, is hidden from the earlier one.
    """
    batch, count = query.shape[:2]
    xp = engine_of(query)

    def windows(start, stop, length, bias=None):
        parts = [x[:, start:stop].reshape(-1, length, *x.shape[2:]) for x in (query, key, value)]
        return attend(*parts, bias).reshape(batch, stop - start, *query.shape[2:])

    if not shifted:
        return windows(0, count, size)
    half = size // 2
    parts = [windows(0, half, half)]
    if count > size:
        bias = None
        if causal:
            earlier = np.arange(size) < half
            bias = xp.asarray(np.where(earlier[:, None] & ~earlier[None, :], HIDDEN_SCORE, 0.0), query)
        parts.append(windows(half, count - half, size, bias))
    parts.append(windows(count - half, count, half))
    return xp.concat(parts, 1)


def banded_attention(query, key, value, reach: int, causal: bool):
    """Attention of a clip token (row 0) to everything, and of every other token to row 0 and its neighbours.

    Neighbours are at most `reach` tokens away, so that cost and memory are linear and long clips ask for no positions
    that training never saw. With `causal` a token sees neither later ones nor row 0, which has seen them.
    """
    xp = engine_of(query)
    count = query.shape[1] - 1
    outputs = [attend(query[:, :1], key, value)]
    for start in range(0, count, QUERY_BLOCK):
        stop = min(start + QUERY_BLOCK, count)
        low, high = max(start - reach, 0), min(stop + reach, count)
        keys = xp.concat((key[:, :1], key[:, 1 + low : 1 + high]), 1)
        values = xp.concat((value[:, :1], value[:, 1 + low : 1 + high]), 1)
        distance = np.arange(start, stop)[:, None] - np.arange(low, high)[None]
        hidden = np.abs(distance) > reach
        if causal:
            hidden |= distance < 0
        hidden = np.concatenate((np.full((stop - start, 1), causal), hidden), axis=1)
        bias = xp.asarray(np.where(hidden, HIDDEN_SCORE, 0.0), query) if hidden.any() else None
        outputs.append(attend(query[:, 1 + start : 1 + stop], keys, values, bias))
    return xp.concat(outputs, 1)


def transformer_block(x_BND, parameters, heads: int, core):
    """Pre-norm attention and a squared-ReLU MLP; `core(query, key, value)` does the attention itself."""
    xp = engine_of(x_BND)
    y = xp.linear(xp.rms_norm(x_BND, parameters["attention_norm"]), parameters["query_key_value"])
    y = core(*split_heads(y, heads))
    x_BND = x_BND + xp.linear(y.reshape(x_BND.shape), parameters["attention_out"])
    y = xp.linear(xp.rms_norm(x_BND, parameters["mlp_norm"]), parameters["mlp_up"])
    return x_BND + xp.linear(xp.relu_squared(y), parameters["mlp_down"])


def level_blocks(x_BND, parameters, config: ModelConfig, level: Level, causal: bool, tick=None):
    """The blocks of one level, over windows or, at the last level, over row 0 and its band."""
    xp = engine_of(x_BND)
    key_width = config.width // config.heads
    count = x_BND.shape[1]
    for index, block in parameters.items():
        shifted = level.stride is not None and int(index) % 2 == 1
        if level.stride is None:
            angles = rotary_angles(count, key_width)
        else:
            angles = np.roll(
                np.tile(rotary_angles(level.stride, key_width), (count // level.stride, 1)),
                level.stride // 2 if shifted else 0,
                axis=0,
            )
        cosine, sine = xp.asarray(np.cos(angles)[:, None], x_BND), xp.asarray(np.sin(angles)[:, None], x_BND)

        def core(query, key, value, shifted=shifted, cosine=cosine, sine=sine):
            query, key = xp.rotary(query, cosine, sine), xp.rotary(key, cosine, sine)
            if level.stride is None:
                return banded_attention(query, key, value, level.reach, causal)
            return window_attention(query, key, value, level.stride, shifted, causal)

        x_BND = transformer_block(x_BND, block, config.heads, core)
        if tick is not None:
            tick()
    return x_BND


def embed_skeleton(parameters, config: ModelConfig, structure) -> dict:
    """Reads the skeleton: adapter matrices and a token, once a clip.

    Args:
        structure: `features.structure_arrays` with a batch axis: facts `[B, J, F]`, relations `[B, J, J]`, mask
            `[B, J]`.

    Returns:
        reference `[B, J, JOINT_INPUT_SIZE]`, the joints' inputs in the reference pose; input `[B, J *
        JOINT_INPUT_SIZE, D]`; output `[B, D, J * JOINT_OUTPUT_SIZE]`; bias `[B, J * JOINT_OUTPUT_SIZE]`; token `[B,
        D]`.
    """
    part = parameters["skeleton"]
    facts, mask = structure["facts"], structure["mask"]
    xp = engine_of(facts)
    batch, joints = mask.shape
    # Random Fourier features (Rahimi & Recht, 2007): near joints get alike embeddings, far ones orthogonal ones.
    x = FACTS_GAIN * xp.sin(xp.linear(facts, part["facts"], part["facts_bias"]))
    bias = part["relations"][structure["relations"]].swapaxes(-1, -2).swapaxes(-2, -3)  # [B, H, J, J]
    bias = bias + HIDDEN_SCORE * (1 - mask)[:, None, None, :]

    def core(query, key, value):
        return attend(query, key, value, bias)

    for block in part["blocks"].values():
        x = transformer_block(x, block, config.joint_heads, core)
    x = xp.rms_norm(x, part["norm"])
    count = mask.sum(axis=-1)[:, None, None]
    inputs = ADAPTER_SCALE * xp.linear(x, part["input_adapter"]).reshape(batch, joints * JOINT_INPUT_SIZE, config.width)
    outputs = ADAPTER_SCALE * xp.linear(x, part["output_adapter"]).reshape(
        batch, joints * JOINT_OUTPUT_SIZE, config.width
    )
    # What is read of a joint along a direction is written along the same: a new skeleton starts with a working pair.
    own = inputs.reshape(batch, joints, JOINT_INPUT_SIZE, config.width)
    own = xp.concat((own[:, :, columns(JOINT_INPUTS, "rotation")], own[:, :, columns(JOINT_INPUTS, "slide")]), 2)
    tied = TIED_GAIN * JOINT_INPUT_SIZE / (config.width * INPUT_GAIN)
    outputs = outputs + tied * own.reshape(batch, joints * JOINT_OUTPUT_SIZE, config.width)
    pooled = (x * mask[..., None]).sum(axis=1) / count[:, 0]
    identity = xp.asarray(IDENTITY_SIXD, facts) + 0 * facts[..., :1]
    position = facts[..., columns(FACTS, "position")]
    return {
        "reference": xp.concat((identity, position, 0 * position), -1),
        "input": inputs / count**0.5,
        "output": outputs.swapaxes(1, 2),
        "bias": xp.linear(x, part["output_bias"]).reshape(batch, joints * JOINT_OUTPUT_SIZE),
        "token": xp.linear(pooled, part["token"]),
    }


def embed_frames(parameters, adapters, joints_BTJF, root_BTF, mask_BJ, hidden_BT=None):
    """Frames to tokens `[B, T, D]`; hidden frames become one learned token, so that nothing of them passes."""
    xp = engine_of(joints_BTJF)
    batch, frames, joints = joints_BTJF.shape[:3]
    # Centred on the reference pose and scaled to about unit size: a constant pose would drown the motion in the norms.
    x = (joints_BTJF - adapters["reference"][:, None]) * (INPUT_GAIN * mask_BJ[:, None, :, None])
    x = x.reshape(batch, frames, joints * JOINT_INPUT_SIZE) @ adapters["input"]
    x = x + xp.linear(root_BTF, parameters["root_in"], parameters["frame_bias"]) + adapters["token"][:, None]
    if hidden_BT is not None:
        hidden = hidden_BT[..., None]
        x = x * (1 - hidden) + (parameters["hidden_frame"] + adapters["token"][:, None]) * hidden
    return x


def summarise(x_BND, parameters, config: ModelConfig, level: Level):
    """One token a window: cosine coefficients over time, projected, plus attention pooling. `[B, N/S, D]`.

    The coefficients are not normalised: a linear way leads from the frames through the latents and back, and the blocks
    add to it. With norms in that way training stays near the mean pose for hundreds of steps.
    """
    xp = engine_of(x_BND)
    batch, count, width = x_BND.shape
    windows = x_BND.reshape(-1, level.stride, width)
    normal = xp.rms_norm(windows, parameters["norm"])
    basis = xp.asarray(cosine_basis(level.stride, level.coefficients).T, x_BND)
    summary = xp.linear((basis @ windows).reshape(-1, level.coefficients * width), parameters["summary"])
    scores = xp.linear(normal, parameters["pool_query"]).swapaxes(1, 2) * width**-0.5  # [B N, H, S]
    values = xp.linear(normal, parameters["pool_value"]).reshape(-1, level.stride, config.heads, width // config.heads)
    pooled = (xp.softmax(scores)[:, :, None] @ values.swapaxes(1, 2)).reshape(-1, width)
    return (summary + pooled).reshape(batch, count // level.stride, width)


def expand(x_BND, parameters, level: Level):
    """A window of tokens from each token, through the cosine basis. `[B, N, D]` to `[B, N S, D]`.

    Every window runs on for `lap` tokens, in which the next one is faded in, so that there are no steps where windows
    meet. Nothing runs backwards: a later window can't influence an earlier one.
    """
    xp = engine_of(x_BND)
    batch, count, width = x_BND.shape
    basis = xp.asarray(cosine_basis(level.stride, level.coefficients, level.stride + level.lap), x_BND)
    y = xp.linear(x_BND, parameters["expand"]).reshape(batch, count, level.coefficients, width)
    y = basis @ y  # [B, N, S + lap, D]
    windows = y[:, :, : level.stride]
    if level.lap and count > 1:
        fade = 0.5 - 0.5 * np.cos(np.pi * (np.arange(level.lap) + 0.5) / level.lap)
        fade = xp.asarray(fade[:, None], x_BND)
        start = y[:, 1:, : level.lap] * fade + y[:, :-1, level.stride :] * (1 - fade)
        start = xp.concat((y[:, :1, : level.lap], start), 1)
        windows = xp.concat((start, y[:, :, level.lap : level.stride]), 2)
    return windows.reshape(batch, count * level.stride, width)


def posterior(x, parameters):
    """Mean and log variance of a latent from its token."""
    xp = engine_of(x)
    mean = xp.linear(x, parameters["mean"])
    log_variance = xp.linear(x, parameters["log_variance"], parameters["log_variance_bias"])
    return mean, log_variance.clip(*LOG_VARIANCE_RANGE)


def encode(
    parameters, config: ModelConfig, adapters, joints_BTJF, root_BTF, mask_BJ, hidden_BT=None, causal=False, tick=None
):
    """Frames to the latents of every level.

    Args:
        adapters: from `embed_skeleton`. joints, root: from `features.motion_features`; T a multiple of `config.chunk`.
        hidden_BT: 1 where a frame is hidden from the encoder. causal: later chunks can't influence earlier codes.
        tick: called after each block (progress, cancel).

    Returns:
        A tuple over the levels of (mean, log variance): `[B, N, Z]` for levels with windows, `[B, Z]` for the last.
    """
    xp = engine_of(joints_BTJF)
    x = embed_frames(parameters, adapters, joints_BTJF, root_BTF, mask_BJ, hidden_BT)
    latents = []
    for index, level in enumerate(config.levels):
        part = parameters["encoder"][str(index)]
        if level.stride is None:
            clip = (parameters["clip_token"] + adapters["token"])[:, None]
            x = level_blocks(xp.concat((clip, x), 1), part["blocks"], config, level, causal, tick)
            x, clip = x[:, 1:], xp.rms_norm(x[:, 0], part["norm"])
        else:
            x = level_blocks(x, part["blocks"], config, level, causal, tick)
        if index > 0:
            below = parameters["encoder"][str(index - 1)]
            latents.append(posterior(x, below))
        if level.stride is None:
            latents.append(posterior(clip, part))
        else:
            x = summarise(x, part, config, level)
    return tuple(latents)


def decode(parameters, config: ModelConfig, adapters, latents, hidden_BN=None, causal=False, tick=None):
    """Latents to the decoder's outputs.

    Args:
        latents: a tuple over the levels, `[B, N, Z]` each and `[B, Z]` for the last.
        hidden_BN: 1 where a latent of the first level is hidden, so that what the levels above know must stand in.

    Returns:
        joints `[B, T, J, JOINT_OUTPUT_SIZE]` (see `features.pose_from_outputs`), root `[B, T, ROOT_SIZE]`.
    """
    xp = engine_of(latents[0])
    last = len(config.levels) - 1
    part = parameters["decoder"][str(last)]
    clip = xp.linear(latents[last], part["latent"], part["latent_bias"]) + adapters["token"]
    x = clip[:, None]
    for index in range(last, -1, -1):
        level = config.levels[index]
        if index < last:
            x = expand(x, parameters["decoder"][str(index)], level)
        if index > 0:
            below = parameters["decoder"][str(index - 1)]
            tokens = xp.linear(latents[index - 1], below["latent"], below["latent_bias"])
            if hidden_BN is not None and index == 1:
                hidden = hidden_BN[..., None]
                tokens = tokens * (1 - hidden) + below["hidden_latent"] * hidden
            x = x + tokens
        blocks = parameters["decoder"][str(index)]["blocks"]
        if level.stride is None:
            x = level_blocks(xp.concat((clip[:, None], x), 1), blocks, config, level, causal, tick)[:, 1:]
        else:
            x = level_blocks(x, blocks, config, level, causal, tick)
    batch, frames = x.shape[:2]
    joints = (x @ adapters["output"] + adapters["bias"][:, None]).reshape(batch, frames, -1, JOINT_OUTPUT_SIZE)
    return joints, xp.linear(x, parameters["root_out"], parameters["root_out_bias"])
