"""The parts of a body, found from its skeleton in rest: limbs, spine, head, tail, wings, fingers. Names are not read.

Branches that have a mirror partner are limbs, or small things like ears; what has none is the axis, which is spine
where limbs hang on it, head in front of that, and tail behind. Which way is front is told by the limbs, the feet, the
head. A part's bones are rows of the rig; every bone belongs to exactly one part.
"""

from dataclasses import dataclass

import numpy as np

from .limb_parts import Limb, find_limbs, split_digits
from .skeleton import body_root, forest_height, nearest_kept
from .symmetry import Tree, below, find_mirror, make_tree

JOIN_HEIGHTS = 0.12  # trees of bones nearer than this to each other are one body
JOINS_TRIED = 4  # of the nearest bones
LOOSE_HEIGHTS = 0.5  # a leaf farther than this from its parent is a target or a foot of its own
LOOSE_SHARE = 0.3  # unless hardly anything of the skeleton is left without leaves
FOOT_SHARE, FOOT_SPANS = 1.8, 0.12  # of a limb's length, of the span: a foot of its own is this near to a limb's end
FLOOR_SHARE, HANGING_FLOOR_SHARE = 0.2, 0.5  # of the root's height: limbs, and those that hang down, that come this
# near to the lowest one stand
TRUNK_SPANS = 0.04  # limbs this far in front of the root say where front is
WING_LEGS, WING_UPRIGHT_LEGS = 1.0, 2.6  # a wing is longer than legs by this; upright bodies have long arms
RESTING_WING_LEGS = 3.0  # the same for one that rests on the floor
TAIL_SPANS = 0.04  # what sticks out less is no tail
EXTRA_SPANS = 0.12  # a chain without a partner as long as this is a part of its own
SIDE_WORDS = {"LEFT": "left", "RIGHT": "right"}


@dataclass(frozen=True)
class Part:
    """A part of a body.

    Attributes:
        key: what scripts call it, "ARM_LEFT". words: what a person reads, "Arm, left". bones: `[n]` rows of the rig.
    """

    key: str
    words: str
    bones: np.ndarray


@dataclass(frozen=True)
class _Body:
    """The skeleton without what hangs loose.

    Attributes:
        tree: see `symmetry.Tree`. rows: `[N]`, the rig's row of each of its rows. front, left: `[3]` level directions.
        limbs: see `limb_parts.find_limbs`. trunk: rows from the root to where limbs hang.
    """

    tree: Tree
    rows: np.ndarray
    front: np.ndarray
    left: np.ndarray
    limbs: list[Limb]
    trunk: list[int]


def find_parts(parents, heads, tails, usable) -> tuple[Part, ...]:
    """The parts of a body, in the order in which a person looks for them.

    Args:
        parents: `[N]`, -1 for roots; parents come before their children. heads, tails: `[N, 3]` in rest, Z up,
        in any unit.
        usable: `[N]` bool, bones that make the body; the others go with the nearest of them.
    """
    parents, heads, tails = np.asarray(parents), np.asarray(heads, float), np.asarray(tails, float)
    usable = np.asarray(usable, bool)
    usable = usable if usable.any() else np.ones(len(parents), bool)
    tree, rows = _body_tree(parents, heads, tails, usable)
    body = _survey(tree, rows)
    loose = np.setdiff1d(np.arange(len(parents)), [*rows, *_above(parents, rows[0])])
    named = {}  # key -> (words, rows of the tree)
    used = {0}
    for key, words, bones in (*_limb_parts(body, heads[loose]), *_axis_parts(body)):
        bones = [bone for bone in bones if bone not in used]
        used |= set(bones)
        if bones:
            named[key] = (words, bones)
    owner = np.full(len(parents), -1)
    keys = ["ROOT", *named]
    owner[rows[0]] = 0
    for index, (_, bones) in enumerate(named.values(), 1):
        owner[rows[bones]] = index
    _fill(owner, parents, heads, rows, tree)
    words = {"ROOT": "Root of the body"} | {key: each for key, (each, _) in named.items()}
    return tuple(Part(key, words[key], np.flatnonzero(owner == index)) for index, key in enumerate(keys))


