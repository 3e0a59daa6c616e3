"""Word vectors from counts, as the first weights of the network's embedding table.

Tokens that occur near each other, weighted by positive pointwise mutual information and reduced by
a truncated singular value decomposition (Levy & Goldberg 2014; Levy et al. 2015,
doi:10.1162/tacl_a_00134). Takes a minute and spares the network hours of looking.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.sparse import coo_matrix, csr_matrix
from sklearn.utils.extmath import randomized_svd

NEAR = 4  # tokens to either side
SMOOTH = 0.75  # exponent of the context counts (Levy et al. 2015)
SPREAD = 0.04  # root mean square of the values


def embeddings(
    rows: Sequence[npt.NDArray[np.int32]], vocabulary: int, size: int, seed: int
) -> npt.NDArray[np.float32]:
    """Return [vocabulary, size]; tokens that were not seen get small random values."""
    counts = csr_matrix((vocabulary, vocabulary), dtype=np.float32)
    flat = np.concatenate([np.append(ids, -1) for ids in rows])
    for distance in range(1, NEAR + 1):
        left, right = flat[:-distance], flat[distance:]
        apart = np.cumsum(flat < 0)  # two tokens of one text have the same number
        same = (apart[:-distance] == apart[distance:]) & (left >= 0) & (right >= 0)
        weight = np.full(int(same.sum()), 1 / distance, np.float32)
        size_ = (vocabulary, vocabulary)
        counts = counts + coo_matrix((weight, (left[same], right[same])), size_).tocsr()
    counts = (counts + counts.T).tocoo()
    each = np.asarray(counts.sum(1)).ravel()
    context = each**SMOOTH / (each**SMOOTH).sum()
    share = counts.data / np.maximum(each[counts.row], 1e-9)
    information = np.log(np.maximum(share / np.maximum(context[counts.col], 1e-12), 1e-12))
    positive = information > 0
    ppmi = csr_matrix(
        (information[positive], (counts.row[positive], counts.col[positive])), counts.shape
    )
    left_vectors, strength, _ = randomized_svd(ppmi, size, n_iter=3, random_state=seed)
    table = (left_vectors * np.sqrt(strength)).astype(np.float32)
    length = np.linalg.norm(table, axis=1, keepdims=True)
    table *= SPREAD * np.sqrt(size) / np.maximum(length, 1e-9)
    unseen = length[:, 0] < 1e-6
    random = np.random.default_rng(seed)
    table[unseen] = random.normal(0, SPREAD / 2, (int(unseen.sum()), size))
    return np.asarray(table, np.float32)
