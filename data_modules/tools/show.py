"""A contact sheet and a GIF of a few labelled clips, to look at before training."""

from __future__ import annotations

from math import ceil
from pathlib import Path
from textwrap import fill

import numpy as np
from einops import rearrange, repeat
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.common.files import replacing
from data_modules.loading.clips import ClipDataset
from data_modules.store.format import Split
from data_modules.store.reader import StoreSplit

CELL = 96
"""Pixels that a frame's shorter side has at least; smaller frames are enlarged."""
GAP, TEXT, LABEL_WIDTH, LABEL_LETTERS = 4, 13, 190, 28
ARROW = 3
"""How many times as long as its shift an arrow is, because most shifts are of few pixels."""
PAPER, INK = (250, 250, 250), (20, 20, 20)
FOREGROUND, BACKGROUND = (200, 255, 0), (255, 60, 200)


def show(
    module: VideoDataModule, out: Path, *, split: Split = "train", clips: int = 8, frames: int = 24, columns: int = 12
) -> list[Path]:
    """Draw `clips` clips of `split`, of different identities and actions, with names, outlined masks and shifts.

    Arrows are three times as long as the content moves until the next frame: at the middle the foreground's, above it
    the background's; a dot means that nothing moves.

    Args:
        out: folder for `contact_sheet.png`, with `columns` frames of each clip, and `clips.gif`, with all `frames`.
        frames: of each clip; fewer where there are not `clips` clips of that length.
    Returns: the two files.
    Raises: DataError where there are no clips.
    """
    module.prepare_data()
    part = module.store.split(split)
    length = min(frames, int(np.sort(part.lengths)[-clips:].min(initial=frames)))
    dataset = ClipDataset(part, length=length, stride=1, name=f"{module.name} {split}")
    batch = dataset[_different(part, dataset.usable, clips)].decoded()
    pictures = [[_picture(batch, clip, frame) for frame in range(length)] for clip in range(len(batch))]
    labels = [_label(module, part, batch, clip) for clip in range(len(batch))]

    shown = np.linspace(0, length - 1, num=min(columns, length)).round().astype(int)
    sheet = _sheet([[row[frame] for frame in shown] for row in pictures], labels)
    moving = [_page([row[frame] for row in pictures], labels) for frame in range(length)]
    paths = [out / "contact_sheet.png", out / "clips.gif"]
    with replacing(paths[0]) as temporary:
        sheet.save(temporary)
    with replacing(paths[1]) as temporary:
        moving[0].save(temporary, save_all=True, append_images=moving[1:], duration=100, loop=0)
    return paths


def _different(part: StoreSplit, usable: np.ndarray, number: int) -> list[int]:
    """Positions of `number` clips; each has the identity, and among these the action, chosen least before it."""
    order = np.random.default_rng(0).permutation(len(usable))
    labels = [part.array("identity")[usable[order]]]
    if part.columns["action"].per == "clip":
        labels.append(part.array("action")[usable[order]])
    codes = [np.unique(values, return_inverse=True)[1] for values in labels]
    costs, chosen = np.zeros(len(order)), []
    for _ in range(min(number, len(order))):
        best = int(costs.argmin())
        chosen.append(int(order[best]))
        for code, weight in zip(codes, (len(order), 1), strict=False):
            costs += weight * (code == code[best])
        costs[best] = np.inf
    return sorted(chosen)


def _label(module: VideoDataModule, part: StoreSplit, batch: VideoBatch, clip: int) -> str:
    """A clip's identity and actions, or where both are unknown, the clip's name in the source."""
    identity = int(batch.identity[clip])
    actions = [action for action in dict.fromkeys(batch.action[clip].reshape(-1).tolist()) if action >= 0]
    lines = [module.identity_names[identity]] if identity >= 0 else []
    lines += [", ".join(module.action_names[action] for action in actions)] if actions else []
    number = int(batch.clip[clip])
    lines += [] if lines else [part.names[number].encode(errors="replace").decode()]
    return "\n".join(fill(line, LABEL_LETTERS) for line in (*lines, f"clip {number}"))


