"""Exported models on the Hugging Face Hub. Numbers, JSON, text and a picture are read; nothing is run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from data_modules.common.errors import UserError

FILES = ["*.safetensors", "*.json", "README.md", "clips.webp"]


def fetch(name: str) -> Path:
    """The folder of the exported model `owner/name`, fetched, or from the cache where that is up to date.

    Raises: UserError, huggingface_hub is not installed, or the model cannot be had.
    """
    hub = _library()
    try:
        return Path(hub.snapshot_download(name, allow_patterns=FILES))
    except _errors(hub) as error:
        raise UserError(f"hf://{name} cannot be fetched ({_first(error)}); {_hint()}") from error


def push(folder: Path, name: str) -> str:
    """Uploads an exported model as `owner/name`, made if need be.  Returns: its address.

    Raises: UserError, huggingface_hub is not installed, or the Hub does not take it.
    """
    hub = _library()
    try:
        api = hub.HfApi()
        api.create_repo(name, exist_ok=True)
        api.upload_folder(repo_id=name, folder_path=folder, allow_patterns=FILES)
    except _errors(hub) as error:
        raise UserError(f"{folder} cannot be pushed to hf://{name} ({_first(error)}); {_hint()}") from error
    return f"hf://{name}"


def _library() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise UserError("the Hugging Face Hub needs huggingface_hub: pip install -e '.[hub]'") from error
    return huggingface_hub


def _errors(hub: Any) -> tuple[type[Exception], ...]:
    """What the library raises: without network, for a name that is none, without permission."""
    return (OSError, ValueError, hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError)


def _first(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _hint() -> str:
    return "look at its name, at the network, and at who may see it: `hf auth login`"
