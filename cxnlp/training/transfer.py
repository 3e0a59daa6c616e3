"""Weights of a network whose labels were other ones → weights for these labels.

A label or trigger cue keeps its weights by its name; a new one starts as the network was made.
"""

from collections.abc import Mapping

import torch

from cxnlp.model.card import Labels


def carry_over(
    state: Mapping[str, torch.Tensor], old: Labels, fresh: Mapping[str, torch.Tensor], new: Labels,
    renamed: Mapping[str, str] | None = None,
) -> dict[str, torch.Tensor]:  # fmt: skip
    """Return `fresh` with everything that `state` knows of the same name.

    `renamed` gives the former name of a label that has a new one.
    """
    former = dict(renamed or {})
    result = {k: v.clone() for k, v in fresh.items()}
    for name, value in state.items():
        if not name.startswith(("comment_heads", "piece_heads", "lift")) and name in result:
            result[name] = value.clone()
    was = {f"touchpoint:{name}": f"touchpoint:{one}" for name, one in former.items()}
    known_cues = [c if c in old.cues else was.get(c, "") for c in new.cues]
    cues = [(i, old.cues.index(c)) for i, c in enumerate(known_cues) if c in old.cues]
    for matrix, heads in (("comment_heads", Labels.COMMENT), ("piece_heads", Labels.PIECE)):
        rows = _same(old, new, heads, former)
        weight, known = result[f"{matrix}.weight"], state[f"{matrix}.weight"]
        plain, plain_old = weight.shape[1] - len(new.cues), known.shape[1] - len(old.cues)
        for here, there in rows:
            weight[here, :plain] = known[there, :plain_old]
            weight[here, plain:] = 0  # a new trigger says nothing of a label that is not its own
            for to, origin in cues:
                weight[here, plain + to] = known[there, plain_old + origin]
            result[f"{matrix}.bias"][here] = state[f"{matrix}.bias"][there]
    for here, there in _same(old, new, ("touchpoints", "levers"), former):
        result["lift"][here] = state["lift"][there]
    return result


def _same(
    old: Labels, new: Labels, heads: tuple[str, ...], former: Mapping[str, str]
) -> list[tuple[int, int]]:
    """Return (row in the new matrix, row in the old one) of every label both have."""
    where, was, pairs = new.slices(heads), old.slices(heads), []
    for head in heads:
        names = list(getattr(old, head))
        for number, name in enumerate(getattr(new, head)):
            known = name if name in names else former.get(name, "")
            if known in names:
                pairs.append((where[head].start + number, was[head].start + names.index(known)))
    return pairs
