"""A folder that any static host serves: the page, its networks, and ONNX Runtime Web beside them."""

from __future__ import annotations

import html
import json
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import vdsm_glass.play
from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from vdsm_glass.export import written_whole
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.pictures import to_uint8
from vdsm_glass.play.clips import Data
from vdsm_glass.registry import imported, kinds
from vdsm_glass.web import graphs, runtime
from vdsm_glass.web.page import WebPage

STATIC = Path(__file__).parent / "static"
PLAY = Path(vdsm_glass.play.__file__).parent
PAGE, TENSORS = "page.json", "tensors.bin"


def export_web(model: Model, data: Data | None, folder: Path, *, name: str = "", rights: str = "") -> Path:
    """Writes the page of a model; the folder is there in whole, or not at all.

    Args:
        data: whose test clips it is played with, or the clips.
        name, rights: of the clips, where `data` does not say them.
    Raises: UserError, this kind of model has no such page, something that writing it needs is missing, or the folder
        is there already.
    """
    check(model)
    graphs.check_installed()
    with written_whole(folder) as made:
        runtime.add_to(made / "ort")  # first, because it fails soonest
        page: WebPage = imported(model.web)(model, data)
        if isinstance(data, VideoDataModule):
            name, rights = data.name, data.rights
        about = [name, "{} x {}".format(*model.size) if model.size else ""]
        said = {
            "title": model.page_title,
            "about": " · ".join(filter(None, about)),
            "rights": rights,
        }
        _write(page, made, said)
    return folder


def check(model: Model) -> None:
    """Raises: UserError, this kind of model has no such page."""
    if not model.web:
        able = sorted({kind.model_class.title for kind in kinds().values() if kind.model_class.web})
        raise UserError(
            f"{model.title} has no page for the browser alone; {', '.join(able)} have one, as has a model whose class "
            "sets `web`, the import path of a function (model, data) -> vdsm_glass.web.page.WebPage. Play this one by "
            "`vdsm-glass play`"
        )


def _write(page: WebPage, folder: Path, said: dict[str, str]) -> None:
    for name in ("common.js", page.script):
        (folder / name).write_bytes((STATIC / name).read_bytes())
    (folder / "keys.js").write_bytes((PLAY / "page.js").read_bytes())
    (folder / "style.css").write_bytes((PLAY / "style.css").read_bytes())
    index = (STATIC / "index.html").read_text(encoding="utf-8")
    index = index.replace("{{ title }}", html.escape(said["title"])).replace("{{ script }}", page.script)
    (folder / "index.html").write_text(index, encoding="utf-8")
    for name, graph in page.graphs.items():
        graphs.write(graph, folder / f"{name}.onnx")
    for name, picture in page.pictures.items():
        (folder / name).parent.mkdir(exist_ok=True)
        Image.fromarray(to_uint8(picture)).save(folder / name, optimize=True)
    description = {
        **said,
        **page.settings,
        "graphs": {name: {"inputs": _described(graph.inputs)} for name, graph in page.graphs.items()},
        "tensors": _write_tensors(page, folder / TENSORS),
    }
    (folder / PAGE).write_text(json.dumps(description), encoding="utf-8")


def _described(tensors: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        name: {"shape": list(value.shape), "type": str(value.dtype).removeprefix("torch.")}
        for name, value in tensors.items()
    }


def _write_tensors(page: WebPage, path: Path) -> dict[str, dict[str, Any]]:
    """Writes the tensors one after the other, little-endian; float32 ones first, where they are aligned."""
    ordered = dict(sorted(page.tensors.items(), key=lambda item: -item[1].element_size()))
    described, offset = _described(ordered), 0
    with path.open("wb") as file:
        for name, value in ordered.items():
            described[name]["offset"] = offset
            content = np.ascontiguousarray(value.detach().cpu().numpy())
            offset += file.write(content.astype(content.dtype.newbyteorder("<")).tobytes())
    return described
