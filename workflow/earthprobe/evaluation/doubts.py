"""Labels that probes doubt: a list to look at, by confident learning (Northcutt, Jiang and Chuang 2021).

Each class is a question of its own, has it or not (https://doi.org/10.1613/jair.1.12125; of several classes a patch,
Thyagarajan et al. 2022, https://arxiv.org/abs/2211.13895). Both figures are cleanlab's. A doubt is no proof: a probe
that knows little of a class doubts all its labels.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Bools = npt.NDArray[np.bool_]
Floats = npt.NDArray[np.float32]


class Doubts(NamedTuple):
    """How far labels are doubted.

    Attributes:
        quality: the probability that a label is right as the scores have it: the score of a class that the patch has,
            and what is left of 1 of one that it lacks; shape (patches, classes), NaN where no probe scored the patch.
        doubted: which labels confident learning would take for wrong, the same shape.
    """

    quality: Floats
    doubted: Bools


def doubts(targets: Bools, scores: Floats) -> Doubts:
    """What scores say of labels.

    Args:
        targets: which classes a patch has, shape (patches, classes).
        scores: a probability a class, of patches that the probe has not seen, the same shape.
    """
    from cleanlab.multilabel_classification import rank  # takes a second
    from cleanlab.multilabel_classification.filter import find_multilabel_issues_per_class

    labels = [np.flatnonzero(row).tolist() for row in targets]
    quality = np.asarray(rank.get_label_quality_scores_per_class(labels, scores), dtype=np.float32)
    doubted = np.zeros(targets.shape, dtype=bool)
    # A class that all patches have, or none, is no question.
    asked = np.flatnonzero(targets.any(axis=0) & ~targets.all(axis=0))
    if len(asked):
        of_asked = [np.flatnonzero(row).tolist() for row in targets[:, asked]]
        doubted[:, asked] = find_multilabel_issues_per_class(of_asked, scores[:, asked], n_jobs=1)
    return Doubts(quality, doubted)
