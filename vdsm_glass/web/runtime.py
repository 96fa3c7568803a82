"""ONNX Runtime Web: two files of one version of its npm package, kept in the cache once they were had."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path

from data_modules.common.download import OFFLINE
from data_modules.common.errors import UserError
from vdsm_glass.published_weights import cache_folder, sha256

PACKAGE, VERSION = "onnxruntime-web", "1.30.0"
SCRIPT, WASM = "ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"
FILES = {
    SCRIPT: "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    WASM: "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
}
"""Of the package's folder `dist`, with their SHA-256."""
SECONDS = 300
"""How long npm may take for 33 MB."""


def add_to(folder: Path) -> None:
    """Copies the runtime into a new folder.  Raises: UserError, there is none here and npm does not get it.

    Some hosts do not know that .mjs is JavaScript. Packed, which the page undoes, the other file has 4 MB and not 14.
    """
    found = next(filter(complete, places()), None) or fetched()
    folder.mkdir()
    shutil.copyfile(found / SCRIPT, folder / "ort.js")
    (folder / "ort.wasm.packed").write_bytes(gzip.compress((found / WASM).read_bytes(), mtime=0))


def cached() -> Path:
    """Where the runtime is kept."""
    return cache_folder() / f"{PACKAGE}-{VERSION}"


def places() -> Iterator[Path]:
    """Where the runtime may lie: in the cache, or in a folder `node_modules` here or above."""
    yield cached()
    here = Path.cwd()
    for folder in (here, *here.parents):
        yield folder / "node_modules" / PACKAGE / "dist"


def complete(folder: Path) -> bool:
    """Whether a folder has all files, bit for bit."""
    return all((folder / name).is_file() and sha256(folder / name) == wanted for name, wanted in FILES.items())


def fetched() -> Path:
    """The cache, filled by `npm pack`, which runs no code of the package.  Raises: UserError, npm does not get it."""
    otherwise = (
        f"Where a registry can be reached, run `npm pack {PACKAGE}@{VERSION}`, and put {' and '.join(FILES)} of its "
        f"folder dist into {cached()} here"
    )
    if os.environ.get(OFFLINE):
        raise UserError(f"a page needs {PACKAGE} {VERSION}, which is not here, and {OFFLINE} is set. {otherwise}")
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(
            f"a page needs {PACKAGE} {VERSION}, which is not here, and npm, which would get it, is not installed: "
            f"apt-get install npm, or https://nodejs.org. {otherwise}"
        )
    with tempfile.TemporaryDirectory() as temporary:
        command = [npm, "pack", "--json", "--ignore-scripts", f"{PACKAGE}@{VERSION}"]
        try:
            done = subprocess.run(
                command,
                cwd=temporary,
                capture_output=True,
                text=True,
                check=True,
                timeout=SECONDS,
                stdin=subprocess.DEVNULL,
            )
            archive = Path(temporary) / json.loads(done.stdout)[0]["filename"]
            with tarfile.open(archive) as packed:
                for name in FILES:
                    # Bytes alone: before Python 3.11.4 `extractall` takes no filter, without which it is not safe.
                    if member := packed.extractfile(f"package/dist/{name}"):
                        (Path(temporary) / name).write_bytes(member.read())
        except (subprocess.SubprocessError, OSError, ValueError, LookupError, tarfile.TarError) as error:
            said = " ".join(str(getattr(error, "stderr", None) or error).split())[-300:]
            raise UserError(f"npm did not get {PACKAGE} {VERSION}: {said}. {otherwise}") from error
        if not complete(Path(temporary)):
            raise UserError(f"what npm got is not {PACKAGE} {VERSION}: its SHA-256 differs; is the registry a mirror?")
        cached().mkdir(parents=True, exist_ok=True)
        for name in FILES:
            shutil.copyfile(Path(temporary) / name, cached() / name)
    return cached()
