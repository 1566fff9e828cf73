"""Mirror partners among the branches of a skeleton, from where they are in rest; names are not read."""

from dataclasses import dataclass

import numpy as np

MATCH_SHARE = 0.3  # of its length: a branch's base and tip may be so far from its partner's mirror image
MATCH_SPANS = 0.02  # and of the skeleton's span, for short branches
APART_SPANS = 0.01  # partners are at least this far from the mirror plane
ALIKE = 0.05  # branches are of the same lengths where these differ by this share
MIRRORED_SHARE = 0.3  # of all bones' length: a symmetric rest pose has partners for more
ASIDE_SHARE = 0.1  # of their length: and lie this far beside the mirror plane, where the rest pose has one
APART_SHARE = 0.3  # of their length: and end at least this far from each other
SIDES = 18  # directions tried for the mirror's normal, over half a turn


@dataclass(frozen=True)
class Tree:
    """A skeleton in rest.

    Attributes:
        parents: `[N]`, -1 for the root, row 0; parents come first. heads: `[N, 3]`, Z up.
        children: rows by row. reach: `[N]` the longest way from each row down to a leaf's tip. tips: `[N, 3]` that tip.
        total: `[N]` the length of all bones from each row down. span: the longest way along bones between two tips.
    """

    parents: np.ndarray
    heads: np.ndarray
    children: tuple[tuple[int, ...], ...]
    reach: np.ndarray
    tips: np.ndarray
    total: np.ndarray
    span: float


@dataclass(frozen=True)
class Mirror:
    """A plane through the root: its normal `[3]`, and whether the rest pose is symmetric about it."""

    normal: np.ndarray
    fits: bool


def make_tree(parents, heads, tails) -> Tree:
    """A tree from bones; only leaves' tails count, and none longer than the bone above it."""
    parents, heads = np.asarray(parents), np.asarray(heads, dtype=np.float64)
    count = len(parents)
    children = [[] for _ in range(count)]
    for row in range(1, count):
        children[parents[row]].append(row)
    lengths = np.linalg.norm(heads - heads[np.maximum(parents, 0)], axis=1)
    ends = heads.copy()
    for row in range(count):
        if not children[row]:
            ends[row] = heads[row] + _leaf(tails[row] - heads[row], lengths[row])
    reach = np.linalg.norm(ends - heads, axis=1)
    tips, total, span = ends.copy(), reach.copy(), 0.0
    for row in range(count - 1, 0, -1):
        parent, way = parents[row], reach[row] + lengths[row]
        span = max(span, way + reach[parent])
        total[parent] += total[row] + lengths[row]
        if way > reach[parent]:
            reach[parent], tips[parent] = way, tips[row]
    return Tree(parents, heads, tuple(map(tuple, children)), reach, tips, total, max(span, reach.max(), 1e-9))


def _leaf(step, longest: float) -> np.ndarray:
    """A leaf's tail against its head; importers make tails up, so it isn't longer than the bone above."""
    length = np.linalg.norm(step)
    return step * min(1.0, longest / length) if length > 0 else step


def below(tree: Tree, row: int) -> list[int]:
    """A row and all under it, parents first."""
    rows = [row]
    for each in rows:
        rows.extend(tree.children[each])
    return rows


def find_mirror(tree: Tree) -> Mirror:
    """The upright plane through the root that maps most of the skeleton's branches on others."""
    angles = np.pi * np.arange(SIDES) / SIDES
    normals = np.stack((np.cos(angles), np.sin(angles), 0 * angles), axis=1)
    scores = [_paired_length(tree, normal) for normal in normals]
    best = max(scores)
    # Of equals the first, X, for that is where Blender's own mirroring looks.
    chosen = next(normal for normal, score in zip(normals, scores, strict=True) if score >= 0.98 * best)
    return Mirror(_turned_onto(tree, chosen), best > MIRRORED_SHARE * tree.total[0])


