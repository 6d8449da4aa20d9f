"""Forests of scikit-learn, one for all classes, grown a few trees at a time.

A forest of 100 trees over 270,000 patches and 43 classes takes 22 GB as one object of scikit-learn. Here a few trees
are grown, score val and test, are stored compactly and let go; the scores are those of the whole forest.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, fields
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import safetensors.numpy
import sklearn
from sklearn.utils import check_random_state

from earthprobe.errors import UserError
from earthprobe.probes.distinct import distinct_rows
from earthprobe.probes.interface import Data, Fitted, Floats
from earthprobe.progress import Progress

log = logging.getLogger(__name__)

GROWING = 5 * 2**29
"""Bytes that the trees which grow at the same time may take, so that a job over the whole archive aims at 6 GiB."""

SCORED = ("val", "test")

SAID: Mapping[str, Any] = {"scikit_learn_version": sklearn.__version__}
"""What ``metrics.json`` says of a forest of scikit-learn's beside the number of nodes."""

MAX_INT = np.iinfo(np.int32).max
"""Below which scikit-learn draws the seed of a tree."""

Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int32]


class Grown(NamedTuple):
    """A tree, and what it says of val and test.

    Attributes:
        tree: its nodes.
        shares: those of ``tree`` in the precision in which trees are added up.
        rows: of each split, the row of ``shares`` that each patch comes to.
    """

    tree: "Tree"
    shares: Doubles | Floats
    rows: Mapping[str, Ints]


