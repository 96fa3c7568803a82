"""Mutated inputs over every reader: what a file from a stranger may do is to be read, or to be refused by name.

A child reads thousands of inputs. It notes each before it reads it, so that one that ends the child is known, and the
next child goes on behind it. An audit hook sees processes, connections and code that a file starts.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import random
import re
import resource
import signal
import sys
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import PROC
from data_modules.common.errors import UserError

MOST_BYTES = 2 << 30
SECONDS = 30
"""How long an input may be read, on a machine that others use."""
INPUTS_A_CHILD = 20_000
STARTS_CODE = ("os.system", "os.exec", "os.posix_spawn", "subprocess.Popen", "os.fork", "socket.connect", "pty.spawn")
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\x00" * 8,
    b"\x01" + b"\x00" * 7,
)
READER_NAMES = (
    *("idx", "idx.gz", "npz", "mug", "picture", "clip", "sheet", "film", "tfrecord", "annotations", "splits"),
    *("checkpoint of glass", "checkpoint of vdsm", "config.json of an export", "safetensors of an export"),
    *("manifest of a store", "judge", "published weights", "clips of a model", "recipe", "sweep", "animation"),
    *("video", "array of a video", "picture of frames", "gif of frames", "upload of a video"),
    *("upload of a picture of frames", "upload of a gif of frames"),
)
SLOW = ("checkpoint of glass", "clips of a model", "checkpoint of vdsm", "safetensors of an export", "sheet")
HOSTILE_TEXT = (
    *("null", "-1", "0", "1e999", "NaN", "[]", "{}", '"x"', "true", "99999999999999999999", "1.5", '""', "'\\ud800'"),
    *(
        "[" * 5000,
        '{"a":' * 5000,
        "!!python/object/apply:os.system ['touch ran']",
        "&a [*a]",
        "? [a] : b",
        "\x00",
        "\t",
    ),
    *("{__import__('os').system('touch ran')}", "${oc.env:HOME}", "../../etc/passwd", "\u202e", "9" * 5000),
    "&a [x,x,x,x,x,x,x,x,x]\nb: &b [*a,*a,*a,*a,*a,*a,*a]\nc: &c [*b,*b,*b,*b,*b]\nd: [*c,*c,*c,*c]",
)


class Payload:
    """Unpickled, it would run a command."""

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, ("touch ran",)


@dataclass(frozen=True)
class Reader:
    """A way in for files.

    Args: name of the file; content, as it should be; read, given its path; kind, how it is mutated: bytes, text or zip;
        beside, other files of its folder.
    """

    name: str
    content: bytes
    read: Callable[[Path], object]
    kind: str = "bytes"
    beside: tuple[tuple[str, bytes], ...] = ()


def readers(folder: Path) -> dict[str, Reader]:
    """All of them, by what they read.  Args: folder, for what has to be made first."""
    from data_modules.sources.frames import read_animation
    from tests.data_modules.test_hostile import READERS, contents
    from tests.vdsm_glass.play.small import glass_checkpoint, vdsm_checkpoint
    from vdsm_glass import export, recipes
    from vdsm_glass.api import load
    from vdsm_glass.box.clips import read_clips
    from vdsm_glass.box.place import HOME
    from vdsm_glass.judge.judge import load_judge
    from vdsm_glass.media import read_frames
    from vdsm_glass.play.media import read_upload
    from vdsm_glass.published_weights import read_state
    from vdsm_glass.sweeps.definition import read as read_sweep

    made: dict[str, Reader] = {}
    of_content = {"idx.gz": "idx", "mug": "npz", "clip": "picture"}
    for name, (read, suffix) in READERS.items():
        content = contents()[of_content.get(name, name)]
        if name == "idx.gz":
            import gzip

            content = gzip.compress(content)
        kind = "zip" if suffix == ".npz" else "text" if suffix == ".csv" else "bytes"
        made[name] = Reader(f"input{suffix}", content, read, kind)
    checkpoint = glass_checkpoint(folder / "glass").read_bytes()
    made["checkpoint of glass"] = Reader("input.ckpt", checkpoint, load, "zip")
    vdsm = vdsm_checkpoint(folder / "vdsm")
    made["checkpoint of vdsm"] = Reader("input.ckpt", vdsm.read_bytes(), load, "zip")
    exported = export.export(vdsm, folder / "exported")
    weights, config = ((exported / name).read_bytes() for name in (export.WEIGHTS, export.CONFIG))

    def in_folder(path: Path) -> object:
        return load(path.parent)

    made["config.json of an export"] = Reader(export.CONFIG, config, in_folder, "text", ((export.WEIGHTS, weights),))
    made["safetensors of an export"] = Reader(
        export.WEIGHTS, weights, partial(with_digest, in_folder, config), "bytes", ((export.CONFIG, config),)
    )
    from data_modules import Pendulum

    (data := Pendulum(root=str(folder / "data"), tiny=True, size=16)).prepare_data()
    store = next(iter(sorted(data.store_folder().glob("*.json"))))
    others = tuple(
        (str(each.relative_to(store.parent)), each.read_bytes())
        for each in store.parent.rglob("*")
        if each.is_file() and each != store
    )
    made["manifest of a store"] = Reader(store.name, store.read_bytes(), opened_store, "text", others)
    from dataclasses import asdict

    import torch

    from vdsm_glass.judge.judge import FORMAT, VERSION
    from vdsm_glass.judge.network import JudgeNetwork, JudgeSizes

    sizes, classes = JudgeSizes(channels=(4, 4), rnn_dim=4), {"action": ["a", "b"]}
    judge = {
        "format": FORMAT,
        "version": VERSION,
        "sizes": asdict(sizes),
        "classes": classes,
        "source": {},
        "frames": {},
        "accuracy": {},
        "state_dict": JudgeNetwork(sizes, {"action": 2}).state_dict(),
    }
    torch.save(judge, stream := io.BytesIO())
    made["judge"] = Reader("input.pt", stream.getvalue(), load_judge, "zip")
    torch.save({"a": torch.zeros(3)}, stream := io.BytesIO())
    made["published weights"] = Reader("input.pt", stream.getvalue(), lambda path: read_state(path, of="a"), "zip")
    box = next(place for place in sorted(HOME.iterdir()) if (place / "clips.json").is_file())
    picture = next(each for each in box.iterdir() if each.suffix == ".webp")
    made["clips of a model"] = Reader(
        "clips.json",
        (box / "clips.json").read_bytes(),
        lambda path: read_clips(path.parent),
        "text",
        ((picture.name, picture.read_bytes()),),
    )
    experiments = Path(__file__).parents[1] / "experiments"
    recipe = (experiments / "glass/w_sprites/joint.yaml").read_bytes()
    made["recipe"] = Reader("input.yaml", recipe, recipes.read, "text")
    sweep = next(iter(sorted((experiments / "sweeps").rglob("*.yaml"))))
    made["sweep"] = Reader("input.yaml", sweep.read_bytes(), read_sweep, "text")
    gif = animation()
    made["animation"] = Reader("input.gif", gif, lambda path: list(read_animation(path)))
    np.savez(stream := io.BytesIO(), video=np.zeros((2, 8, 8, 3), np.uint8))

    def frames(path: Path) -> object:
        return read_frames(path, lambda *_: (8, 8))

    for name, suffix, content, kind in (
        *(("video", ".mp4", contents()["film"], "bytes"), ("array of a video", ".npz", stream.getvalue(), "zip")),
        *(("picture of frames", ".png", contents()["picture"], "bytes"), ("gif of frames", ".gif", gif, "bytes")),
    ):
        made[name] = Reader(f"input{suffix}", content, frames, kind)
        if kind == "bytes":
            made[f"upload of a {name}"] = Reader(
                f"input{suffix}",
                content,
                lambda path: read_upload(path.read_bytes(), path.name, height=8, width=8),
            )
    return made


def animation() -> bytes:
    """A GIF of three frames."""
    from PIL import Image

    first, *rest = (Image.new("RGB", (9, 9), (80 * n, 0, 0)) for n in range(3))
    first.save(stream := io.BytesIO(), "GIF", save_all=True, append_images=rest)
    return stream.getvalue()


def opened_store(path: Path) -> object:
    """First frames of each split of a store."""
    from data_modules.store.reader import Store

    store = Store.open(path.parent, None)
    return [store.split(name).array("video")[:1] for name in ("train", "val", "test")]


def with_digest(read: Callable[[Path], object], config: bytes, path: Path) -> object:
    """Reads mutated weights whose digest the description beside them gives."""
    import hashlib

    content = json.loads(config) | {"weights_sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    (path.parent / "config.json").write_text(json.dumps(content))
    return read(path)


def mutated(content: bytes, kind: str, draw: random.Random) -> bytes:
    """One of many ways to spoil a file."""
    if kind == "text" and draw.random() < 0.7:
        return mutated_text(content, draw)
    if kind == "zip" and draw.random() < 0.7:
        return mutated_zip(content, draw)
    out = bytearray(content)
    for _ in range(draw.choice((1, 1, 1, 2, 4, 16))):
        at = draw.randrange(len(out) + 1) if draw.random() < 0.5 else draw.randrange(min(len(out), 64) + 1)
        size = draw.choice((1, 1, 2, 4, 8, 64, 1024))
        match draw.randrange(7):
            case 0 if out:
                out[at % len(out)] ^= 1 << draw.randrange(8)
            case 1:
                value = draw.choice(INTERESTING)
                out[at : at + len(value)] = value
            case 2:
                out[at : at + size] = draw.randbytes(size)
            case 3:
                del out[at : at + size]
            case 4:
                out[at:at] = out[at : at + size]
            case 5:
                out[at:at] = draw.randbytes(size)
            case 6:
                del out[at:]
    return bytes(out)


def mutated_text(content: bytes, draw: random.Random) -> bytes:
    """A word or number of JSON, YAML or CSV is replaced by a hostile one, taken out or doubled."""
    text = content.decode()
    words = list(re.finditer(r"[\w.+/-]+|\"[^\"]*\"|\[[^\[\]]*\]|\{[^{}]*\}", text))
    chosen = draw.sample(words, k=min(len(words), draw.choice((1, 1, 2, 3))))
    for word in sorted(chosen, key=re.Match.start, reverse=True):
        new = draw.choice((*HOSTILE_TEXT, "", 2 * word.group(), draw.choice(words).group()))
        text = text[: word.start()] + new + text[word.end() :]
    return text.encode(errors="surrogatepass")


def mutated_zip(content: bytes, draw: random.Random) -> bytes:
    """A member is spoilt before it is packed, so that its checksum holds; pickles may get one that would run."""
    with zipfile.ZipFile(io.BytesIO(content)) as before:
        members = [(info.filename, before.read(info)) for info in before.infolist()]
    chosen = draw.randrange(len(members))
    stored = io.BytesIO()
    with zipfile.ZipFile(stored, "w") as after:
        for number, (name, data) in enumerate(members):
            spoilt = data
            if number == chosen or (name.endswith(".pkl") and draw.random() < 0.5):
                spoilt = mutated(data, "bytes", draw)
                if name.endswith(".pkl") and draw.random() < 0.2:
                    spoilt = pickle.dumps(draw.choice((Payload(), {"state_dict": Payload()}, [[]])))
            after.writestr(name, spoilt)
            if draw.random() < 0.02:
                after.writestr(draw.choice((f"../{name}", name, "/tmp/evil", name + "x")), data)
    return stored.getvalue()


def one(reader: Reader, folder: Path, name: str, seed: int | None, started: list[str]) -> str | None:
    """Reads one mutated input, or without a seed the file as it should be.

    Args: started, to which an audit hook adds what the file started.
    Returns: what was wrong; None if the file was read, or refused by its name.
    """
    folder.mkdir(exist_ok=True)
    path = folder / reader.name
    for other, content in reader.beside:
        if not (folder / other).is_file():
            (folder / other).parent.mkdir(parents=True, exist_ok=True)
            (folder / other).write_bytes(content)
    draw = random.Random(f"{name} {seed}")
    path.write_bytes(reader.content if seed is None else mutated(reader.content, reader.kind, draw))
    started.clear()
    signal.alarm(SECONDS)
    try:
        reader.read(path)
    except UserError as error:
        text = str(error)
        if path.name not in text and path.stem not in text and folder.name not in text:
            return f"does not name the file: {text[:150]}"
    except Exception as error:  # whatever comes is what is looked for
        return f"{type(error).__name__}: {str(error)[:150]}"
    finally:
        signal.alarm(0)
    if started or (Path.cwd() / "ran").exists():
        return f"ran code: {started}"
    return None


def number_of(name: str) -> str:
    """A reader's name as that of a folder."""
    return "".join(letter if letter.isalnum() else "_" for letter in name)


