"""Latents that the decoder itself would choose: a few steps down the gradient of the pose's error. Both engines.

The encoder's codes are where the steps begin, as in semi-amortised variational inference (Kim et al., 2018). The steps
are those of L-BFGS (Nocedal, 1980; the two-loop recursion) with a memory of its own for each window's latent, for
windows far from each other have little to do with one another; there is no line search, the best codes are kept. The
clip's latent stays: when it moves, every window's memory is wrong, and errors end up larger.
"""

from .engines import engine_of, value_and_gradients
from .features import JOINT_INPUTS, columns, pose_positions
from .rotations import matrix_to_sixd

FEWEST, MOST, FRAMES = 6, 32, 4500  # steps, and the frames decoded in all where that leaves as many steps
TURN_WEIGHT = 0.04  # of the square of a rotation's six numbers beside that of a place in heights
VELOCITY_WEIGHT = 1.0  # of the square of a place's step to the next frame
ROOT_WEIGHT = 0.002  # of the square of a frame's root features
MEMORY = 8  # last steps that L-BFGS remembers
FIRST_STEP, LONGEST_STEP = 0.03, 0.5  # root mean square over a latent's numbers
PIECE, MARGIN = 32, 4  # long clips are done so many chunks at a time, with so many to each side that stay as they are
SMALL = 1e-20


def steps_for(frames: int) -> int:
    """How many steps a clip gets: short ones more, for they cost little."""
    return min(max(FRAMES // frames, FEWEST), MOST)


def decodings(frames: int, chunk: int) -> int:
    """How often `refine` decodes a clip or a piece of it."""
    pieces = -(-frames // (PIECE * chunk))
    return pieces * (steps_for(frames) + 1)


def refine(latents, decode_frames, structure, joints, root, frames: int, chunk: int):
    """The best latents of a few steps.

    Args:
        latents: the posterior means, a tuple over the levels, `[1, N, Z]` and for the last `[1, Z]`.
        decode_frames: latents to matrices `[1, T, J, 3, 3]`, slides `[1, T, J, 3]` and root `[1, T, ROOT_SIZE]`.
        joints, root: of the source, see `features.motion_features`. frames: of it before padding to whole chunks.
        chunk: frames under one token of the last level.
    """
    xp = engine_of(root)
    *windows, clip = latents
    chunks, steps = root.shape[1] // chunk, steps_for(frames)
    rates = [latent.shape[1] // chunks for latent in windows]  # windows of each level under a token of the last one

    def decode_windows(candidate):
        return decode_frames((*candidate, clip))

    refined = [[] for _ in windows]
    for start in range(0, chunks, PIECE):
        stop = min(start + PIECE, chunks)
        low, high = max(start - MARGIN, 0), min(stop + MARGIN, chunks)
        rows = slice(low * chunk, high * chunk)
        piece = tuple(latent[:, low * rate : high * rate] for latent, rate in zip(windows, rates, strict=True))
        seen = min(frames, rows.stop) - rows.start
        piece = descend(piece, decode_windows, structure, joints[:, rows], root[:, rows], seen, steps)
        for done, latent, rate in zip(refined, piece, rates, strict=True):
            done.append(latent[:, (start - low) * rate : (stop - low) * rate])
    return *(xp.concat(done, 1) for done in refined), clip


def descend(latents, decode_windows, structure, joints, root, frames: int, steps: int):
    """The best latents `[1, N, Z]` of the levels with windows, see `refine`, after so many steps."""
    wanted = {name: joints[..., columns(JOINT_INPUTS, name)] for name in ("position", "rotation", "slide")}
    each = 1.0 / (frames * joints.shape[2])
    slides_too = bool(structure["slides"].any())

    def error(candidate):
        matrices, slides, decoded_root = decode_windows(candidate)
        miss = pose_positions(matrices, slides, structure) - wanted["position"]
        total = squares(miss, frames) * each
        total = total + squares(miss[:, 1:] - miss[:, :-1], frames - 1) * (each * VELOCITY_WEIGHT)
        total = total + squares(matrix_to_sixd(matrices) - wanted["rotation"], frames) * (each * TURN_WEIGHT)
        if slides_too:
            total = total + squares(slides - wanted["slide"], frames) * each
        return total + squares(decoded_root - root, frames) * (ROOT_WEIGHT / frames), ()

    best, memory, last = None, [], None
    for remaining in reversed(range(steps + 1)):
        value, _, gradients = value_and_gradients(error, latents)
        if best is None or value < best[0]:
            best = value, latents
        if not remaining:
            break
        if last is not None:
            moved = tuple(new - old for new, old in zip(latents, last[0], strict=True))
            turned = tuple(new - old for new, old in zip(gradients, last[1], strict=True))
            memory = [*memory[1 - MEMORY :], (moved, turned)]
        last = latents, gradients
        latents = tuple(
            latent + limited(newton_step(gradient, [(moved[level], turned[level]) for moved, turned in memory]))
            for level, (latent, gradient) in enumerate(zip(latents, gradients, strict=True))
        )
    return best[1]


def squares(miss, frames: int):
    """The sum of the squares of `miss [1, T, ...]` over its first frames."""
    return (miss * miss).reshape(*miss.shape[:2], -1).sum(axis=-1)[:, :frames].sum()


def newton_step(gradient, memory):
    """The step that L-BFGS takes, of each row of `gradient [..., Z]` by itself.

    Args:
        memory: pairs of how the row moved and how its gradient changed, oldest first, like `gradient`.
    """
    if not memory:
        return gradient * (-FIRST_STEP * (gradient * gradient).mean(axis=-1)[..., None].clip(SMALL) ** -0.5)
    passed = []
    for moved, turned in reversed(memory):
        curvature = along(moved, turned)
        inverse = (curvature > 0) / curvature.clip(SMALL)  # no use where the error isn't bowl-shaped
        share = inverse * along(moved, gradient)
        gradient = gradient - share * turned
        passed.append((moved, turned, inverse, share))
    moved, turned = memory[-1]
    gradient = gradient * (along(moved, turned).clip(0) / along(turned, turned).clip(SMALL))
    for moved, turned, inverse, share in reversed(passed):
        gradient = gradient + (share - inverse * along(turned, gradient)) * moved
    return -gradient


def along(a, b):
    """Products of rows, `[..., Z]` to `[..., 1]`."""
    return (a * b).sum(axis=-1)[..., None]


def limited(step):
    """The step, cut where it is longer than can be trusted."""
    size = (step * step).mean(axis=-1)[..., None].clip(SMALL) ** 0.5
    return step * (LONGEST_STEP / size).clip(None, 1.0)
