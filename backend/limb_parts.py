"""Limbs of a skeleton in rest: branches with a mirror partner, told from ears and whiskers; their fingers and toes."""

from dataclasses import dataclass

import numpy as np

from .symmetry import Mirror, Tree, below, pair_children

LIMB_SHARE = 0.3  # of the longest branch with a partner: shorter ones are no limbs, unless they reach down
HEAD_SHARE = 0.5  # the same for what hangs at the end of the axis, on the head
LOW_SHARE = 0.5  # of the way from the root down to the lowest tip: legs reach lower
SPLIT_SHARE = 0.5  # of its length: branches as long as this are limbs of their own that share a shoulder
DIGIT_SHARE = 0.45  # of a limb's length: digits are shorter
SIDE_SHARE = 0.3  # of its length: a branch without a partner that lies this far beside the mirror plane is a limb


@dataclass(frozen=True)
class Limb:
    """A limb.

    Attributes:
        first: its first row of the tree. rows: all of them. hangs_on: the axis's row that carries it.
        pair: the number that partners share.
    """

    first: int
    rows: tuple[int, ...]
    hangs_on: int
    pair: int


def find_limbs(tree: Tree, mirror: Mirror) -> tuple[list[Limb], set[int]]:
    """The limbs, and the rows of the axis that carries them."""
    axis, order, pairs = {0}, [0], []
    for row in order:
        partners, rest = pair_children(tree, row, mirror)
        pairs += [(row, pair) for pair in partners]
        for child in rest:
            aside = abs((tree.heads[below(tree, child)].mean(axis=0) - tree.heads[0]) @ mirror.normal)
            if aside > SIDE_SHARE * tree.reach[child] and tree.reach[child] > 0.1 * tree.span:
                pairs.append((row, (child,)))  # its partner is missing
            else:
                axis.add(child)
                order.append(child)
    size = max((_size(tree, row, pair) for row, pair in pairs), default=0.0)
    lowest = min((tree.tips[first][2] for _, pair in pairs for first in pair), default=0.0)
    low = tree.heads[0][2] - LOW_SHARE * max(tree.heads[0][2] - lowest, 0.0)

    def is_limb(row, pair):
        length = _size(tree, row, pair)
        at_end = row != 0 and not any(other != row and _is_above(tree, row, other) for other, _ in pairs)
        crowned = at_end and any(other != row and _is_above(tree, other, row) for other, _ in pairs)
        longer = [o for o, p in pairs if _size(tree, o, p) > length]
        if crowned and any(o not in (0, row) and _is_above(tree, o, row) for o in longer):
            return False  # legs at the hips, longer arms above them, and above these ears
        beside = any(o == row and _size(tree, o, p) >= HEAD_SHARE * size for o, p in pairs)
        share = HEAD_SHARE if crowned and not beside else LIMB_SHARE
        reaches_down = max(tree.tips[first][2] for first in pair) < low and length > 0.5 * LIMB_SHARE * size
        return length >= share * size or reaches_down

    limbs = []
    for row, pair in pairs:
        if is_limb(row, pair):
            split = [_split(tree, first) for first in pair]
            if len({len(firsts) for firsts in split}) > 1:
                split = [[first] for first in pair]
            base = len(limbs)
            for firsts in split:
                limbs += [Limb(each, tuple(below(tree, each)), row, base + at) for at, each in enumerate(firsts)]
    return limbs, axis


def _size(tree: Tree, row: int, pair) -> float:
    """How long a pair of branches is, the mean of both."""
    return float(np.mean([tree.reach[first] for first in pair]))


def _is_above(tree: Tree, upper: int, lower: int) -> bool:
    """Whether `upper` is among the rows above `lower`."""
    while lower > 0:
        lower = tree.parents[lower]
        if lower == upper:
            return True
    return False


def _split(tree: Tree, first: int) -> list[int]:
    """The first rows of the limbs that share a shoulder, from front to back by where they end; else the one limb's."""
    row = first
    while True:
        long = [child for child in tree.children[row] if tree.reach[child] >= SPLIT_SHARE * tree.reach[first]]
        if len(long) > 1:
            return sorted(long, key=lambda child: tuple(np.round(tree.tips[child][[1, 2]] / tree.span, 2)))
        if not long:
            return [first]
        row = long[0]


def split_digits(tree: Tree, limb: Limb) -> tuple[list[int], list[int]]:
    """A limb's rows without its fingers or toes, and those: what fans out near its end."""
    row = limb.first
    while tree.children[row]:
        fans = len(tree.children[row]) > 1
        if fans and all(tree.reach[child] <= DIGIT_SHARE * tree.reach[limb.first] for child in tree.children[row]):
            digits = [each for child in tree.children[row] for each in below(tree, child)]
            return [each for each in limb.rows if each not in set(digits)], digits
        row = max(tree.children[row], key=lambda child: tree.reach[child])
    return list(limb.rows), []