def _body_tree(parents, heads, tails, usable) -> tuple[Tree, np.ndarray]:
    """The body as a tree from its root, without loose leaves, and its rows in the rig."""
    above = _joined(parents, nearest_kept(parents, usable), heads, tails, usable)
    order = _parents_first(above)
    place = np.empty(len(order), int)
    place[order] = np.arange(len(order))
    above = np.where(above[order] >= 0, place[above[order]], -1)
    heads, tails, usable = heads[order], tails[order], usable[order]
    lengths = np.where(above >= 0, np.linalg.norm(heads - heads[np.maximum(above, 0)], axis=1), 0.0)
    leaves = usable & ~np.isin(np.arange(len(parents)), above[usable])
    height = max(forest_height(above, lengths, usable), 1e-9)
    inner = forest_height(above, np.where(leaves, 0.0, lengths), usable)
    away = np.linalg.norm(heads - tails[np.maximum(above, 0)], axis=1)  # from where the bone above ends
    loose = leaves & (np.minimum(lengths, away) > LOOSE_HEIGHTS * inner) & (inner > LOOSE_SHARE * height)
    kept = usable & ~loose
    root = body_root(above, lengths / max(inner, LOOSE_SHARE * height), kept, kept, loose)
    rows, row_of = [root], {root: 0}
    for bone in range(len(parents)):
        if kept[bone] and above[bone] in row_of:
            row_of[bone] = len(rows)
            rows.append(bone)
    tree_parents = [-1] + [row_of[above[bone]] for bone in rows[1:]]
    rows = np.array(rows)
    return make_tree(tree_parents, heads[rows], tails[rows]), order[rows]


def _parents_first(above) -> np.ndarray:
    """Rows in an order in which parents come first."""
    depths = np.zeros(len(above), int)
    for row in range(len(above)):
        at = row
        while above[at] >= 0:
            at, depths[row] = above[at], depths[row] + 1
    return np.argsort(depths, kind="stable")


def _joined(parents, above, heads, tails, usable) -> np.ndarray:
    """Where the bones of a body hang on others that don't belong to it, their trees are joined as those others do it:
    each top goes to the bone that ends nearest to it, or hangs beside the one that begins there."""
    above = above.copy()
    top = np.arange(len(parents))
    for bone in range(len(parents)):
        top[bone] = bone if above[bone] < 0 else top[above[bone]]
    sizes = {each: usable[top == each].sum() for each in np.unique(top[usable])}
    largest = max(sizes, key=sizes.get)
    bones = np.flatnonzero(usable)
    inner = bones[(above[bones] >= 0) | (bones == largest)]
    points, carriers = np.concatenate((tails[bones], heads[inner])), np.concatenate((bones, above[inner]))
    carriers[carriers < 0] = largest
    longest = JOIN_HEIGHTS * np.ptp(heads[usable], axis=0).max()
    ways = []
    for each in sizes:
        if each != largest and parents[each] >= 0:
            away = np.where(top[carriers] == each, np.inf, np.linalg.norm(points - heads[each], axis=1))
            ways += [(away[place], each, carriers[place]) for place in np.argsort(away, kind="stable")[:JOINS_TRIED]]
    for away, each, carrier in sorted(ways):
        row = carrier
        while above[row] >= 0:
            row = above[row]
        if away <= longest and above[each] < 0 and row != each:
            above[each] = carrier
    return above


def _survey(tree: Tree, rows) -> _Body:
    """Limbs, trunk and directions."""
    mirror = find_mirror(tree)
    limbs, axis = find_limbs(tree, mirror)
    trunk = {0}
    for limb in limbs:
        row = limb.hangs_on
        while row > 0 and row in axis:
            trunk.add(row)
            row = tree.parents[row]
    front = _front(tree, np.cross([0.0, 0, 1], mirror.normal), limbs, axis - trunk)
    left = np.cross([0.0, 0, 1], front)
    return _Body(tree, rows, front, left, limbs, sorted(trunk))


