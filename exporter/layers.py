"""Which parts of a branch may lose digits: its backbone, and nothing at either end."""

import math
from collections.abc import Callable, Iterable, Set

import onnx

from exporter.bodies import reads

Step = Callable[[onnx.NodeProto], list[onnx.NodeProto]]

LAYERS = {"Conv", "Gemm", "MatMul"}
"""Operators that have weights, and do nearly all the work."""


class Parts:
    """Names of a branch's nodes by where they stand; every node must have a name of its own."""

    def __init__(self, branch: onnx.ModelProto) -> None:
        self.nodes = {node.name: node for node in branch.graph.node}
        self._constants = {tensor.name for tensor in branch.graph.initializer}
        self._numbers = {tensor.name for tensor in branch.graph.initializer if math.prod(tensor.dims) == 1}
        self._makers = {output: node for node in branch.graph.node for output in node.output}
        self._users: dict[str, list[onnx.NodeProto]] = {}
        for node in branch.graph.node:
            for tensor in reads(node):
                self._users.setdefault(tensor, []).append(node)
        self._layers = {node.name for node in branch.graph.node if self._has_weights(node)}
        self._outputs = [output.name for output in branch.graph.output]

    @property
    def front(self) -> set[str]:
        """Preprocessing with the first layers, which see the noise of single pixels, and the mel front end.

        Everything above a first layer or a logarithm, and these themselves; the logarithm of a pooling by
        log-mean-exp belongs to the head.
        """
        logarithms = {name for name, node in self.nodes.items() if node.op_type == "Log"} - self.head
        first = {name for name in self._layers if not self._above({name}) & self._layers}
        return self._above(logarithms | first) | logarithms | first

    @property
    def head(self) -> set[str]:
        """The last layers on the way to an output, and all below them."""
        outputs = {self._makers[name].name for name in self._outputs}
        reached = outputs | self._reached(
            outputs, lambda node: [] if node.name in self._layers else self._sources(node)
        )
        last = reached & self._layers
        return last | self._below(last)

    @property
    def layers(self) -> list[str]:
        """The backbone's layers in their order, without front and head."""
        ends = self.front | self.head
        return [name for name in self.nodes if name in self._layers - ends]

    def between(self, op_types: Iterable[str]) -> list[str]:
        """Nodes of these types that have layers of the backbone above and below them.

        Not sums and products with one number: in bytes ORT (1.32) crashes on zero rows [0, C, 1, 1] of them
        where it has more than one thread.
        """
        layers = set(self.layers)
        inside = self._below(layers) & self._above(layers)
        return [
            name
            for name, node in self.nodes.items()
            if name in inside and node.op_type in set(op_types) and not self._takes_a_number(node)
        ]

    def _has_weights(self, node: onnx.NodeProto) -> bool:
        return node.op_type in LAYERS and node.input[1] in self._constants

    def _takes_a_number(self, node: onnx.NodeProto) -> bool:
        return node.op_type in {"Add", "Mul"} and not self._numbers.isdisjoint(node.input)

    def _sources(self, node: onnx.NodeProto) -> list[onnx.NodeProto]:
        return [self._makers[tensor] for tensor in reads(node) if tensor in self._makers]

    def _above(self, names: Set[str]) -> set[str]:
        return self._reached(names, self._sources)

    def _below(self, names: Set[str]) -> set[str]:
        return self._reached(names, lambda node: [u for t in node.output for u in self._users.get(t, [])])

    def _reached(self, names: Set[str], step: Step) -> set[str]:
        found: set[str] = set()
        waiting = [self.nodes[name] for name in names]
        while waiting:
            for node in step(waiting.pop()):
                if node.name not in found:
                    found.add(node.name)
                    waiting.append(node)
        return found
