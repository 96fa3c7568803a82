"""What the metrics of an arena are, for people who have not met them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from vdsm_glass.tables.published import Column

PLACES = {
    "reconstruction": "of clips that the model rebuilds, against the real ones",
    "transfer": "of clips with the motion of one real clip and the identity of another, against real ones as a whole",
}
METRICS = {
    "mse": "mean squared error of pixels in [0, 1]",
    "psnr": "the same on the scale of decibels",
    "ssim": "how alike the structure of frames is, 1 for equal ones",
    "lpips": "how different frames look to a network that was trained to tell things apart",
    "fid": "distance between the looks of all frames, drawn and real",
    "kid": "as fid, and fair where there are few frames",
    "fd_dinov2": "as fid, by another network",
    "fvd": "distance between the looks and motions of all clips, drawn and real",
    "fmd": "distance between the motions of all clips, drawn and real, whatever they look like",
    "mdr": "share of frames in which a detector misses the person",
    "add": "how far the person is from where it should be, in pixels",
}
LABELS = {
    "miou": "how well the mask of the agent fits the true one, 1 where it is the same",
    "miou_re": "the same in frames that the model drew",
    "miou_re_teacher_forced": "the same in frames that were each drawn from the real one before",
    "nmi_g": "how much inferred actions tell of the true ones, 0 for nothing and 1 for all",
    "nmi_rest": "the same where the agent stands still",
    "con": "how much more they tell if one knows who acts; small where an action means the same for everybody",
    "delta_mse": "how far the agent moves otherwise than its action says, as a share",
    "delta_acc": "how often the agent moves as its action says",
    "foreground_shift_error": "by how many pixels the inferred motion of the agent is off",
    "background_shift_error": "by how many pixels the inferred motion of the background is off",
    "action_from_d": "how often a probe reads the action from the latent that should hold it",
    "identity_from_s": "how often a probe reads the identity from the latent that should hold it",
}
JUDGED = {
    "real": "in the real clips themselves, the best that can be reached",
    "reconstruction": "in clips that the model rebuilds",
    "swap": "in clips with the motion of one real clip and the identity of another",
    "frozen_dynamics": "in clips with the motion of a real clip and an identity that the model makes up",
    "frozen_identity": "in clips with the identity of a real clip and a motion that the model makes up",
}


def meaning(measure: str) -> str:
    """What a number is, in words; empty if it is not known.

    >>> meaning("judge/all/swap/acc")[:60]
    'how often a classifier of real clips sees all labels at once'
    """
    where, _, rest = measure.partition("/")
    if where == "judge":
        head, _, how = rest.partition("/")
        seen = "all labels at once" if head == "all" else f"the right {head}"
        told = JUDGED.get(how.partition("/")[0])
        return f"how often a classifier of real clips sees {seen} {told}" if told else ""
    if where in PLACES:
        name = rest.removeprefix("first_frame_counted/")
        counted = "" if name == rest else "; the first frame counts, as in papers"
        parts = (name.rpartition("/")[2], name)
        what = next((said for key, said in METRICS.items() if any(part.startswith(key) for part in parts)), "")
        return what and f"{what}; {PLACES[where]}{counted}"
    return LABELS.get(measure, "")


def glossary(shown: Mapping[str, Column], titles: Iterable[str]) -> list[tuple[str, str]]:
    """The metrics and what they are.  Args: shown, by title; titles, as the tables have them."""
    found = ((title, meaning(column.measure)) for title, column in zip(titles, shown.values(), strict=True))
    return [(title, said) for title, said in found if said]
