"""What a user can ask of the backend: encode a motion, see its reconstruction, resample it, adapt to its character.

A request carries its motion; nothing needs to have been asked before. The last few encodings are kept by the digest of
what was sent, so that resampling after encoding doesn't encode again, and a new process simply does.
"""

import contextlib
import dataclasses
import hashlib
import math
import os
import platform
import sys
import time
import traceback
from collections import OrderedDict
from pathlib import Path

import numpy as np

from . import variation
from .adapt import Effort, adapt
from .adaptation import Found
from .change import change_to_arrays
from .characters import Characters, describe, encode_better, numbered_arrays, positive
from .encoding import load_model, reconstruction_change, reconstruction_figures
from .engines import load_engine
from .errors import EngineError, UserError
from .loops import loop_gaps_deg
from .motion import arrays_to_motion
from .process import memory_mb
from .protocol import VERSION, Message

KEPT_ENCODINGS = 4
KEPT_POSES = 2_000_000  # frames times joints of all that are kept; each takes about 150 bytes
MAX_VARIATIONS = 64  # of one request
ENCODE_SHARE = 0.3  # of the progress bar, where a resampling has to encode first
SHIPPED_CHECKPOINT = Path(__file__).parent / "checkpoints" / "motion_variations.safetensors"
MIN_FRAMES = 2
RECONSTRUCTION_FIGURES = ("joint_mm", "joint_heights", "rotation_world_deg", "rotation_local_deg")
NO_MEMORY = "There isn't enough memory for this motion. Close other programs or choose a shorter range."
MOTION_ARRAYS = ("parents", "rest", "fps", "root_positions", "rotations", "positions")