def child(folder: Path, state: Path, jobs: list[tuple[str, int]], begin: int) -> None:
    """Reads inputs `jobs[begin:]`, and writes one line for each before it is read, one more if it was wrong."""
    os.chdir(folder)
    sys.setrecursionlimit(1000)
    every = readers(folder / "made")
    armed = False
    started: list[str] = []
    log = state.open("a", buffering=1)
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 2)

    def hook(event: str, _: object) -> None:
        if armed and event.startswith(STARTS_CODE):
            started.append(event)

    sys.addaudithook(hook)

    def late(*_: object) -> None:
        raise TimeoutError(f"took over {SECONDS} s")

    signal.signal(signal.SIGALRM, late)
    for name, reader in every.items():  # imports, and files as they should be
        if wrong := one(reader, folder / f"sound_{number_of(name)}", name, None, started):
            log.write(json.dumps({"number": -1, "reader": name, "seed": None, "wrong": wrong}) + "\n")
    size = int((PROC / "self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MOST_BYTES, size + MOST_BYTES))
    armed = True
    for number in range(begin, min(len(jobs), begin + INPUTS_A_CHILD)):
        name, seed = jobs[number]
        log.write(f"{number}\n")
        if wrong := one(every[name], folder / f"in_{number_of(name)}", name, seed, started):
            log.write(json.dumps({"number": number, "reader": name, "seed": seed, "wrong": wrong}) + "\n")
    log.write("done\n")
    log.close()


def run(count: int, seed: int, state: Path, progress: Callable[[int], None]) -> dict[str, Any]:
    """Reads `count` inputs, those that `state` has no line of.

    Returns: the number of inputs and readers, the wrong ones (kinds with their first seeds), the most memory in bytes.
    """
    context = get_context("spawn")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = sorted(READER_NAMES)
        draw = random.Random(seed)
        weights = [1 if name in SLOW else 20 for name in names]
        jobs = [(name, seed + n) for n, name in enumerate(draw.choices(names, weights=weights, k=count))]
        done, ended = progress_of(state), 0
        while done < count:
            (work := folder / f"child_{done}").mkdir()
            process = context.Process(target=child, args=(work, state, jobs, done))
            process.start()
            while process.is_alive():
                process.join(timeout=2)
                progress(progress_of(state))
            now = progress_of(state)
            if process.exitcode:
                ended += 1
                at = max(now - 1, 0)
                with state.open("a") as log:
                    crash = {
                        "number": at,
                        "reader": jobs[at][0],
                        "seed": jobs[at][1],
                        "wrong": f"CRASH {process.exitcode}",
                    }
                    log.write(json.dumps(crash) + "\n")
                if now == done:
                    raise RuntimeError(f"no child gets beyond input {done}")
            done = now
        most = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
    return summary(state, count=done, readers=len(names)) | ({"most_memory_bytes": most} if most else {})


def progress_of(state: Path) -> int:
    """How many inputs have been begun."""
    if not state.is_file():
        return 0
    return max((int(line) + 1 for line in state.read_text().split("\n") if line.isdigit()), default=0)


def summary(state: Path, *, count: int, readers: int) -> dict[str, Any]:
    """What is in the file of a run."""
    wrong: dict[str, list[int]] = {}
    for line in state.read_text().split("\n"):
        if line.startswith("{"):
            found = json.loads(line)
            wrong.setdefault(f"{found['reader']}: {found['wrong'][:90]}", []).append(found["seed"])
    kinds = [{"what": what, "times": len(seeds), "seeds": seeds[:5]} for what, seeds in wrong.items()]
    return {"inputs": count, "readers": readers, "wrong": sum(map(len, wrong.values())), "kinds": kinds}