def _front(tree: Tree, ahead, limbs, branches) -> np.ndarray:
    """The level direction in which the body faces, `ahead` or its opposite; where nothing tells, it is -Y."""
    ahead = ahead if ahead @ [0.0, -1, 0] > -1e-3 * abs(ahead[0]) else -ahead
    far = [tree.heads[limb.hangs_on] - tree.heads[0] for limb in limbs]
    # Some limbs hang near the root, the hips, and others before them.
    hips = min((np.linalg.norm(step) for step in far), default=np.inf) < TRUNK_SPANS * tree.span
    trunk = max((step @ ahead for step in far if abs(step @ ahead) > abs(step[2])), key=abs, default=0.0) * hips
    ends = [tree.tips[row] - tree.heads[0] for row in branches if tree.parents[row] not in branches]
    highest = max(ends, key=lambda step: step[2], default=np.zeros(3))
    raised = len(ends) > 1 and highest[2] > sorted(step[2] for step in ends)[-2] + 0.02 * tree.span
    floor = min((tree.tips[limb.first][2] for limb in limbs), default=0.0)
    low = [limb for limb in limbs if tree.tips[limb.first][2] < floor + 0.1 * tree.span and _hangs(tree, limb, 0.5)]
    feet = sum(_foot(tree, limb) @ ahead for limb in low) / max(len(low), 1)
    for cue, least in ((trunk, TRUNK_SPANS), (highest @ ahead if raised else 0.0, 0.05), (feet, 0.02)):
        if abs(cue) > least * tree.span:
            return ahead * np.sign(cue)
    return ahead


def _foot(tree: Tree, limb: Limb) -> np.ndarray:
    """Where the last bones of a limb point, level: from where it comes down to its tip."""
    low = [row for row in limb.rows if tree.heads[row][2] < tree.tips[limb.first][2] + 0.2 * tree.reach[limb.first]]
    if not low:
        return np.zeros(3)
    step = tree.tips[limb.first] - tree.heads[low[0]]
    if len(low) < 2 and np.linalg.norm(step[:2]) < abs(step[2]):
        return np.zeros(3)  # a shin without a foot; which way its tail leans says nothing
    return step * [1, 1, 0]


def _hangs(tree: Tree, limb: Limb, share: float, low: float | None = None) -> bool:
    """Whether a limb comes down by a share of its length."""
    low = tree.tips[limb.first][2] if low is None else low
    return tree.heads[limb.first][2] - low >= share * tree.reach[limb.first]


def _lowest(body: _Body, limb: Limb, loose) -> float:
    """How far down a limb comes, with the foot of its own that lies at its end."""
    tree = body.tree
    away = np.linalg.norm(loose - tree.tips[limb.first], axis=1)
    near = away < min(FOOT_SHARE * tree.reach[limb.first], FOOT_SPANS * tree.span)
    return min([tree.tips[limb.first][2], *loose[near][:, 2]])