class Jobs:
    """The model, the encodings that are kept, and one method for every request.

    Args:
        engine: "numpy" or "torch". device: what the engine's `choose_device` takes; "auto" for the best.
        checkpoint: a path; None for the one that ships.
        characters: the folder of what was learnt of characters, or None.
    """

    REQUESTS = ("encode", "reconstruct", "resample", "adapt")

    def __init__(self, engine: str = "numpy", device: str = "auto", checkpoint=None, characters=None):
        self.engine, self.device = engine, device
        self.checkpoint = Path(checkpoint or SHIPPED_CHECKPOINT)
        self.characters = Characters(characters)
        self._characters_seen = self.characters.state()
        self._model = None
        self._problem = None  # why there is no model, as a sentence
        self._notice = None  # what the user should know of how it runs
        self._encodings = OrderedDict()  # digest -> Encoding, the last used at the end
        self._models = {}  # digest -> the model that made it

    def prepare(self) -> None:
        """Load the model now, so that no job has to; a failure is kept for `status` and tried again by the next job."""
        try:
            self.model()
        except UserError as error:
            print(error, file=sys.stderr)
        except Exception as error:
            traceback.print_exc()
            self._problem = f"The model can't be loaded ({type(error).__name__}: {error}). The log has the details."

    def model(self):
        """The model, loaded once.

        Raises:
            UserError: no checkpoint, or a broken one. EngineError: an engine that this Python lacks, or can't use.
        """
        if self._model is None:
            try:
                self._model = self._load()
            except UserError as error:
                self._problem = str(error)
                raise
            self._problem = None
        return self._model

    def _load(self):
        """The model on a device that works, with every foreseeable failure as a sentence."""
        try:
            load_engine(self.engine)
        except (ImportError, OSError, RuntimeError) as error:  # a library of torch's that is missing or doesn't fit
            missing = getattr(error, "name", None) == self.engine
            found = "no torch" if missing else f"a torch that doesn't import ({_first_line(error)})"
            raise EngineError(
                f"The Python {sys.executable} has {found}. Install torch there, name another Python in the "
                "preferences, or choose the numpy engine."
            ) from None
        device = self._usable_device()
        try:
            return self._read(device)
        except RuntimeError as error:  # no room for the weights
            if device == "cpu":
                raise
            self.device = "cpu"
            self._notice = f"The device '{device}' failed ({_first_line(error)}); the CPU does the work."
        return self._read("cpu")

    def _read(self, device):
        """Read the checkpoint onto a device."""
        try:
            return load_model(self.checkpoint, self.engine, device)
        except FileNotFoundError:
            raise UserError(f"There is no checkpoint {self.checkpoint}. Install the extension again.") from None
        except OSError as error:
            raise UserError(f"The checkpoint {self.checkpoint} can't be read: {error.strerror}.") from None
        except ValueError as error:
            raise UserError(
                f"The checkpoint {self.checkpoint} isn't one of Motion Variations, or is damaged. {error} "
                "Install the extension again."
            ) from error

    def _usable_device(self) -> str:
        """The chosen device, or the best; where it can't be used the next one, and `notice` says why.

        Raises:
            EngineError: none can be used.
        """
        engine, problems = load_engine(self.engine), []
        names = engine.device_names()
        for name in names if self.device == "auto" else dict.fromkeys((self.device, names[-1])):
            try:
                _, words = engine.choose_device(name)
            except ValueError as error:
                problems.append(str(error))
                continue
            if problems:
                self._notice = f"{problems[0]} The work is done by {words}. Choose another in the preferences."
            return name
        raise EngineError(f"{problems[0]} Choose another device or the numpy engine in the preferences.")

    def status(self) -> dict:
        """The state of the process, in words where a person reads it. Quick, and safe from another thread."""
        return {
            "engine": self.engine,
            "device": getattr(self._model, "device_words", None),
            "python": platform.python_version(),
            "numpy": np.__version__,
            "torch": getattr(sys.modules.get("torch"), "__version__", None),
            "memory_mb": round(memory_mb(), 1),
            "checkpoint": self._model and {"name": self.checkpoint.name, "version": self._model.version},
            "problem": self._problem,
            "notice": self._notice,
            "encodings": len(self._encodings),
            "pid": os.getpid(),
            "protocol": VERSION,
        }

    def run(self, request: str, message: Message, report, send) -> tuple[dict, dict]:
        """Run one of `REQUESTS`.

        Args:
            report: called with (fraction, text) between the steps; raises `Cancelled` to stop.
            send: called with (head, arrays) for every variation that is ready.

        Returns:
            What `done` carries: head and arrays.

        Raises:
            UserError: something that the user can put right. Cancelled: the user stopped it.
        """
        started_s = time.perf_counter()
        report(0.0, "Reading the motion")
        self._look_at_characters()
        try:
            head, arrays = getattr(self, f"_{request}")(message, report, send)
        except (MemoryError, RuntimeError) as error:
            if not _is_out_of_memory(error):
                raise
            raise (UserError if self.engine == "numpy" else EngineError)(NO_MEMORY) from None
        return {**head, "seconds": time.perf_counter() - started_s, "notice": self._notice}, arrays

    def _encode(self, message, report, send) -> tuple[dict, dict]:
        """The request `encode`: how well the model knows the motion."""
        digest = _digest(message)
        return self._figures(self._encoding(message, digest, report), digest), {}

    def _reconstruct(self, message, report, send) -> tuple[dict, dict]:
        """The request `reconstruct`: the change from the source to what the model makes of it."""
        digest = _digest(message)
        encoding = self._encoding(message, digest, report)
        return self._figures(encoding, digest), change_to_arrays(reconstruction_change(encoding))

    def _resample(self, message, report, send) -> tuple[dict, dict]:
        """The request `resample`: one change for every seed."""
        settings, seeds, digest = _settings(message.head), _seeds(message.head), _digest(message)
        first = 0.0 if digest in self._encodings else ENCODE_SHARE
        encoding = self._encoding(message, digest, lambda fraction, text: report(first * fraction, text))
        frames, joints = encoding.motion.rotations.shape[:2]
        selected, pinned = _flags(message, "selected", joints), _flags(message, "pinned", frames)
        changes = []
        for index, seed in enumerate(seeds):
            title = f"Variation {index + 1} of {len(seeds)}"

            def report_one(fraction, text, index=index, title=title):
                report(first + (1 - first) * (index + fraction) / len(seeds), f"{title}: {text}")

            def vary(seed=seed, report_one=report_one):
                encoding = self._encoding(message, digest, report_one)
                return variation.vary(self._models[digest], encoding, settings, seed, report_one, selected, pinned)

            report_one(0.0, "sampling")
            change = self._within_memory(vary, report_one)
            degrees = float(np.degrees(np.linalg.norm(change.rotation, axis=-1)).mean())
            changes.append(degrees)
            head = {"index": index, "seed": seed, "change_deg": degrees}
            if settings.loop != "OFF":
                head["loop_gaps_deg"] = loop_gaps_deg(self._encoding(message, digest, report_one), change)
            send(head, change_to_arrays(change))
        return {"change_deg": changes, "adaptation": self._learnt(digest)}, {}

    def _adapt(self, message, report, send) -> tuple[dict, dict]:
        """The request `adapt`: learns a character from several motions, `motions` of them, and keeps it in a file.

        Their arrays are named as for other requests, after the motion's number and a dot.
        """
        motions = [_motion(arrays) for arrays in numbered_arrays(message)]
        limits = {name: positive(message.head, name, getattr(Effort, name)) for name in ("seconds", "most_steps")}
        effort = Effort(**limits)
        learnt = self._within_memory(lambda: adapt(self.model(), motions, report, effort), report)
        path = self.characters.save(learnt)
        return {"adaptation": describe(Found(path, learnt)), "facts": learnt.facts}, {}

    def _learnt(self, digest) -> dict | None:
        """What was learnt of the character of a motion that is encoded, and whether it was used."""
        found = self.characters.find(self.model(), self._encodings[digest].motion.skeleton)
        return describe(found, used=self._models[digest] is not self.model())

    def _look_at_characters(self) -> None:
        """Drops encodings that were made when other things were known of characters."""
        state = self.characters.state()
        if state != self._characters_seen:
            self._characters_seen = state
            self._encodings.clear()

    def _figures(self, encoding, digest) -> dict:
        """What the panel says of an encoding."""
        figures = reconstruction_figures(encoding)
        known = {name: figures.pop(name) for name in RECONSTRUCTION_FIGURES}
        figures["duration_s"] = (encoding.motion.frames - 1) / encoding.motion.fps
        return {**figures, "reconstruction": known, "adaptation": self._learnt(digest)}

    def _encoding(self, message, digest, report):
        """The motion's encoding, from the few that are kept or made now."""
        if digest not in self._encodings:
            motion = _motion(message.arrays)

            def encode():
                model = self.model()
                adapted = self.characters.model_with(model, self.characters.find(model, motion.skeleton))
                return encode_better(model, adapted, motion, report)

            self._encodings[digest], self._models[digest] = self._within_memory(encode, report)
            self._forget()
        self._encodings.move_to_end(digest)
        return self._encodings[digest]

    def _forget(self) -> None:
        """Drop the encodings that were used longest ago, until few and small ones are left; the last one stays."""

        def poses():
            return sum(math.prod(encoding.motion.rotations.shape[:2]) for encoding in self._encodings.values())

        while len(self._encodings) > 1 and (len(self._encodings) > KEPT_ENCODINGS or poses() > KEPT_POSES):
            self._encodings.popitem(last=False)
        self._models = {digest: self._models[digest] for digest in self._encodings}

    def _within_memory(self, work, report):
        """What `work` returns; where a GPU fails or is out of memory, it is done again on the CPU, which then stays."""
        try:
            return work()
        except (MemoryError, RuntimeError) as error:  # torch has had both kinds
            if str(self.model().device) == "cpu":
                raise
            scarce, why = _is_out_of_memory(error), _first_line(error)
            traceback.print_exc()
        # Outside of the handler: the error's traceback has kept the tensors alive.
        engine, words = self.model().engine, self.model().device_words
        self._model, self.device = None, "cpu"
        self._encodings.clear()
        with contextlib.suppress(RuntimeError):  # after some errors a card answers nothing but the same error
            engine.release_memory()
        self._notice = f"{words} failed ({why}); the CPU does the work until the backend is restarted."
        if scarce:
            self._notice = f"{words} ran out of memory; the CPU does the work until the backend is restarted."
        report(0.0, self._notice)
        return work()


