"""Both ways to find components divide the nodes in the same way, and in the right one."""

from __future__ import annotations

import random

import pyarrow
import pytest
from pyspark.sql import SparkSession

from apportion.spark._components import found, in_rounds
from conftest import KIND

pytestmark = pytest.mark.skipif(KIND == "sail", reason="Sail cuts no frame off from its past")

_RANDOM = random.Random(5)


def _shuffled(edges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """In any order, either way round, and under numbers that say nothing of the graph."""
    nodes = sorted({node for edge in edges for node in edge})
    numbers = {node: _RANDOM.randrange(-(2**63), 2**63) for node in nodes}
    turned = [edge if _RANDOM.random() < 0.5 else edge[::-1] for edge in edges]
    _RANDOM.shuffle(turned)
    return [(numbers[left], numbers[right]) for left, right in turned]


_SPARSE = [(_RANDOM.randrange(900), _RANDOM.randrange(900)) for _ in range(500)]
GRAPHS: dict[str, list[tuple[int, int]]] = {
    "a pair": [(1, 2)],
    "twice the same": [(1, 2), (2, 1), (1, 2), (3, 4)],
    "a chain": [(node, node + 1) for node in range(1500)],
    "a star": [(0, node) for node in range(1, 800)],
    "a cycle": [(node, (node + 1) % 700) for node in range(700)],
    "many pairs": [(2 * node, 2 * node + 1) for node in range(600)],
    "at random": [edge for edge in _SPARSE if edge[0] != edge[1]],
    "two cliques and a bridge": [
        (base + left, base + right) for base in (0, 100) for left in range(20) for right in range(left)
    ]
    + [(0, 100)],
}


def _divided(found: pyarrow.Table) -> set[frozenset[int]]:
    """The parts, without what they are called."""
    nodes, names = found["node"].to_pylist(), found["component"].to_pylist()
    assert len(nodes) == len(set(nodes)), "a node is in one component"
    parts: dict[int, set[int]] = {}
    for node, name in zip(nodes, names, strict=True):
        parts.setdefault(name, set()).add(node)
    return {frozenset(part) for part in parts.values()}


def _by_searching(edges: list[tuple[int, int]]) -> set[frozenset[int]]:
    beside: dict[int, set[int]] = {}
    for left, right in edges:
        beside.setdefault(left, set()).add(right)
        beside.setdefault(right, set()).add(left)
    parts, seen = set(), set[int]()
    for node in beside:
        part, waiting = set[int](), [node] if node not in seen else []
        while waiting:
            at = waiting.pop()
            if at not in part:
                part.add(at)
                waiting += beside[at]
        seen |= part
        parts |= {frozenset(part)} if part else set()
    return parts


def _all_graphs() -> list[tuple[int, int]]:
    """All of them side by side, since Spark takes as long for one."""
    edges = [
        (10_000 * number + left, 10_000 * number + right)
        for number, graph in enumerate(GRAPHS.values())
        for left, right in graph
    ]
    return _shuffled(edges)


def test_both_ways_find_the_same_components(spark: SparkSession) -> None:
    edges = _all_graphs()
    frame = spark.createDataFrame(edges, "a bigint, b bigint")
    expected = _by_searching(edges)
    assert len(expected) > 700
    in_one_task = found(frame, len(edges), 0)
    assert in_one_task.frame is not None and in_one_task.held is not None
    assert _divided(in_one_task.frame.toArrow()) == expected
    in_one_task.held.unpersist()
    assert _divided(in_rounds(frame).toArrow()) == expected


def test_how_many_edges_there_are_says_which_way(spark: SparkSession) -> None:
    edges = _shuffled(GRAPHS["two cliques and a bridge"])
    frame = spark.createDataFrame(edges, "a bigint, b bigint")
    nodes = len({node for edge in edges for node in edge})
    for most in (len(edges), len(edges) - 1):
        for everywhere in (nodes, nodes - 1):
            made = found(frame, most, everywhere)
            assert made.frame is not None and made.held is not None
            assert made.nodes == nodes
            assert (made.joined is not None) == (most == len(edges) and everywhere == nodes)
            assert _divided(made.frame.toArrow()) == _by_searching(edges)
            made.held.unpersist()
    nothing = found(frame.where("a is null"), 1, 1)
    assert nothing.frame is None and nothing.nodes == 0 and nothing.joined is not None
