"""F-curves and frames: an armature's animation -> Motion; a change -> keys on the same channels of a new action.

The only package that touches F-curves, slots and `frame_set`, and the only one that knows Blender's versions: 4.2 has
`action.fcurves` and no slots, 4.4 has slots and channelbags, 5.0 nothing else.

    actions     which action and slot drive an armature; remembering and restoring what is shown
    keys        the curves that pose an armature, and their values at the sampled frames
    clips       the NLA strip that is meant where no action is active
    evaluation  whether keys say all, and Blender's own poses where they don't
    reading     both -> Reading
    poses       where an action puts the joints, for looking at
    writing     a change -> a copy of the source action that does it
    baked       stretches with a key on every frame, the user's own keys, other keys in their place
    strips      such stretches as samples, ready to be fitted
    reduction   as few keys as a tolerance allows in place of baked ones
    copying     keys read whole, told apart, copied bit for bit
    blending    an action's keys as part of the way from one action to another
    mixing      keys of one action also where another has them
    tracks      an action as an NLA strip in place of another
"""

from .actions import (  # noqa: F401
    HAS_SLOTS,
    Block,
    State,
    action_frame_range,
    animating_actions,
    assign_action,
    assigned_action,
    bone_curve_count,
    capture,
    curve_collection,
    find_slot,
    restore,
    slot_identifier,
)
from .baked import own_keys  # noqa: F401
from .blending import blend_keys, plan_blend  # noqa: F401
from .clips import (  # noqa: F401
    Clip,
    action_frame,
    check_clip,
    playing_action,
    playing_clip,
    put_action,
    replace_in_strips,
)
from .copying import copy_keys, digest, digest_of, read_curves  # noqa: F401
from .mixing import add_key_times  # noqa: F401
from .poses import (  # noqa: F401
    NotInKeys,
    Poses,
    action_fingerprint,
    poses_from_keys,
    poses_from_reading,
)
from .reading import Reading, read, read_steps  # noqa: F401
from .reduction import (  # noqa: F401
    Reduced,
    reduce_keys,
    reduce_steps,
    reduction_sentence,
    write_keys_steps,
)
from .tracks import push_strip  # noqa: F401
from .writing import Written, write_steps, write_variation  # noqa: F401
