"""The steps of a pipeline: a node has the name of its function, and belongs to a stage."""

from collections.abc import Callable, Collection
from typing import Any

from kedro.pipeline import Node


def step(
    stage: str,
    function: Callable[..., Any],
    inputs: str | list[str] | dict[str, str],
    outputs: str | list[str] | None,
    also: Collection[str] = (),
) -> Node:
    """Make a node of a function.

    Its stage is its tag, by which a run chooses nodes, and its namespace within that of the use case, which Kedro-Viz
    draws as a box. `also` names further stages that need it.
    """
    return Node(function, inputs=inputs, outputs=outputs, name=function.__name__, tags=[stage, *also], namespace=stage)
