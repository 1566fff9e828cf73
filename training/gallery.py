"""Pictures by which a person judges the model: kinds of motion, one contact sheet each, small copies beside.

Source, reconstruction, three variations as the panel makes them, and two clips drawn from the prior for the same
skeleton, about the source's mean pose, which have nothing else to do with it.
"""

from pathlib import Path

from backend.change import apply_change
from backend.encoding import Model, encode_motion, reconstruction_change
from backend.motion import Motion
from backend.variation import VariationSettings, vary

from . import metrics
from .drawn import drawn_motion
from .held_out import Scope, middle_motion, silent
from .varied import find_clips

# Held-out clips: (set, clip, what it is).
SUBJECTS = (
    ("cmu_asf", "39_05", "walk"),
    ("cmu_daz", "94_05", "dance"),
    ("cmu_asf", "17_10", "fight"),
    ("creatures", "m2m_horse__Walk", "horse"),
    ("creatures", "m2m_spider__Walk", "spider"),
    ("creatures", "khronos_fox__Walk", "fox"),
)
SEEDS, DRAWN_SEEDS = (1, 2, 3), (1, 2)
FEWEST_DRAWN = 96  # frames of a clip from the prior: a creature's cycle alone is too short to judge
SMALL_WIDTH, SMALL_BYTES = 1400, 150_000
QUALITIES = range(85, 20, -5)


def picture_rows(model: Model, motion: Motion) -> list:
    """The rows of one picture."""
    from pictures.contact_sheet import Row
    from pictures.take import motion_take

    encoding = encode_motion(model, motion, silent)
    made = apply_change(motion, reconstruction_change(encoding))
    rows = [
        Row("Source", f"{motion.frames} frames, {len(motion.skeleton.parents)} joints", motion_take(motion), False),
        Row("Reconstruction", f"{metrics.joint_error_mm(motion, made):.0f} mm", motion_take(made)),
    ]
    for seed in SEEDS:
        varied = apply_change(motion, vary(model, encoding, VariationSettings(), seed, silent))
        facts = f"strength 1, {metrics.change_deg(motion, varied):.1f} degrees"
        rows.append(Row(f"Variation {seed}", facts, motion_take(varied)))
    frames = max(encoding.frames, FEWEST_DRAWN)
    for seed in DRAWN_SEEDS if model.prior is not None else ():
        drawn = drawn_motion(model, motion, frames, seed, motion.root_positions[0], encoding.heading[0])
        facts = f"{drawn.frames} frames, drawn from the skeleton and the source's mean pose"
        rows.append(Row(f"Prior {seed}", facts, motion_take(drawn), False, metrics.source_contacts(drawn)))
    return rows


def save_small(sheet: Path, path: Path) -> None:
    """A copy of a picture as JPEG, for pages: narrower, and of a quality by which it has at most SMALL_BYTES."""
    from PIL import Image

    with Image.open(sheet) as whole:
        size = (SMALL_WIDTH, round(whole.height * SMALL_WIDTH / whole.width))
        small = whole.convert("RGB").resize(size, Image.Resampling.LANCZOS)
    path.parent.mkdir(parents=True, exist_ok=True)
    for quality in QUALITIES:
        small.save(path, quality=quality, optimize=True, progressive=True)
        if path.stat().st_size <= SMALL_BYTES:
            return


def draw_gallery(model: Model, scope: Scope, out: Path, report) -> list[dict]:
    """Draws a picture of every subject into `out`, small copies into `out/small`; returns their titles and files."""
    from pictures.contact_sheet import draw_contact_sheet

    drawn = []
    for number, (index, kind) in enumerate(find_clips(scope, SUBJECTS), start=1):
        clip = scope.store.clips[index]
        motion = middle_motion(scope.store, index, scope.varied_frames)
        name = kind if kind != "other" else f"other_{number}"
        title, file = f"{kind}: {clip['set']} {clip['name']}", f"picture_{name}.png"
        rows = picture_rows(model, motion)
        draw_contact_sheet(out / file, title, "held out of training", rows, metrics.source_contacts(motion), 1)
        save_small(out / file, out / "small" / f"{name}.jpg")
        drawn.append({"title": title, "file": file})
        report(f"{file} drawn")
    return drawn
