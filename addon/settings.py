"""What *Resample motion* takes: the settings of the panel, which are the operator's properties and presets as well."""

from bpy.props import BoolProperty, EnumProperty, FloatProperty, IntProperty, StringProperty

MAX_VARIATIONS = 20
MAX_SEED = 2**31 - 1

LEVELS = (
    ("WHOLE", "Whole motion", "Another performance throughout: posture and manner change, the same from start to end"),
    ("PHRASES", "Phrases", "Other phrasing: what changes drifts over the clip, about every second"),
    ("DETAIL", "Detail", "Small and quick differences only; posture and phrasing stay"),
)
BONES = (
    ("ALL", "All", "Every bone may change"),
    ("SELECTED", "Selected", "Only the selected pose bones change; all others keep their turn against their parents"),
    ("COLLECTION", "Bone collection", "Only the bones of a bone collection of the armature change"),
    (
        "PARTS",
        "Body parts",
        "Only the chosen parts of the body change. They are found from the skeleton's shape, not from names",
    ),
)
ROOT_PATHS = (
    ("KEEP", "Keep", "The body stays on the source's path over the ground; only the pose changes"),
    (
        "IN_PLACE",
        "In place",
        "The travel over the ground is taken out and the body stays where it starts, as a cycle "
        "for a game; sway and bounce stay. Poses that are kept are kept as poses, not as places",
    ),
    ("FREE", "Free", "The body may take another path over the ground; it comes back to it where poses are kept"),
)
LOOPS = (
    ("OFF", "Off", "The end needn't meet the start"),
    ("KEEP", "Keep", "What changes meets itself: the variation loops as well as the source does, in pose and speed"),
    (
        "CLOSE",
        "Close the gap",
        "The last pose comes to the first, in pose and speed, also where the source's doesn't. "
        "With kept ends the first pose stays and the last one gives way",
    ),
)
RANGES = (
    ("WHOLE", "Whole action", "Vary the action from its first key to its last"),
    ("PREVIEW", "Preview range", "Vary the frames inside the scene's preview range; the others stay as they are"),
    ("CUSTOM", "Custom", "Vary the frames from start to end below; the others stay as they are"),
    (
        "MARKERS",
        "Markers",
        "Vary from the first to the last of the timeline's selected markers; with fewer than two "
        "selected, between the two around the current frame. The others stay as they are",
    ),
    (
        "KEYS",
        "Selected keys",
        "Vary from the first to the last selected key of the action; the others stay as they are",
    ),
)
KEYS = (
    ("EVERY_FRAME", "Every frame", "Write a key on every frame: exact, but dense"),
    (
        "AS_SOURCE",
        "As the source",
        "The source's keys stay keys, and between them come as few as the motion needs within the tolerance. Where the "
        "source has a key on every frame, so do the variations",
    ),
    (
        "REDUCED",
        "Reduced",
        "As few keys as the motion needs within the tolerance, also where the source has a key on every frame. Keys "
        "that were set by hand stay keys",
    ),
    (
        "SOURCE_KEYS",
        "Source's keys only",
        "Write only where the source has keys: as easy to edit as the source, but what should happen between is lost",
    ),
)


class ResampleSettings:
    """The scene keeps these for the panel; the operator has the same for scripts."""

    count: IntProperty(
        name="Count",
        description="How many variations one click makes. Each is a new action; the source stays as it is",
        default=3,
        min=1,
        max=MAX_VARIATIONS,
    )
    strength: FloatProperty(
        name="Strength",
        description="How far the variations go from the source. At 0 they equal it, at 1 they differ as much as two "
        "performances of one motion do",
        default=1.0,
        min=0.0,
        max=3.0,
        soft_max=2.0,
        step=5,
        precision=2,
    )
    level: EnumProperty(
        name="Level",
        description="What changes: the whole motion, its phrases, or its detail",
        items=LEVELS,
        default="PHRASES",
    )
    seed: IntProperty(
        name="Seed",
        description="Number of the first variation, the next ones count up from it. The same seed and settings give "
        "the same variations again. Each click takes a new seed unless it is locked",
        default=1,
        min=0,
        max=MAX_SEED,
    )
    lock_seed: BoolProperty(
        name="Lock Seed",
        description="Keep the seed, so that the next click makes the same variations again (with other settings: "
        "comparable ones)",
        default=False,
    )
    root_path: EnumProperty(
        name="Root path",
        description="Where the body goes over the ground",
        items=ROOT_PATHS,
        default="KEEP",
    )
    loop: EnumProperty(
        name="Loop",
        description="Whether the end of the variation meets its start, against the body's place and facing",
        items=LOOPS,
        default="OFF",
    )
    keep_ends: BoolProperty(
        name="Keep first and last pose",
        description="The first and the last pose stay as they are, so that clips still join",
        default=True,
    )
    contacts: BoolProperty(
        name="Keep contacts",
        description="Feet, hands, paws that rest on something in the source rest over the same frames in the variation",
        default=True,
    )
    bones: EnumProperty(name="Bones", description="Which bones may change", items=BONES, default="ALL")
    bone_collection: StringProperty(
        name="Collection",
        description="The armature's bone collection whose bones may change, those of its child collections as well",
    )
    parts: StringProperty(
        name="Parts",
        description="The body parts that may change, by their identifiers with commas between: 'ARM_LEFT, HEAD'",
    )
    frame_range: EnumProperty(name="Frames", description="Which frames may change", items=RANGES, default="WHOLE")
    frame_start: IntProperty(name="Start", description="First frame that may change", default=1)
    frame_end: IntProperty(name="End", description="Last frame that may change", default=250)
    falloff: IntProperty(
        name="Falloff",
        description="Over how many frames the change fades in and out inside the borders of the range and from kept "
        "ends. 0: as many as the motion needs to stay smooth",
        default=0,
        min=0,
        soft_max=100,
    )
    pin_frames: BoolProperty(
        name="Pinned frames",
        description="The poses that were pinned with 'Pin this frame' stay exactly as they are in the source",
        default=True,
    )
    pin_pose_markers: BoolProperty(
        name="Pose markers",
        description="The poses at the action's pose markers stay exactly as they are in the source",
        default=False,
    )
    pin_scene_markers: BoolProperty(
        name="Markers named 'pin'",
        description="The poses at the timeline's markers whose names begin with 'pin' stay exactly as in the source",
        default=True,
    )
    pin_ease: IntProperty(
        name="Ease",
        description="Over how many frames the change fades out towards a pinned frame and in after it. 0: as many as "
        "the motion needs to stay smooth",
        default=0,
        min=0,
        soft_max=100,
    )
    keys: EnumProperty(
        name="Keys",
        description="Where the variations get keys. Frames outside the range keep the source's keys",
        items=KEYS,
        default="AS_SOURCE",
    )
    key_tolerance: FloatProperty(
        name="Tolerance",
        description="How far reduced keys may let a bone turn from the exact motion, in degrees. Joints stay within "
        "0.12 % of the body's height at 0.5 degrees (2 mm of 1.7 m), and in proportion",
        default=0.5,
        min=0.01,
        max=10.0,
        soft_max=2.0,
        step=10,
        precision=2,
    )