def _limb_parts(body: _Body, loose):
    """Key, words and rows of limbs and of their digits, from front to back; `loose [M, 3]` bones beside the body."""
    tree, pairs = body.tree, {}
    for limb in body.limbs:
        pairs.setdefault(limb.pair, []).append(limb)
    lows = {pair: min(_lowest(body, limb, loose) for limb in limbs) for pair, limbs in pairs.items()}
    floor, root = min([*lows.values(), *tree.tips[:, 2]]), tree.heads[0][2]
    high = max(root - floor, 0.0)
    stands = {}
    for pair, low in lows.items():
        share = HANGING_FLOOR_SHARE if _hangs(tree, pairs[pair][0], 0.5, low) else FLOOR_SHARE
        stands[pair] = low <= floor + share * high + 1e-9
    shortest = min((tree.reach[pairs[pair][0].first] for pair in pairs if stands[pair]), default=0.0)
    for pair, (limb, *_) in pairs.items():  # wings may rest on the floor
        stands[pair] &= tree.reach[limb.first] < RESTING_WING_LEGS * shortest or _hangs(tree, limb, 0.3, lows[pair])
    legs = [
        max(max(tree.reach[limb.first], tree.heads[limb.first][2] - lows[pair]) for limb in limbs)
        for pair, limbs in pairs.items()
        if stands[pair]
    ]
    upright = _is_upright(body, pairs, stands)
    longer = (WING_UPRIGHT_LEGS if upright else WING_LEGS) * max(legs, default=np.inf)
    wings = [pair for pair in pairs if not stands[pair] and tree.reach[pairs[pair][0].first] > longer]

    def ahead(pair):
        base = np.mean([tree.heads[limb.first] for limb in pairs[pair]], axis=0)
        return (base[2] if upright else base @ body.front) + 1e-3 * (_tip(tree, pairs[pair]) @ body.front)

    order = sorted((pair for pair in pairs if pair not in wings), key=ahead, reverse=True)
    for number, pair in enumerate(sorted(wings, key=ahead, reverse=True), 1):
        many = f"_{number}" if len(wings) > 1 else ""
        yield from _sided(body, pairs[pair], f"WING{many}", f"Wing{many.replace('_', ' ')}", digits=None)
    for place, pair in enumerate(order):
        if len(order) > 2:
            for limb in sorted(pairs[pair], key=lambda each: -(_tip(tree, [each]) @ body.left)):
                number = 2 * place + 1 + (_tip(tree, [limb]) @ body.left < tree.heads[0] @ body.left)
                side = _side(body, limb)
                yield f"LIMB_{number}", f"Limb {number} of {2 * len(order)}, {SIDE_WORDS[side]}", limb.rows
        elif upright:
            key, words, digits = ("LEG", "Leg", "TOES") if stands[pair] else ("ARM", "Arm", "FINGERS")
            yield from _sided(body, pairs[pair], key, words, digits)
        elif len(order) == 2:
            key, words = (("FRONT_LIMB", "Front limb"), ("HIND_LIMB", "Hind limb"))[place]
            yield from _sided(body, pairs[pair], key, words, "DIGITS_" + key)
        else:
            legs = stands[pair] and _hangs(tree, pairs[pair][0], 0.5, lows[pair])
            key, words = ("LEG", "Leg") if legs else ("LIMB", "Limb")
            yield from _sided(body, pairs[pair], key, words, "TOES")


def _tip(tree: Tree, limbs) -> np.ndarray:
    """Where limbs end, on average."""
    return np.mean([tree.tips[limb.first] for limb in limbs], axis=0)


def _is_upright(body: _Body, pairs, stands) -> bool:
    """Whether a pair of legs carries arms above them."""
    bases = {True: [], False: []}
    for pair, limbs in pairs.items():
        bases[stands[pair]] += [body.tree.heads[limb.first] for limb in limbs]
    if sum(stands.values()) != 1 or not bases[False]:
        return False
    step = np.mean(bases[False], axis=0) - np.mean(bases[True], axis=0)
    return step[2] > abs(step @ body.front)


def _side(body: _Body, limb: Limb) -> str:
    """LEFT or RIGHT."""
    return "LEFT" if (body.tree.tips[limb.first] - body.tree.heads[0]) @ body.left > 0 else "RIGHT"


def _sided(body: _Body, limbs, key: str, words: str, digits: str | None):
    """A pair of limbs as parts, the left one first, and after each its fingers or toes where it has some."""
    for limb in sorted(limbs, key=lambda each: _side(body, each)):
        side = _side(body, limb)
        rest, fan = split_digits(body.tree, limb) if digits else (limb.rows, [])
        yield f"{key}_{side}", f"{words}, {SIDE_WORDS[side]}", rest
        if fan:
            name = digits.split("_")[0].capitalize()
            of = f" of the {words.lower()}" if name == "Digits" else ""
            yield f"{digits}_{side}", f"{name}{of}, {SIDE_WORDS[side]}", fan


