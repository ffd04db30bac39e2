"""Which files belong together, and which split each group goes to.

Files are joined by every person and source clip that they share, by equal bytes and by nearly equal
content. What is joined, however long the chain, is one group and goes to one split.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.sparse.csgraph import breadth_first_order, connected_components

from training.prepare.links import ANY, Index, Links
from training.prepare.settings import OnLeak
from training.sample import SPLITS, Split
from training.splits import choose_split


@dataclass(frozen=True, slots=True)
class Crossing:
    """A chain from a file of one split to a file that must not be in it.

    Attributes:
        files: their numbers, from one end to the other.
        shared: what each shares with the next.
    """

    files: list[int]
    shared: list[str]


@dataclass(frozen=True, slots=True)
class Groups:
    """What became of every file.

    Attributes:
        names: of the groups; the alphabetically first identity of each.
        of_file: [F], number of its group.
        splits: of the groups.
        leaking: bool [F], left out because it ties two splits together.
    """

    names: list[str]
    of_file: Index
    splits: list[Split]
    leaking: NDArray[np.bool_]


def form_groups(links: Links, seed: int, on_leak: OnLeak) -> Groups | Crossing:
    """Groups and their splits, or the first crossing where `on_leak` refuses any.

    With "leave-out", a file of several identities joins only the group of the first. It is left out
    if the others went elsewhere. Of identities that official splits share, the scarcer files are
    kept: those for testing before those for validation before those for training.
    """
    graph = _graph(links, links.first_identity if on_leak == "leave-out" else np.s_[:])
    _, component = connected_components(graph, directed=False)
    files = len(links.same)
    of_pair = component[files + links.of_identity]
    allowed = np.full(component.max(initial=-1) + 1, ANY, np.uint8)
    np.bitwise_and.at(allowed, of_pair, links.splits[links.of_file])
    torn = np.flatnonzero(allowed == 0)
    if len(torn) and on_leak == "refuse":
        return _crossing(links, graph, np.flatnonzero(component[:files] == torn[0]))
    for split in ("train", "val", "test"):  # the last one stays
        bit = np.uint8(1 << SPLITS.index(split))
        here = of_pair[links.splits[links.of_file] == bit]
        allowed[np.intersect1d(here, torn)] = bit
    names = _names(links, component[files:], len(allowed))
    splits = [choose_split(name, seed, _splits(int(mask))) for name, mask in zip(names, allowed, strict=True)]
    chosen = np.asarray([1 << SPLITS.index(split) for split in splits], np.uint8)
    wrong = chosen[of_pair] != chosen[component[links.of_file]]
    wrong |= (chosen[of_pair] & links.splits[links.of_file]) == 0
    leaking = np.zeros(files, bool)
    leaking[links.of_file[wrong]] = True
    return Groups(names, component[:files].astype(np.int64), splits, leaking)


def _graph(links: Links, pairs: NDArray[np.bool_] | slice) -> csr_array:
    """Files, then identities, as nodes; what ties them together as edges."""
    files = len(links.same)
    copies = np.flatnonzero(links.same != np.arange(files))
    starts = np.concatenate([links.of_file[pairs], copies, links.near[:, 0]])
    ends = np.concatenate([files + links.of_identity[pairs], links.same[copies], links.near[:, 1]])
    nodes = files + len(links.identities)
    return csr_array((np.ones(len(starts), np.int8), (starts, ends)), shape=(nodes, nodes))


def _names(links: Links, component: NDArray[np.int32], count: int) -> list[str]:
    names = [""] * count
    for number in sorted(range(len(links.identities)), key=links.identities.__getitem__, reverse=True):
        names[component[number]] = links.identities[number]
    return names


def _splits(mask: int) -> tuple[Split, ...]:
    return tuple(split for place, split in enumerate(SPLITS) if mask >> place & 1)


def _crossing(links: Links, graph: csr_array, members: Index) -> Crossing:
    """A shortest chain between files that must not be in one split."""
    bound = members[np.bitwise_count(links.splits[members]) == 1][0]
    # Some file of the group is on the wrong side of this one; the nearest to that may be nearer still.
    chain = _chain(links, graph, _chain(links, graph, bound)[0])
    files = len(links.same)
    shared = [
        f"identity {links.identities[node - files]}" if node >= files else "content, the same or nearly so,"
        for before, node in pairwise(chain)
        if node >= files or before < files
    ]
    return Crossing([node for node in chain if node < files], shared)


def _chain(links: Links, graph: csr_array, start: int) -> list[int]:
    """Nodes from the nearest file that cannot be in a split of `start`'s, to `start`."""
    order, before = breadth_first_order(graph, start, directed=False)
    reached = order[order < len(links.same)]
    node = reached[(links.splits[reached] & links.splits[start]) == 0][0]
    chain = [int(node)]
    while node != start:
        node = before[node]
        chain.append(int(node))
    return chain