def _turned_onto(tree: Tree, normal) -> np.ndarray:
    """The normal, turned to where the pairs say that it is."""
    total = np.zeros(3)
    for first, second in _all_pairs(tree, normal):
        total += tree.tips[first] - tree.tips[second]
    total[2] = 0.0
    length = np.linalg.norm(total)
    return total / length if length > 0.1 * tree.span else normal


def _paired_length(tree: Tree, normal) -> float:
    """The length of all bones in branches that have a partner, more the better they fit."""
    return sum(
        (tree.total[first] + tree.total[second]) * (1 - 0.5 * _miss(tree, first, second, normal))
        for first, second in _all_pairs(tree, normal)
    )


def _all_pairs(tree: Tree, normal) -> list[tuple[int, int]]:
    """Partners below every row that is on the axis."""
    pairs, axis = [], [0]
    for row in axis:
        found, rest = _mirrored_children(tree, row, normal)
        pairs += found
        axis += rest
    return pairs


def pair_children(tree: Tree, row: int, mirror: Mirror) -> tuple[list[tuple[int, int]], list[int]]:
    """Partners among a row's children, the one on the normal's side first; and the children that have none.

    Partners are where the mirror says, or where the rest pose isn't symmetric, of the same lengths.
    """
    normal = mirror.normal
    pairs, rest = _mirrored_children(tree, row, normal)
    aside = {child: _aside(tree, child, normal) > ASIDE_SHARE * tree.reach[child] for child in rest}
    for first in rest:
        for second in rest:
            beside = not mirror.fits or (aside[first] and aside[second])
            if first < second and beside and _are_alike(tree, first, second):
                pairs.append(max((first, second), (second, first), key=lambda pair: tree.tips[pair[0]] @ normal))
                return pairs, [child for child in rest if child not in (first, second)]
    return pairs, rest


def _aside(tree: Tree, row: int, normal) -> float:
    """How far beside the mirror plane a branch lies on average."""
    return abs((tree.heads[below(tree, row)].mean(axis=0) - tree.heads[0]) @ normal)


def _are_alike(tree: Tree, first: int, second: int) -> bool:
    """Whether two branches have the same lengths and part ways."""
    sizes = tree.reach[[first, second]], tree.total[[first, second]]
    alike = all(each.min() > (1 - ALIKE) * each.max() for each in sizes) and len(below(tree, first)) > 1
    apart = np.linalg.norm(tree.tips[first] - tree.tips[second]) > APART_SHARE * sizes[0].max()
    return alike and apart and len(below(tree, first)) == len(below(tree, second))


def _mirrored_children(tree: Tree, row: int, normal) -> tuple[list[tuple[int, int]], list[int]]:
    """Partners by the mirror alone, the nearest first."""
    children = tree.children[row]
    misses = [(_miss(tree, first, second, normal), first, second) for first in children for second in children]
    pairs, used = [], set()
    for miss, first, second in sorted(misses):
        if miss < 1 and first not in used and second not in used:
            pairs.append((first, second))
            used |= {first, second}
    return pairs, [child for child in children if child not in used]


def _miss(tree: Tree, first: int, second: int, normal) -> float:
    """How far two branches are from each other's mirror image, 1 where it is too far for partners; infinite where the
    first isn't on the normal's side, or they aren't of a size."""
    base = tree.heads[0]
    sides = [max(((each[row] - base) @ normal for each in (tree.tips, tree.heads)), key=abs) for row in (first, second)]
    if min(sides[0], -sides[1]) < APART_SPANS * tree.span:
        return np.inf
    sizes = tree.reach[[first, second]]
    if any(max(each) > 2 * min(each) for each in ((sides[0], -sides[1]), sizes, tree.total[[first, second]])):
        return np.inf
    away = [np.linalg.norm(_mirrored(each[first], base, normal) - each[second]) for each in (tree.heads, tree.tips)]
    return float(max(away) / (MATCH_SHARE * sizes.max() + MATCH_SPANS * tree.span))


def _mirrored(point, base, normal) -> np.ndarray:
    return point - 2 * ((point - base) @ normal) * normal
