"""Named settings of training runs; a preset changes a few fields of another."""

from dataclasses import dataclass, field, replace

from backend.model import Level, ModelConfig

from .augment import Augmentation


@dataclass(frozen=True)
class Settings:
    """What a run is made of; every field is kept in its checkpoint."""

    model: ModelConfig = field(default_factory=ModelConfig)
    augmentation: Augmentation = field(default_factory=Augmentation)
    minutes: float | None = 80.0  # of training; the rate holds, then falls to zero over the last `fall` of it
    steps: int | None = None  # the same in steps; then a run can be repeated to the bit
    fall: float = 0.5
    curve: str = "linear"  # how the rate falls: linear or cosine
    frames: int = 2304  # a part of a batch
    parts: int = 1  # a batch; a step's gradient is the mean over its parts, which processes share
    lengths: tuple[tuple[int, float], ...] = ((64, 0.85), (160, 0.12), (384, 0.03))  # frames of a window, its share
    start_windows: int = 2500  # from which the linear start takes its components
    matrix_rate: float = 0.01  # Muon, on the matrices of the trunk
    rate: float = 1e-3  # AdamW, on all else
    skeleton_rate: float = 5e-4  # AdamW, on the skeleton encoder and the adapters
    gain: float = 1.0  # of all three
    warmup: int = 100  # steps
    clip_norm: float = 2.0
    skip_norm: float = 200.0  # an update with a larger gradient is skipped
    average: float = 0.998  # decay of the averaged weights
    hide_latents: float = 0.2  # share of windows of which a run of chunk latents is hidden from the decoder
    hide_all: float = 0.25  # of these, the share of which all are
    hide_frames: float = 0.1  # share of windows of which a run of frames is hidden from the encoder
    causal: float = 0.1  # share of batches with the causal mask
    bf16: bool = False  # the model's products in bfloat16 (autocast); pays on GPUs
    compiled: bool = False  # torch.compile
    sharded: bool = False  # FSDP2 instead of DistributedDataParallel, for models that don't fit one device
    workers: int = 1  # processes that load batches, for each training process
    save_minutes: float = 10.0  # between checkpoints
    save_steps: int | None = None  # the same in steps, besides
    seed: int = 0


BASE = Settings()
TINY = replace(
    BASE,
    model=ModelConfig(
        width=48,
        heads=2,
        joint_width=32,
        joint_heads=2,
        joint_depth=1,
        levels=(Level(32, 1, 1, 32, coefficients=6), Level(None, 1, 1, 16)),
    ),
    minutes=1.0,
    frames=512,
    start_windows=400,
    lengths=((64, 1.0),),
)
LARGE = replace(
    BASE,
    model=ModelConfig(
        width=384, heads=8, joint_width=256, joint_depth=4, levels=(Level(32, 4, 6, 128), Level(None, 4, 4, 64))
    ),
    minutes=600.0,
    frames=32768,
)


def with_chunks(**changes) -> Settings:
    """BASE with another level of chunks."""
    chunks, clip = BASE.model.levels
    return replace(BASE, model=replace(BASE.model, levels=(replace(chunks, **changes), clip)))


PRESETS = {
    "tiny": TINY,
    "base": BASE,
    "large": LARGE,
    # BASE with one thing otherwise, for comparisons at equal time. Chunks half as long say as much a frame.
    "short_chunks": with_chunks(stride=16, latent=64, coefficients=6, lap=4),
    "small_latents": with_chunks(latent=64),
    "wide": replace(BASE, model=replace(BASE.model, width=224, heads=7)),
    "plain_motion": replace(BASE, augmentation=replace(BASE.augmentation, branches=0.0, turns=0.0)),
}
