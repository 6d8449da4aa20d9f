"""The innermost loop of resampled average precision, compiled; by itself, since numba takes time to import."""

import numba
import numpy as np
import numpy.typing as npt


@numba.njit(parallel=True, cache=True)
def sweep(
    member: npt.NDArray[np.int32],
    hit: npt.NDArray[np.bool_],
    last: npt.NDArray[np.bool_],
    weights: npt.NDArray[np.uint16],
    width: int,
) -> npt.NDArray[np.float64]:
    """Goes through the patches of each class from the highest score down, for all draws.

    Args:
        member: the cluster of each patch, by falling score, shape (classes, patches).
        hit: whether it has the class, the same shape.
        last: whether it is the last one with its score, the same shape.
        weights: how often each cluster is drawn, shape (clusters, draws).
        width: draws that a thread takes at a time.

    Returns:
        The average precision of each draw, shape (draws, classes): the sum over scores of what recall gains there,
        times the precision.
    """
    classes, patches = member.shape
    draws = weights.shape[1]
    blocks = (draws + width - 1) // width
    result = np.zeros((draws, classes))
    for job in numba.prange(classes * blocks):
        k, low = job // blocks, job % blocks * width
        high = min(low + width, draws)
        # Of 32 bits, of which a processor adds twice as many at a time as of float64.
        seen, found, gained = np.zeros(width, np.uint32), np.zeros(width, np.uint32), np.zeros(width, np.uint32)
        area = np.zeros(width)
        any_gained = False
        for i in range(patches):
            row = weights[member[k, i], low:high]
            for d in range(high - low):
                seen[d] += row[d]
            if hit[k, i]:
                any_gained = True
                for d in range(high - low):
                    gained[d] += row[d]
            if last[k, i] and any_gained:
                for d in range(high - low):
                    found[d] += gained[d]
                    area[d] += np.float64(gained[d]) * np.float64(found[d]) / max(np.float64(seen[d]), 1.0)
                    gained[d] = 0
                any_gained = False
        for d in range(high - low):
            result[low + d, k] = area[d] / max(np.float64(found[d]), 1.0)
    return result


@numba.njit(parallel=True, cache=True)
def gaps(
    member: npt.NDArray[np.int32],
    bins: npt.NDArray[np.uint8],
    missed: npt.NDArray[np.float32],
    weights: npt.NDArray[np.uint16],
    count: int,
    width: int,
) -> npt.NDArray[np.float64]:
    """By how much the scores of each bin miss what is true, added up without sign over bins, for all draws.

    Args:
        member: the cluster of each patch, shape (patches,).
        bins: of each score, shape (classes, patches).
        missed: the score less 1 where the patch has the class, the same shape.
        weights: how often each cluster is drawn, shape (clusters, draws).
        count: of bins.
        width: draws that a thread takes at a time.

    Returns:
        Shape (draws, classes); by the number of drawn patches, it is the calibration error.
    """
    classes, patches = bins.shape
    draws = weights.shape[1]
    blocks = (draws + width - 1) // width
    result = np.zeros((draws, classes))
    for job in numba.prange(classes * blocks):
        k, low = job // blocks, job % blocks * width
        high = min(low + width, draws)
        sums = np.zeros((count, width))
        for i in range(patches):
            row, here, miss = weights[member[i], low:high], sums[bins[k, i]], missed[k, i]
            for d in range(high - low):
                here[d] += row[d] * miss
        for d in range(high - low):
            total = 0.0
            for b in range(count):
                total += abs(sums[b, d])
            result[low + d, k] = total
    return result