def _is_out_of_memory(error) -> bool:
    """Whether an error of numpy or torch says that memory ran out, on whatever device."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "out of memory" in text or "can't allocate memory" in text


def _first_line(error) -> str:
    """What an error says, without what it adds below; without its full stop."""
    return next(iter(str(error).strip().splitlines()), type(error).__name__).rstrip(".")


def _motion(arrays):
    """The motion that arrays of a message are.

    Raises:
        UserError: they are none, or too short.
    """
    try:
        motion = arrays_to_motion(arrays)
    except ValueError as error:
        raise UserError(f"{error} Check the keys of the action.") from None
    if motion.frames < MIN_FRAMES:
        raise UserError(f"The motion has {motion.frames} frame; {MIN_FRAMES} or more are needed.")
    return motion


def _digest(message) -> bytes:
    """A digest of the motion that a message carries."""
    digest = hashlib.blake2b(digest_size=16)
    for name in MOTION_ARRAYS:
        if name in message.arrays:
            array = message.arrays[name]
            digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(np.ascontiguousarray(array).data if array.size else b"")
    return digest.digest()


def _settings(head) -> "variation.VariationSettings":
    """The settings of a resampling.

    Raises:
        ValueError: a name that there isn't.
    """
    given = head.get("settings", {})
    known = {field.name for field in dataclasses.fields(variation.VariationSettings)}
    if unknown := set(given) - known:
        raise ValueError(f"There are no settings {sorted(unknown)}; there are {sorted(known)}.")
    return variation.VariationSettings(**given)


def _seeds(head) -> list[int]:
    """The seeds of a resampling, one for every variation.

    Raises:
        ValueError: not whole numbers. UserError: none, or too many.
    """
    seeds = head.get("seeds")
    if not isinstance(seeds, list) or not all(type(seed) is int and seed >= 0 for seed in seeds):
        raise ValueError(f"Seeds must be whole numbers from 0 on, found {seeds!r}.")
    if not 1 <= len(seeds) <= MAX_VARIATIONS:
        raise UserError(f"{len(seeds)} variations were asked for; ask for 1 to {MAX_VARIATIONS} at a time.")
    return seeds


def _flags(message, name, count):
    """An optional array of `count` flags as bool, or None.

    Raises:
        ValueError: there are more or fewer.
    """
    array = message.arrays.get(name)
    if array is not None and array.shape != (count,):
        raise ValueError(f"The flags '{name}' have shape {array.shape}, expected {(count,)}.")
    return None if array is None else array.astype(bool)