def grow(
    data: Data,
    *,
    forest: Callable[..., Any],
    bootstrap: bool,
    threads: int,
    numbers: range,
    max_depth: int | None = None,
    min_samples_leaf: int = 1,
    seed: int = 0,
) -> Iterator[Grown]:
    """Grows trees of a forest on train, which are those that scikit-learn grows at once with the same seed.

    Args:
        data: features and labels.
        forest: scikit-learn's class of it.
        bootstrap: whether a tree sees a bootstrap sample of the patches.
        threads: CPU threads.
        numbers: which trees of the forest.
        max_depth: of a tree; None grows it until its leaves are pure.
        min_samples_leaf: the fewest patches of a leaf.
        seed: of all that is drawn.
    """
    train = data.parts["train"]
    patches, classes = train.targets.shape
    targets = train.targets.argmax(axis=1) if data.task == "single" else train.targets
    tree_bytes = most_bytes(patches, classes, bootstrap=bootstrap)
    # Several a thread, so that few threads wait for the last tree of a batch.
    at_once = max(1, min(4 * threads, GROWING // tree_bytes))
    at_once -= at_once % threads if at_once > threads else 0
    log.info("%d trees at once", at_once)
    # One generator for all batches: each tree draws its seed from it, as in one large forest.
    random = check_random_state(seed)
    random.randint(MAX_INT, size=numbers.start)
    with ThreadPoolExecutor(threads) as pool:
        for first in range(numbers.start, numbers.stop, at_once):
            batch = forest(
                n_estimators=min(at_once, numbers.stop - first),
                max_depth=max_depth,
                min_samples_leaf=min_samples_leaf,
                random_state=random,
                n_jobs=threads,
            ).fit(train.features, targets)
            leaves = {
                split: list(
                    pool.map(lambda tree, at=data.parts[split]: tree.tree_.apply(at.features), batch.estimators_)
                )
                for split in SCORED
            }
            known = OneOf(batch.classes_, classes) if data.task == "single" else batch.classes_
            compact = list(pool.map(lambda tree, known=known: shrink(tree.tree_, known), batch.estimators_))
            for number, (tree, shares) in enumerate(compact):
                yield Grown(tree, shares, {split: tree.left[leaves[split][number]] for split in SCORED})
            del batch, leaves, compact


def fitted(grown: Iterable[Grown], data: Data, trees: int, said: Mapping[str, Any]) -> Fitted:
    """A forest of all its trees; val is scored, not used.

    A patch's score for a class is the mean over the trees of the class's share in the leaf.

    Args:
        grown: the trees in their order, from one job or from several.
        data: features and labels.
        trees: how many there are.
        said: for ``metrics.json``.

    Raises:
        UserError: there are others.
    """
    parts = {split: data.parts[split] for split in SCORED}
    totals = {split: np.zeros(part.targets.shape) for split, part in parts.items()}
    kept: list[Tree] = []
    progress = Progress(log, trees, "trees")
    for one in grown:
        for split, total in totals.items():
            total += one.shares[one.rows[split]]
        kept.append(one.tree)
        progress.add(1)
    if len(kept) != trees:
        raise UserError(f"--parts hold {len(kept)} trees, and the probe has {trees}: give each part once")
    nodes = sum(len(tree.feature) for tree in kept)
    log.info("%d trees, %d nodes", len(kept), nodes)
    scores = {split: (total / len(kept)).astype(np.float32) for split, total in totals.items()}
    return Fitted(scores, {"nodes": nodes, **said}, saver(kept, data))


def share_of(trees: int, part: int, parts: int) -> range:
    """The trees of a forest that one of several jobs grows."""
    return range(trees * part // parts, trees * (part + 1) // parts)


def write_part(path: Path, grown: Iterable[Grown]) -> None:
    """Writes the trees of one job, by which the whole forest is the same to the byte as that of a single job."""
    arrays: dict[str, npt.NDArray[Any]] = {}
    for number, one in enumerate(grown):
        arrays |= {f"{number}.{field.name}": getattr(one.tree, field.name) for field in fields(Tree)}
        arrays |= {f"{number}.rows.{split}": rows for split, rows in one.rows.items()}
        arrays[f"{number}.exact"] = one.shares
    path.write_bytes(safetensors.numpy.save(arrays))


def read_part(path: Path) -> Iterator[Grown]:
    """The trees that :func:`write_part` wrote, one after the other."""
    with safetensors.safe_open(path, "np") as file:
        count = sum(key.endswith(".exact") for key in file.keys())  # noqa: SIM118 - no dictionary
        for number in range(count):
            tree = Tree(**{field.name: file.get_tensor(f"{number}.{field.name}") for field in fields(Tree)})
            rows = {split: file.get_tensor(f"{number}.rows.{split}") for split in SCORED}
            yield Grown(tree, file.get_tensor(f"{number}.exact"), rows)


def put_together(
    data: Data, *, said: Mapping[str, Any], parts: Sequence[Path], n_estimators: int = 100, **_: Any
) -> Fitted:
    """The forest of trees that several jobs have grown, which all other options have shaped already."""
    return fitted(chain.from_iterable(map(read_part, parts)), data, n_estimators, said)


def saver(trees: Sequence["Tree"], data: Data) -> Callable[[Path], None]:
    """What writes a forest under a given path, as :class:`Forest` reads it."""
    arrays: dict[str, npt.NDArray[Any]] = {"mean": data.mean, "std": data.std}
    for number, tree in enumerate(trees):
        arrays |= {f"{number}.{field.name}": getattr(tree, field.name) for field in fields(Tree)}

    def save(path: Path) -> None:
        # Written as bytes: save_file would put another file in this one's place.
        path.write_bytes(safetensors.numpy.save(arrays))

    return save


def most_bytes(patches: int, classes: int, bootstrap: bool) -> int:
    """The most memory that a growing tree takes.

    A tree has at most two nodes a distinct patch; a bootstrap sample holds 63 % of the patches. A node takes 64 bytes
    and two float64 a class (scikit-learn's ``Tree``), and the arrays grow by doubling.
    """
    nodes = 2 * patches * (0.64 if bootstrap else 1)
    return int(nodes * (64 + 16 * classes) * 2)


@dataclass
class Tree:
    """The nodes of a tree, its root first.

    Attributes:
        feature: the dimension that decides; -1 in a leaf.
        threshold: a patch goes left if its value is not above this. Rounded down to float32, it decides about float32
            values as scikit-learn's float64 does.
        left: the left child; in a leaf its row in ``shares``.
        right: the right child.
        shares: distinct leaves, shape (rows, classes): the share of each class.
    """

    feature: npt.NDArray[np.int32]
    threshold: Floats
    left: npt.NDArray[np.int32]
    right: npt.NDArray[np.int32]
    shares: Floats


class OneOf(NamedTuple):
    """Classes of which a patch has one.

    Attributes:
        known: those that train has.
        classes: how many there are.
    """

    known: npt.NDArray[np.int64]
    classes: int


def shrink(tree: Any, known: list[npt.NDArray[np.bool_]] | OneOf) -> tuple[Tree, Doubles]:
    """The compact form of a tree of scikit-learn, and its shares in float64.

    Args:
        tree: a ``sklearn.tree._tree.Tree``.
        known: of each class, the values that occur in train: where it has one alone, the share is that, 1 or 0.
    """
    leaf = tree.children_left < 0
    if isinstance(known, OneOf):
        shares = np.zeros((np.count_nonzero(leaf), known.classes))
        shares[:, known.known] = tree.value[leaf, 0]
    else:
        shares = np.empty((np.count_nonzero(leaf), len(known)))
        for column, values in enumerate(known):
            shares[:, column] = tree.value[leaf, column, 1] if len(values) == 2 else float(values[0])
    distinct, row = distinct_rows(shares)
    left = tree.children_left.astype(np.int32)
    left[leaf] = row
    threshold = tree.threshold.astype(np.float32)
    above = threshold > tree.threshold
    threshold[above] = np.nextafter(threshold[above], np.float32(-np.inf))
    feature = np.where(leaf, -1, tree.feature).astype(np.int32)
    return Tree(feature, threshold, left, tree.children_right.astype(np.int32), distinct.astype(np.float32)), distinct


@dataclass
class Forest:
    """A forest that :func:`grow` saved.

    Attributes:
        trees: its trees.
        mean: subtracted from each dimension.
        std: by which each dimension is divided.
    """

    trees: list[Tree]
    mean: Floats
    std: Floats

    @classmethod
    def read(cls, path: Path) -> "Forest":
        """Reads ``model.safetensors``; nothing in it is run."""
        arrays = safetensors.numpy.load_file(path)
        count = sum(key.endswith(".feature") for key in arrays)
        trees = [Tree(**{field.name: arrays[f"{i}.{field.name}"] for field in fields(Tree)}) for i in range(count)]
        return cls(trees, arrays["mean"], arrays["std"])

    def scores(self, embeddings: Floats) -> Floats:
        """Scores patches.

        Args:
            embeddings: as in the feature set, not standardised, shape (patches, dimensions).

        Returns:
            A probability a class, shape (patches, classes).
        """
        values = (embeddings - self.mean) / self.std
        total = np.zeros((len(values), self.trees[0].shares.shape[1]))
        for tree in self.trees:
            node = np.zeros(len(values), dtype=np.int64)
            inner = np.flatnonzero(tree.feature[node] >= 0)
            while len(inner):
                here = node[inner]
                goes_left = values[inner, tree.feature[here]] <= tree.threshold[here]
                node[inner] = np.where(goes_left, tree.left[here], tree.right[here])
                inner = inner[tree.feature[node[inner]] >= 0]
            total += tree.shares[tree.left[node]]
        return (total / len(self.trees)).astype(np.float32)
