"""A Markov random field as the flat arrays that compiled sweeps walk through."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from harmonium.kernels.graph import Pairs, Scan, Tables, colour_classes
from harmonium.models.factors import Factors


class FlatGraph:
    """The structure of a field, worked out once; potentials may change between sweeps.

    Where all variables have two states and no factor joins more than two, the field of a variable is linear
    in its neighbours and `pairs` is used; `tables` serves everything else.
    """

    def __init__(self, groups: Sequence[Factors], cardinalities: Sequence[int]) -> None:
        self.groups = [group for group in groups if group.shape]
        self.states = np.array(cardinalities, np.int32)
        self.variables = [group.variables.cpu().numpy() for group in self.groups]
        joined = [
            scope[:, [a, b]]
            for scope in self.variables
            for a, b in itertools.combinations(range(scope.shape[1]), 2)
        ]
        edges = np.concatenate([*joined, np.empty((0, 2), np.int64)])
        self.colours = colour_classes(edges, len(self.states))
        self.scan = Scan.of(self.colours).without(np.flatnonzero(self.states == 1))
        self.pairwise = bool((self.states <= 2).all()) and all(
            scope.shape[1] <= 2 for scope in self.variables
        )
        self._laid_out = False

    def _lay_out(self) -> None:
        """For every variable: its factors, its stride in them, and the other members with theirs."""
        self._laid_out = True
        site: list[np.ndarray] = []
        offset: list[np.ndarray] = []
        stride: list[np.ndarray] = []
        members: list[list[np.ndarray]] = []
        jumps: list[list[int]] = []
        begin = 0
        for group, scope in zip(self.groups, self.variables, strict=True):
            shared = len(group.tables()) == 1
            first = np.full(len(scope), begin) if shared else begin + group.entries * np.arange(len(scope))
            begin += group.entries * (1 if shared else len(scope))
            for k in range(scope.shape[1]):
                others = [m for m in range(scope.shape[1]) if m != k]
                site.append(scope[:, k])
                offset.append(first)
                stride.append(np.full(len(scope), group.strides[k]))
                members.append([scope[:, m] for m in others])
                jumps.append([group.strides[m] for m in others])
        sites = _joined(site)
        order = np.argsort(sites, kind="stable")
        counts = np.concatenate(
            [np.full(len(s), len(m)) for s, m in zip(site, members, strict=True)] or [sites]
        )
        starts = np.concatenate([[0], np.cumsum(counts[order])])
        place = np.empty(len(sites), np.int64)
        place[order] = starts[:-1]
        self.members = np.zeros(starts[-1], np.int32)
        self.member_strides = np.zeros(starts[-1], np.int32)
        done = 0
        for own, variables, steps in zip(site, members, jumps, strict=True):
            at = place[done : done + len(own)]
            for k, (variable, jump) in enumerate(zip(variables, steps, strict=True)):
                self.members[at + k], self.member_strides[at + k] = variable, jump
            done += len(own)
        self.factor = np.concatenate([[0], np.cumsum(np.bincount(sites, minlength=len(self.states)))])
        self.offset = _joined(offset)[order]
        self.stride = _joined(stride)[order].astype(np.int32)
        self.member = starts

    def tables(self) -> Tables:
        """Everything, with the potentials of now."""
        if not self._laid_out:
            self._lay_out()
        values = [group.tables().detach().cpu().numpy().ravel() for group in self.groups]
        return Tables(
            self.states,
            self.factor,
            self.offset,
            self.stride,
            self.member,
            self.members,
            self.member_strides,
            np.concatenate([*values, np.empty(0)]).astype(np.float32),
        )

    def pairs(self) -> Pairs:
        """Biases and weights over 0/1 states, with the potentials of now."""
        bias = np.zeros(len(self.states))
        edges, weights = [np.empty((0, 2), np.int64)], [np.empty(0)]
        for group, scope in zip(self.groups, self.variables, strict=True):
            table = group.tables().detach().double().cpu().numpy().reshape(-1, *group.shape)
            table = np.broadcast_to(table, (len(scope), *group.shape))
            if table.shape[1:] == (2, 2):
                edges.append(scope)
                weights.append(table[:, 1, 1] + table[:, 0, 0] - table[:, 0, 1] - table[:, 1, 0])
            for k, q in enumerate(group.shape):
                if q == 2:  # the difference that this variable makes while the other is in state 0
                    own = np.moveaxis(table, k + 1, 1).reshape(len(scope), 2, -1)[:, :, 0]
                    bias += np.bincount(scope[:, k], own[:, 1] - own[:, 0], minlength=len(bias))
        return Pairs.of(np.concatenate(edges), np.concatenate(weights), bias)


def _joined(arrays: list[np.ndarray]) -> np.ndarray:
    return np.concatenate([*arrays, np.empty(0, np.int64)]).astype(np.int64)
