"""Kedro-Viz within the test's process: what it answers for a dataset, and what it writes into a build."""

import asyncio
import base64
import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from PIL import Image

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # Kedro-Viz uses what FastAPI deprecates
    from kedro_viz.api.apps import create_api_app_from_project
    from kedro_viz.api.rest.responses.nodes import get_node_metadata_response
    from kedro_viz.api.rest.responses.utils import get_encoded_response
    from kedro_viz.data_access import data_access_manager
    from kedro_viz.models.flowchart.node_metadata import DataNodeMetadata
    from kedro_viz.models.flowchart.nodes import GraphNode

ID = "shown"


def shown_by_viz(dataset: Any) -> tuple[str | None, Any]:
    """Return the type and the content of a dataset's preview, the same from the server and from a build."""
    node = GraphNode.create_data_node(ID, "a.rows", None, set(), dataset, set())
    nodes = data_access_manager.nodes.nodes_dict
    DataNodeMetadata.set_is_all_previews_enabled(True)
    nodes[ID] = node
    try:
        built = orjson.loads(get_encoded_response(get_node_metadata_response(ID)))
        status, body = asyncio.run(_get(f"/api/nodes/{ID}"))
    finally:
        del nodes[ID]
    assert status == 200
    served = json.loads(body, parse_constant=lambda text: f"{text} is no JSON")
    assert served.get("preview") == built["preview"]
    if built["preview_type"] == "JSONPreview" and built["preview"] is not None:
        json.loads(built["preview"], parse_constant=_refuse)
    return built["preview_type"], built["preview"]


def pixels_of(preview: str) -> np.ndarray:
    """Decode a preview of images: uint8 (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(preview))))


async def _get(path: str) -> tuple[int, bytes]:
    app = create_api_app_from_project(Path.cwd())
    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(), "query_string": b""}
    scope |= {"headers": [], "http_version": "1.1", "scheme": "http", "root_path": "", "server": ("test", 80)}
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    await app({**scope, "asgi": {"version": "3.0"}, "client": ("test", 1)}, receive, send)
    return sent[0]["status"], b"".join(message.get("body", b"") for message in sent[1:])


def _refuse(text: str) -> None:
    raise ValueError(f"{text} is no JSON")