def _picture(batch: VideoBatch, clip: int, frame: int) -> Image.Image:
    """One frame, enlarged, with its mask and shifts drawn onto it."""
    pixels = rearrange(batch.video[clip, frame], "c h w -> h w c").mul(255).round().byte().numpy()
    factor = ceil(CELL / min(pixels.shape[:2]))
    image = Image.fromarray(repeat(pixels, "h w c -> (h f) (w g) c", f=factor, g=factor))
    centre = np.array(image.size) / 2
    if batch.mask is not None:
        mask = batch.mask[clip, frame, 0].bool().numpy()
        large = np.pad(255 * repeat(mask, "h w -> (h f) (w g)", f=factor, g=factor).astype(np.uint8), 1)
        inside = np.asarray(Image.fromarray(large).filter(ImageFilter.MinFilter(3)))
        image.paste(FOREGROUND, mask=Image.fromarray((large - inside)[1:-1, 1:-1]))
        if mask.any():
            centre = (np.argwhere(mask).mean(axis=0)[::-1] + 0.5) * factor
    if batch.position is not None:
        centre = (batch.position[clip, frame].numpy() + 0.5) * factor
    for shift, start, colour in (
        (batch.foreground_shift, centre, FOREGROUND),
        (batch.background_shift, np.array([0.5, 0.12]) * image.size, BACKGROUND),
    ):
        if shift is not None and frame < shift.shape[1]:
            _arrow(ImageDraw.Draw(image), start, shift[clip, frame].numpy() * factor * ARROW, colour)
    return image


def _arrow(draw: ImageDraw.ImageDraw, start: np.ndarray, way: np.ndarray, colour: tuple[int, int, int]) -> None:
    """Draw an arrow from `start` to `start + way`, in pixels of the picture; a dot where `way` is shorter than one."""
    length = float(np.linalg.norm(way))
    if length < 1:
        draw.ellipse([*(start - 2), *(start + 2)], fill=colour)
        return
    end, along = start + way, way / length
    across = np.array([-along[1], along[0]])
    draw.line([*start, *end], fill=colour, width=2)
    draw.polygon([tuple(point) for point in (end, end - 6 * along + 3 * across, end - 6 * along - 3 * across)], colour)


def _sheet(rows: list[list[Image.Image]], labels: list[str]) -> Image.Image:
    """A row for each clip, its label at the left and time to the right."""
    width, height = rows[0][0].size
    height = max(height, GAP + _text_height(labels))
    size = (LABEL_WIDTH + len(rows[0]) * (width + GAP), len(rows) * (height + GAP) + GAP)
    sheet = Image.new("RGB", size, PAPER)
    draw = ImageDraw.Draw(sheet)
    for r, (row, label) in enumerate(zip(rows, labels, strict=True)):
        top = GAP + r * (height + GAP)
        draw.multiline_text((GAP, top + GAP), label, fill=INK, font=ImageFont.load_default(TEXT))
        for c, picture in enumerate(row):
            sheet.paste(picture, (LABEL_WIDTH + c * (width + GAP), top))
    return sheet


def _page(pictures: list[Image.Image], labels: list[str], columns: int = 4) -> Image.Image:
    """One frame of every clip, with its label below it."""
    width, height = (pictures[0].width + GAP, pictures[0].height + GAP + _text_height(labels))
    columns = min(columns, len(pictures))
    page = Image.new("RGB", (columns * max(width, LABEL_WIDTH), ceil(len(pictures) / columns) * height), PAPER)
    draw = ImageDraw.Draw(page)
    for i, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
        left, top = (i % columns) * max(width, LABEL_WIDTH) + GAP, (i // columns) * height + GAP
        page.paste(picture, (left, top))
        draw.multiline_text((left, top + picture.height), label, fill=INK, font=ImageFont.load_default(TEXT))
    return page


def _text_height(labels: list[str]) -> int:
    """The height of the highest label in pixels, and a gap below it."""
    draw, font = ImageDraw.Draw(Image.new("L", (1, 1))), ImageFont.load_default(TEXT)
    return max(ceil(draw.multiline_textbbox((0, 0), label, font=font)[3]) for label in labels) + GAP
