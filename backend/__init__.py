"""The engine room of Motion Variations: a Python library without Blender, numpy only, torch if chosen.

    skeleton, motion, rotations   what a motion is, kinematics
    features                      motions <-> what the model reads and writes
    model, engines, checkpoint    the hierarchical transformer VAE and its weights
    variation, contacts           from a source to variations of it
    jobs, server, protocol, tensors, __main__   the same as a process: `python -m backend`

Dimension key, used in shapes and as name suffixes in `model.py`:

    B batch   T frames   J joints   F features   N tokens (chunks)   D width   H heads   K head width   Z latent

Axes and units: Z up, metres, seconds, radians; quaternions are w, x, y, z.
"""
