"""A network as an ONNX file, which is run once against PyTorch before it is kept."""

from __future__ import annotations

import logging
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch

from data_modules.common.errors import UserError
from vdsm_glass.web.page import Graph

NEEDED = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
TOLERANCE = 1e-3
"""The largest difference to PyTorch, of values within [-1, 1] and states. A step of a picture is 1/255 = 0.0039."""


def check_installed() -> None:
    """Raises: UserError, a package that writes or runs ONNX files is not installed."""
    if missing := [name for name in NEEDED if find_spec(name) is None]:
        raise UserError(f"a page needs {', '.join(missing)}, not installed here: pip install -e '.[web]'")


@torch.no_grad()
def write(graph: Graph, path: Path) -> None:
    """Writes the graph, all its weights within.

    Raises: UserError, ONNX Runtime computes something else of the example than PyTorch.
    """
    for name in ("torch.onnx", "onnxscript", "onnx_ir"):
        logging.getLogger(name).setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of torch's own deprecations, within its exporter
        program = torch.onnx.export(
            graph.network.eval(),
            kwargs=graph.inputs,
            input_names=list(graph.inputs),
            output_names=list(graph.outputs),
            opset_version=OPSET,
            dynamo=True,
            verbose=False,
        )
    assert program is not None
    for node in program.model.graph.all_nodes():
        node.metadata_props.clear()  # from which lines of which files it came, on the machine that wrote it
    program.save(str(path), external_data=False)
    compare(graph, path)


def compare(graph: Graph, path: Path) -> None:
    """Raises: UserError, ONNX Runtime computes something else of the example than PyTorch."""
    import onnxruntime

    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    found = session.run(list(graph.outputs), {name: value.numpy() for name, value in graph.inputs.items()})
    wanted = graph.network(**graph.inputs)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    for name, one, other in zip(graph.outputs, found, wanted, strict=True):
        off = float(np.abs(np.asarray(one) - other.numpy()).max())
        if not off <= TOLERANCE:
            raise UserError(
                f"{path.name}: its {name} differs from PyTorch's by {off:.2g}, more than {TOLERANCE}: the versions of "
                "torch, onnxscript and onnxruntime do not fit together; pip install -U -e '.[web]'"
            )
