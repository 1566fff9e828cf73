"""The engine room of Motion Variations: a Python library without Blender, numpy only, torch if chosen.

    skeleton, motion, rotations   what a motion is, kinematics
    features                      motions <-> what the model reads and writes
    model, engines, checkpoint    the hierarchical transformer VAE and its weights
    encoding                      a source as the model sees it, and its reconstruction
    variation, limits, change     from a source to variations of it
    adapt, adapt_clips, adaptation, characters   what is learnt of a character from its own motion
    pins, masks, paths, loops     what stays, where the body goes, ends that meet
    parts, limb_parts, symmetry   the parts of a body, without names
    contacts, rests, limbs, reach what rests on the floor, and keeping it there
    jobs, server, protocol, tensors, process, __main__   the same as a process: `python -m backend`
    probe, errors                 what a named Python can do; the two ways a job ends early

Dimension key, used in shapes and as name suffixes in `model.py`:

    B batch   T frames   J joints   F features   N tokens (chunks)   D width   H heads   K head width   Z latent

Axes and units: Z up, metres, seconds, radians; quaternions are w, x, y, z.
"""
