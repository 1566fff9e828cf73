"""Reads and writes the weights file, which describes itself: configuration, feature layout, latent statistics, card.

The file has the safetensors layout. Parameters are float16, named by their path (`encoder.0.blocks.0.mlp_up`), those of
the prior below `prior`; statistics of the training set's latents are named `statistics.*`.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from .features import JOINT_INPUTS, JOINT_OUTPUTS, MODEL_FPS, ROOT_FEATURES
from .model import Level, ModelConfig, parameter_shapes
from .prior import PriorConfig, prior_shapes
from .skeleton import FACTS, RELATIONS
from .tensors import load_tensors, save_tensors

FORMAT = "motion-variations 1"
STATISTICS = "statistics."


@dataclass(frozen=True)
class Checkpoint:
    """What a weights file holds.

    Attributes:
        config: sizes of the model. parameters: nested dict of float32 arrays. statistics: see `training/export.py`.
        version: of the weights, as text. card: what they were made from and how, as text.
        prior: sizes of the prior, whose parameters are below `prior`; None where there is none.
        licences: of the data that they learnt from, see `training/card.py`.
    """

    config: ModelConfig
    parameters: dict
    statistics: dict[str, np.ndarray]
    version: str
    card: str
    prior: PriorConfig | None = None
    licences: list[dict] = field(default_factory=list)


def feature_layout() -> dict:
    """All that a weights file must agree on with this program."""
    return {
        "fps": MODEL_FPS,
        "joint_inputs": JOINT_INPUTS,
        "joint_outputs": JOINT_OUTPUTS,
        "root": ROOT_FEATURES,
        "facts": FACTS,
        "relations": list(RELATIONS),
    }


def flatten(tree: dict, prefix: str = "") -> dict:
    """A nested dict as one level, keys joined with dots."""
    flat = {}
    for name, value in tree.items():
        flat |= flatten(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def unflatten(flat: dict) -> dict:
    """The inverse of `flatten`."""
    tree = {}
    for path, value in flat.items():
        *above, name = path.split(".")
        branch = tree
        for step in above:
            branch = branch.setdefault(step, {})
        branch[name] = value
    return tree


def save_checkpoint(path: Path, checkpoint: Checkpoint):
    """Writes a weights file, parameters as float16, statistics as float32."""
    arrays = {name: np.asarray(array, np.float16) for name, array in flatten(checkpoint.parameters).items()}
    arrays |= {f"{STATISTICS}{name}": np.asarray(array, np.float32) for name, array in checkpoint.statistics.items()}
    metadata = {
        "format": FORMAT,
        "version": checkpoint.version,
        "config": json.dumps(asdict(checkpoint.config)),
        "features": json.dumps(feature_layout()),
        "card": checkpoint.card,
        "licences": json.dumps(checkpoint.licences),
    }
    if checkpoint.prior is not None:
        metadata["prior"] = json.dumps(asdict(checkpoint.prior))
    save_tensors(path, arrays, metadata)


def load_checkpoint(path: Path) -> Checkpoint:
    """Reads a weights file and checks it against this program.

    Raises:
        FileNotFoundError: there is none.
        ValueError: it is cut short, foreign, of another format, or lacks a parameter; the message says which.
    """
    arrays, metadata = load_tensors(path)
    if metadata.get("format") != FORMAT:
        raise ValueError(f"{Path(path).name} has the format '{metadata.get('format', 'none')}', expected '{FORMAT}'.")
    if json.loads(metadata["features"]) != feature_layout():
        raise ValueError(f"{Path(path).name} was made for other features than this version of the program reads.")
    config = json.loads(metadata["config"])
    config["levels"] = tuple(Level(**level) for level in config["levels"])
    config = ModelConfig(**config)
    prior = PriorConfig(**json.loads(metadata["prior"])) if "prior" in metadata else None
    parameters, statistics = {}, {}
    for name, array in arrays.items():
        if name.startswith(STATISTICS):
            statistics[name.removeprefix(STATISTICS)] = array
        else:
            parameters[name] = array.astype(np.float32)
    expected = parameter_shapes(config) | ({} if prior is None else {"prior": prior_shapes(prior, config)})
    expected = flatten(expected)
    for name, shape in expected.items():
        found = parameters[name].shape if name in parameters else "nothing"
        if found != shape:
            raise ValueError(f"{Path(path).name} has {found} for {name}, expected {shape}.")
    if foreign := set(parameters) - set(expected):
        raise ValueError(
            f"{Path(path).name} holds parameters that the model doesn't have: {', '.join(sorted(foreign)[:5])}."
        )
    return Checkpoint(
        config,
        unflatten(parameters),
        statistics,
        metadata["version"],
        metadata.get("card", ""),
        prior,
        json.loads(metadata.get("licences", "[]")),
    )
