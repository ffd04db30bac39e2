"""Graphs inside of nodes: the bodies of Loop, Scan and If, such as recurrent layers become.

A body also reads tensors of the graph around it, by their names; they are no inputs of its node, so that
whatever looks at inputs alone misses them. Names that a body makes itself are its own.
"""

from collections.abc import Mapping

import onnx

Captures = dict[str, list[str]]
"""What bodies read of the graph around them, by the name of their node."""


def bodies(node: onnx.NodeProto) -> list[onnx.GraphProto]:
    return [item.g for item in node.attribute if item.type == onnx.AttributeProto.GRAPH]


def captured(node: onnx.NodeProto) -> list[str]:
    """Tensors that the bodies of a node read from outside, each once."""
    found: dict[str, None] = {}
    for body in bodies(node):
        own = _own(body)
        found |= dict.fromkeys(name for part in body.node for name in reads(part) if name not in own)
    return [name for name in found if name]


def reads(node: onnx.NodeProto) -> list[str]:
    """Tensors that a node reads, as its inputs or in its bodies."""
    return [*node.input, *captured(node)]


def mentions(node: onnx.NodeProto) -> list[str]:
    """All names that a node or its bodies use for tensors."""
    inner = [name for body in bodies(node) for part in body.node for name in mentions(part)]
    own = [name for body in bodies(node) for name in _own(body)]
    return [*node.input, *node.output, *own, *inner]


def redirect(node: onnx.NodeProto, names: Mapping[str, str]) -> None:
    """Lets a node and its bodies read other tensors instead."""
    node.input[:] = [names.get(name, name) for name in node.input]
    for body in bodies(node):
        own = _own(body)
        outer = {old: new for old, new in names.items() if old not in own}
        for part in body.node:
            redirect(part, outer)


def add_prefix(graph: onnx.GraphProto, prefix: str) -> None:
    """Puts the prefix before every name in a graph and its bodies.

    `onnx.compose` (up to 1.23) leaves the name of a constant outside as it was where a body reads it.
    """
    for value in (*graph.input, *graph.output, *graph.value_info):
        value.name = prefix + value.name
    for constant in graph.initializer:
        constant.name = prefix + constant.name
    for node in graph.node:
        node.name = prefix + node.name
        node.input[:] = [name and prefix + name for name in node.input]
        node.output[:] = [name and prefix + name for name in node.output]
        for body in bodies(node):
            add_prefix(body, prefix)


def expose(graph: onnx.GraphProto) -> Captures:
    """Appends what bodies capture to the inputs of their nodes, for tools that look no further.

    The graph is not valid before `enclose` takes them away.
    """
    captures = {node.name: names for node in graph.node if (names := captured(node))}
    for node in graph.node:
        node.input.extend(captures.get(node.name, ()))
    return captures


def enclose(graph: onnx.GraphProto, captures: Captures) -> None:
    """Takes back `expose`; bodies read what tools have put in the places of the tensors meanwhile."""
    for node in graph.node:
        if names := captures.get(node.name):
            inputs = len(node.input) - len(names)
            redirect(node, dict(zip(names, node.input[inputs:], strict=True)))
            del node.input[inputs:]


def _own(graph: onnx.GraphProto) -> set[str]:
    """Names of the tensors that a graph takes or makes itself."""
    inputs = {value.name for value in graph.input}
    constants = {constant.name for constant in graph.initializer}
    return inputs | constants | {name for node in graph.node for name in node.output}
