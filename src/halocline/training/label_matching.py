"""Matching any labels that need no forces: dipoles, quadrupoles, polarizabilities, charges; frames may lack some of them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from halocline import registry
from halocline.errors import UserError
from halocline.labels import QUANTITIES
from halocline.models.base import Graph
from halocline.models.graphs import build_graph, join_graphs
from halocline.models.heads.base import Head
from halocline.models.heads.sources import SourceHead
from halocline.models.model import Model
from halocline.training.data import LabelledFrame
from halocline.training.loop import Objective

VALIDATION_BATCH_ATOMS = 4096
"""Largest number of atoms that validation evaluates at once: what a batch holds in memory grows with it."""


class LabelledGraphs:
    """Graphs and labels of configurations; NaN where a frame has no label.

    Args:
        frames: configurations.
        heads: quantities.
        cutoff: Å.
        charges: species -> molecular charge, e; every molecule counts as neutral where it is empty.
        dtype: of the graphs and labels.
    """

    def __init__(
        self,
        frames: Sequence[LabelledFrame],
        heads: Sequence[str],
        cutoff: float,
        charges: Mapping[str, float],
        dtype: torch.dtype = torch.float32,
    ) -> None:
        self.graphs = [build_graph(frame.state, cutoff, dtype, charges or None) for frame in frames]
        self.labels = {head: [_label(frame, head, dtype) for frame in frames] for head in heads}

    def __len__(self) -> int:
        return len(self.graphs)

    def batch(self, samples: Sequence[int]) -> tuple[Graph, dict[str, Tensor]]:
        """Some configurations as one graph, and their labels."""
        graph = join_graphs([self.graphs[index] for index in samples])
        return graph, {head: torch.cat([labels[index] for index in samples]) for head, labels in self.labels.items()}

    def everything(self) -> tuple[Graph, dict[str, Tensor]]:
        """All configurations without their pairs: what means and spreads are taken of."""
        bare = [replace(graph, pairs=graph.pairs[:, :0], shifts=graph.shifts[:0]) for graph in self.graphs]
        return join_graphs(bare), {head: torch.cat(labels) for head, labels in self.labels.items()}

    def batches(self, atoms: int = VALIDATION_BATCH_ATOMS) -> list[tuple[Graph, dict[str, Tensor]]]:
        """All configurations in batches of at most ``atoms`` atoms, or of one configuration where that is larger."""
        parts: list[list[int]] = [[]]
        size = 0
        for index, graph in enumerate(self.graphs):
            if parts[-1] and size + len(graph.types) > atoms:
                parts.append([])
                size = 0
            parts[-1].append(index)
            size += len(graph.types)
        return [self.batch(part) for part in parts if part]


def _label(frame: LabelledFrame, name: str, dtype: torch.dtype) -> Tensor:
    """Label with a leading axis of frames (or atoms); NaN throughout where there is none."""
    quantity = QUANTITIES[name]
    leading = len(frame.state.positions) if quantity.extent == "atom" else 1
    if name not in frame.labels:
        return torch.full((leading, *quantity.shape), math.nan, dtype=dtype)
    return torch.as_tensor(np.asarray(frame.labels[name]).reshape(leading, *quantity.shape), dtype=dtype)


def require_some_labels(frames: Sequence[LabelledFrame], names: Sequence[str], what: str) -> dict[str, int]:
    """Number of frames that have each label; refuses to train on nothing.

    A label of which any component is NaN counts as missing.

    Raises:
        UserError: no frame, a label that no frame has, a label that is infinite, or a frame without any of the labels.
    """
    if not frames:
        raise UserError("there is no frame", what, "Label some configurations first, or split so that no part is empty.")
    counts, labelled = dict.fromkeys(names, 0), np.zeros(len(frames), dtype=bool)
    for index, frame in enumerate(frames):
        for name in names:
            value = np.asarray(frame.labels.get(name, math.nan), dtype=np.float64)
            if np.isinf(value).any():
                raise UserError(f"label '{name}' holds infinity, first in frame {index}", what, "Label this frame again, or remove it.")
            known = not np.isnan(value).any()
            counts[name] += known
            labelled[index] |= known
    for name, count in counts.items():
        if not count:
            raise UserError(f"none of {len(frames)} frames has a label '{name}'", what, f"Label some with '{name}', or do not ask for it.")
    if not labelled.all():
        problem = f"{int((~labelled).sum())} of {len(frames)} frames have no label at all, the first is frame {int(np.argmin(labelled))}"
        raise UserError(problem, what, f"Label them with one of {', '.join(names)}, or leave them out.")
    return counts


def molecular_charges(frames: Sequence[LabelledFrame], known: Mapping[str, float] | None, what: str) -> dict[str, float]:
    """Charge of every species of the frames, e: as given, or of the registered molecule.

    Raises:
        UserError: a species that is neither.
    """
    species = sorted({name for frame in frames for name in frame.state.topology.species})
    given = known or {}
    return {name: float(given[name] if name in given else registry.get("molecules", name, what).charge) for name in species}


def require_heads(heads: Sequence[str], others: Sequence[str], where: str) -> None:
    """Refuse what no head predicts.

    Args:
        heads: wanted. others: quantities that are trained another way. where: named in the error.

    Raises:
        UserError: no head, or a name that is none.
    """
    known = [name for name in registry.available("heads") if name not in others]
    wrong = [head for head in heads if head not in known]
    if wrong or not heads:
        raise UserError(f"heads {list(heads)} cannot be trained here", where, f"Name at least one of: {', '.join(known)}.")


def _checked_weights(weights: Mapping[str, float], heads: Sequence[str]) -> dict[str, float]:
    """Factor of each head, one where none is given.

    Raises:
        UserError: a name that is no head of the model, or a factor that is negative or not finite.
    """
    for name, value in weights.items():
        if name not in heads:
            raise UserError(f"there is a loss weight for '{name}', which is not trained", "loss weights", f"Heads: {', '.join(heads)}.")
        if not 0.0 <= value < math.inf:
            raise UserError(f"the loss weight of '{name}' is {value}", "loss weights", "Use a finite number, zero or more.")
    return {head: weights.get(head, 1.0) for head in heads}


class LabelMatching(Objective):
    """Weighted sum over heads of the mean squared error over the squared spread of the label; see :meth:`Head.loss`.

    Args:
        model: with one head for each label.
        train, valid: graphs and labels.
        weights: quantity -> factor of its term, 1 where none is given.
    """

    note = (100.0, "% of spread")

    def __init__(self, model: Model, train: LabelledGraphs, valid: LabelledGraphs, weights: Mapping[str, float] | None = None) -> None:
        self.model, self.train, self.n_samples = model, train, len(train)
        self.weights = _checked_weights(weights or {}, list(train.labels))
        graph, labels = train.everything()
        index = model.representation.type_index[graph.types]
        self.spreads = {head: self._head(head).spread(label, graph, index) for head, label in labels.items()}
        self.valid = valid.batches()
        self.sums: dict[str, tuple[float, int]] = {}

    def _head(self, name: str) -> Head:
        head = self.model.heads[name]
        assert isinstance(head, Head)
        return head

    def loss(self, samples: list[int]) -> Tensor:
        graph, labels = self.train.batch(samples)
        output = self.model(graph)
        total = graph.positions.new_zeros(())
        for name, label in labels.items():
            squares, count = self._head(name).squares(output[name], label, graph)
            self._add(self.sums, name, float(squares.detach()), count)
            total = total + self.weights[name] * squares / (max(count, 1) * self.spreads[name] ** 2)
        return total

    def training_errors(self) -> dict[str, float]:
        """Root-mean-square errors relative to the spread: ``total`` over all heads, and each head."""
        errors, self.sums = self._relative(self.sums), {}
        return errors

    def validation_errors(self) -> dict[str, float]:
        sums: dict[str, tuple[float, int]] = {}
        with torch.no_grad():
            for graph, labels in self.valid:
                output = self.model(graph)
                for name, label in labels.items():
                    squares, count = self._head(name).squares(output[name], label, graph)
                    self._add(sums, name, float(squares), count)
        return self._relative(sums)

    @staticmethod
    def _add(sums: dict[str, tuple[float, int]], name: str, squares: float, count: int) -> None:
        before, number = sums.get(name, (0.0, 0))
        sums[name] = before + squares, number + count

    def _relative(self, sums: Mapping[str, tuple[float, int]]) -> dict[str, float]:
        errors = {name: math.sqrt(total / count) / self.spreads[name] for name, (total, count) in sums.items() if count}
        if not errors:
            return {}
        return {"total": math.sqrt(sum(value**2 for value in errors.values()) / len(errors)), **errors}


def set_means(model: Model, samples: LabelledGraphs) -> None:
    """What the heads know without learning: charges of the types, mean polarizabilities."""
    graph, labels = samples.everything()
    index = model.representation.type_index[graph.types]
    heads = [head for name, head in model.heads.items() if isinstance(head, Head) and name in labels]
    moments = [head for head in heads if isinstance(head, SourceHead)]
    if model.sources is not None and moments:
        model.sources.set_means(moments, labels, graph, index)
    for head in heads:
        head.set_means(labels[head.name], graph, index)