def _axis_parts(body: _Body):
    """Key, words and rows of spine, head, tail and what else has no partner."""
    tree, limbs = body.tree, {row for limb in body.limbs for row in limb.rows}
    tops = [
        child
        for row in body.trunk
        for child in tree.children[row]
        if child not in body.trunk and child not in limbs and not limbs & set(below(tree, child))
    ]
    ends = {top: tree.tips[top] - tree.heads[0] for top in tops}
    if not body.limbs:
        yield from _chain_parts(body, tops)
        return
    spine = body.trunk[1:]
    facing = {top: ends[top] @ body.front + ends[top][2] for top in tops}
    head = max(tops, key=facing.get, default=None)
    if head is not None and tree.reach[head] > 0:
        rows = below(tree, head)
        reached = max(tree.heads[limb.first] @ body.front for limb in body.limbs)
        behind = [row for row in rows if tree.heads[row] @ body.front < reached and tree.children[row]]
        straight = body.front @ (tree.tips[head] - tree.heads[0]) > abs(tree.tips[head][2] - tree.heads[0][2])
        back = [row for row in behind if straight and all(up in behind or up in body.trunk for up in _up(tree, row))]
        spine = spine + back
        yield "HEAD", "Neck and head", [row for row in rows if row not in back]
    tails = [
        top for top in tops if top != head and -(ends[top] @ body.front) > TAIL_SPANS * tree.span and tree.children[top]
    ]
    tail = max(tails, key=lambda top: tree.reach[top], default=None)
    if tail is not None:
        yield "TAIL", "Tail", below(tree, tail)
    extra = [top for top in tops if top not in (head, tail) and tree.reach[top] > EXTRA_SPANS * tree.span]
    for number, top in enumerate((each for each in extra if tree.children[each]), 1):
        yield f"CHAIN_{number}", f"Chain {number}", below(tree, top)
    yield "SPINE", "Spine", spine


def _up(tree: Tree, row: int):
    """The rows above a row, up to the root's children."""
    while tree.parents[row] > 0:
        row = tree.parents[row]
        yield row


def _chain_parts(body: _Body, tops):
    """A body without limbs, in three parts from front to back along its axis."""
    tree = body.tree
    rows = [row for top in tops for row in below(tree, top)]
    if len(rows) < 3:
        yield "SPINE", "Spine", rows
        return
    longest = max(tops, key=lambda top: tree.reach[top])
    along = (tree.tips[longest] - tree.heads[0]) @ body.front
    depth = np.array([np.linalg.norm(tree.heads[row] - tree.heads[0]) for row in rows])
    on = np.array([1.0 if row in below(tree, longest) else -1.0 for row in rows])
    place = depth * on * (1 if along >= 0 else -1)
    for key, words, part in zip(
        ("FRONT", "MIDDLE", "REAR"),
        ("Front of the body", "Middle of the body", "Rear of the body"),
        np.array_split(np.argsort(-place, kind="stable"), 3),
        strict=True,
    ):
        yield key, words, [rows[row] for row in sorted(part)]


def _above(parents, bone: int) -> list[int]:
    """The bones above one."""
    bones = []
    while parents[bone] >= 0:
        bone = int(parents[bone])
        bones.append(bone)
    return bones


def _spread(owner, rows, tree: Tree) -> None:
    """Rows of the tree without a part get that of the row above."""
    for row in range(1, len(rows)):
        if owner[rows[row]] < 0:
            owner[rows[row]] = owner[rows[tree.parents[row]]]


def _fill(owner, parents, heads, rows, tree: Tree) -> None:
    """Bones without a part get one: above the root the root's, below others theirs, loose ones that of the nearest."""
    owner[_above(parents, rows[0])] = 0
    _spread(owner, rows, tree)
    points, owners = np.concatenate((tree.heads, tree.tips)), np.concatenate((owner[rows], owner[rows]))
    body = np.zeros(len(parents), bool)
    body[rows] = True
    for bone, parent in enumerate(parents):
        if owner[bone] < 0 and parent >= 0 and body[parent] and parent != rows[0]:
            if np.linalg.norm(heads[bone] - heads[parent]) <= LOOSE_HEIGHTS * tree.span:
                owner[bone], body[bone] = owner[parent], True
        if owner[bone] < 0:
            owner[bone] = owners[np.linalg.norm(points - heads[bone], axis=1).argmin()]
