"""GLASS's module: what is trained when, by what, and that speed options change nothing."""

from collections.abc import Callable
from types import SimpleNamespace

import pytest
import torch

from callbacks.glass_schedules import GLASSSchedules
from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from tests.vdsm_glass.glass.small import finding, small_glass, small_sizes, written_out
from tests.vdsm_glass.glass.test_gma import NARROW
from vdsm_glass.glass.animation import animate, infer
from vdsm_glass.glass.gma import Foregrounds
from vdsm_glass.glass.loss_weights import LossWeights
from vdsm_glass.glass.losses import found_loss
from vdsm_glass.glass.module import GLASSModule, rate
from vdsm_glass.schedules import Schedule

GLOBAL = {"bin", "size", "recf", "recb", "recj"}
LOCAL = {"commitment", "codebook", "recu", "recs", "msk", "cyc"}
OUTLINED = {
    "lma": small_sizes(look="agent", window=32, outline=8, edges=True),
    "weights": LossWeights(outline=1, edges=1),
}


def module(*, step: int = 100, **options) -> GLASSModule:
    """A small GLASS in training, `step` steps after its beginning; LMA begins after 10."""
    torch.manual_seed(0)
    given = {"lma": small_sizes(), "gma_steps": 10, "perceptual": "none"} | options
    made = GLASSModule(gma=NARROW, **given)
    made._trainer = SimpleNamespace(global_step=step)  # pyright: ignore[reportAttributeAccessIssue]
    made._fabric = None
    made.log = made.log_dict = lambda *args, **kwargs: None  # pyright: ignore[reportAttributeAccessIssue]
    return made


@pytest.fixture
def batch() -> VideoBatch:
    return VideoBatch.unlabelled(torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1)))


def gradients(part: torch.nn.Module) -> list[torch.Tensor]:
    return [parameter.grad.clone() for parameter in part.parameters() if parameter.grad is not None]


def test_local_motion_analysis_is_not_run_at_first(batch: VideoBatch):
    first = module(step=9)
    first.net.lma.forward = lambda *args, **kwargs: pytest.fail("run")  # pyright: ignore[reportAttributeAccessIssue]
    first.training_step(batch).backward()
    assert first.last_terms.keys() == GLOBAL
    assert not gradients(first.net.lma)
    assert len(gradients(first.net.gma)) == len(list(first.net.gma.parameters()))


def test_afterwards_both_are_trained_and_the_local_losses_do_not_reach_gma(batch: VideoBatch):
    both, alone = module(step=10), module(step=9)
    both.training_step(batch).backward()
    alone.training_step(batch).backward()
    assert both.last_terms.keys() == GLOBAL | LOCAL
    for with_lma, without in zip(gradients(both.net.gma), gradients(alone.net.gma), strict=True):
        torch.testing.assert_close(with_lma, without, atol=0, rtol=0)
    # The first ConvLSTM's forget gate has nothing to forget where its state starts at zero.
    missing = [name for name, parameter in both.net.lma.named_parameters() if parameter.grad is None]
    assert not missing


def test_T_cuts_the_clip_and_T_f_says_what_is_real(batch: VideoBatch):
    made = module()
    seen = {}

    def spy(forward: Callable) -> Callable:
        def run(f, f_shifted, delta_F, *, T_f, m):
            seen.update(frames=f.shape[1], T_f=T_f)
            return forward(f, f_shifted, delta_F, T_f=T_f, m=m)

        return run

    made.net.lma.forward = spy(made.net.lma.forward)  # pyright: ignore[reportAttributeAccessIssue]
    made.schedule(T=3, T_f=2)
    made.training_step(batch)
    assert seen == {"frames": 3, "T_f": 2}


def test_a_finished_gma_is_left_as_it_is(batch: VideoBatch):
    made = module(gma_until=100)
    made.train()
    before = {name: value.clone() for name, value in made.net.gma.state_dict().items()}
    made.training_step(batch).backward()
    assert made.last_terms.keys() == LOCAL
    assert not gradients(made.net.gma)
    assert len(gradients(made.net.lma)) == len(list(made.net.lma.parameters()))
    assert all(torch.equal(value, before[name]) for name, value in made.net.gma.state_dict().items())
    earlier = module(gma_until=101)
    earlier.training_step(batch).backward()
    assert earlier.last_terms.keys() == GLOBAL | LOCAL


def test_actions_are_learned_before_anything_is_drawn(batch: VideoBatch):
    ours = OUTLINED | {"gma_until": 10}
    made = module(step=49, drawing_from=50, **ours)
    made.net.lma.forward = lambda *args, **kwargs: pytest.fail("drawn")  # pyright: ignore[reportAttributeAccessIssue]
    made.training_step(batch).backward()
    assert made.last_terms.keys() == {"commitment", "codebook", "outline", "edges"}
    learning = {name.split(".")[0] for name, part in made.net.lma.named_parameters() if part.grad is not None}
    assert learning == {"A", "VQ", "O", "edges"}
    later = module(step=50, drawing_from=50, **ours)
    later.training_step(batch)
    assert later.last_terms.keys() == LOCAL | {"outline", "edges"}
    with pytest.raises(UserError, match=r"drawing_from is 50.*set lma\.outline"):
        module(drawing_from=50)


def test_shifts_go_on_learning_from_finished_masks(batch: VideoBatch):
    ours = {"weights": LossWeights(steady=1, registration=1), "gma_until": 20, "gma_steps": 200}
    made = module(step=39, shifts_until=40, **ours)
    made.train()
    before = {name: value.clone() for name, value in made.net.gma.state_dict().items()}
    made.training_step(batch).backward()
    assert made.last_terms.keys() == {"recf", "recb", "steady", "registration"}
    learning = {name.split(".")[0] for name, part in made.net.named_parameters() if part.grad is not None}
    assert learning == {"gma"}
    learning = {name.split(".")[0] for name, part in made.net.gma.named_parameters() if part.grad is not None}
    assert learning == {"P_f", "P_b"}
    after = made.net.gma.state_dict()
    assert all(torch.equal(after[name], value) for name, value in before.items() if name.startswith(("M.", "N.")))
    later = module(step=40, shifts_until=40, **{**ours, "gma_steps": 0})
    later.training_step(batch)
    assert later.last_terms.keys() == LOCAL
    with pytest.raises(UserError, match="goes on from gma_until"):
        module(shifts_until=40)


def test_the_rate_of_shifts_begins_anew_after_gma():
    made = module(gma_until=100, shifts_until=200, learning_rate_decay=(0, 100), shifts_learning_rate_decay=(150, 200))
    assert [made.rate_of_shifts(step) for step in (0, 50, 100, 150, 200)] == [
        1, pytest.approx(0.51), 1, 1, pytest.approx(0.02)
    ]  # fmt: skip
    groups = made.configure_optimizers()["optimizer"].param_groups
    assert sum(len(group["params"]) for group in groups) == len(list(made.net.parameters()))
    assert len(module().configure_optimizers()["optimizer"].param_groups) == 2


def test_finished_actions_are_left_as_they_are_while_drawing_goes_on(batch: VideoBatch):
    ours = OUTLINED | {"gma_until": 10}
    made = module(step=50, actions_until=50, **ours)
    made.train()
    before = {name: value.clone() for name, value in made.net.lma.state_dict().items()}
    made.training_step(batch).backward()
    assert made.last_terms.keys() == LOCAL - {"commitment", "codebook"}
    learning = {name.split(".")[0] for name, part in made.net.lma.named_parameters() if part.grad is not None}
    assert learning == {"E", "C", "RNN", "D"}
    left = {
        name: value
        for name, value in made.net.lma.state_dict().items()
        if name.startswith(("A.", "VQ.", "O.", "edges."))
    }
    assert all(torch.equal(value, before[name]) for name, value in left.items())
    earlier = module(step=49, actions_until=50, **ours)
    earlier.train()
    earlier.training_step(batch).backward()
    assert earlier.last_terms.keys() == LOCAL | {"outline", "edges"}


def test_a_rate_falls_on_a_line_and_drops_at_a_step():
    assert [rate(step, drop=(100, 0.5), decay=(10, 20)) for step in (0, 10, 15, 20, 99)] == [
        1, 1, pytest.approx(0.51), pytest.approx(0.02), pytest.approx(0.02)
    ]  # fmt: skip
    assert [rate(step, drop=(100, 0.5)) for step in (0, 99, 100)] == [1, 1, 0.5]


def test_as_many_clips_of_a_batch_are_trained_on_as_the_schedule_says(batch: VideoBatch):
    made = module(step=0)
    made.schedule(clips=1)
    made.training_step(batch)
    one = made.last_terms
    made = module(step=0)
    made.training_step(VideoBatch.unlabelled(batch.video[:1]))
    assert one == made.last_terms


def test_the_papers_schedules_at_their_knots():
    falling = Schedule(knots=[[3000, 5], [28000, 1]], shape="linear", rounding="nearest")
    growing = Schedule(knots=[[3000, 6], [28000, 12]], shape="linear", rounding="nearest")
    schedules = GLASSSchedules(T_f=falling, T=growing)
    at = {0: (5, 6), 3000: (5, 6), 15500: (3, 9), 28000: (1, 12), 400_000: (1, 12)}
    assert {step: tuple(schedules.values(step).values()) for step in at} == at
    with pytest.raises(UserError, match="the schedule of T_f needs whole numbers"):
        GLASSSchedules(T_f=Schedule(knots=[[0, 5], [10, 1]]))


@pytest.mark.parametrize(
    ("name", "values", "least"), [("T", [3, 1], 2), ("T_f", [0, 2], 1), ("recf_levels", [2, 0], 1)]
)
def test_a_schedule_that_falls_too_low_is_refused_before_training(name: str, values: list[int], least: int):
    whole = Schedule(knots=[[0, 2]], rounding="nearest")
    low = Schedule(knots=[[5, values[0]], [10, values[1]]], shape="linear", rounding="nearest")
    with pytest.raises(UserError, match=f"schedule of {name} falls to {least - 1}, expected {least}"):
        GLASSSchedules(**{"T_f": whole} | {name: low})


@pytest.mark.parametrize("theta", [0.0, 1.0, 6.0])
def test_a_theta_that_is_no_share_is_refused(theta: float):
    with pytest.raises(UserError, match=r"model\.theta is .* share of a frame"):
        module(theta=theta)


def test_more_levels_than_a_frame_can_be_halved_are_refused(batch: VideoBatch):
    made = module()
    made.schedule(recf_levels=8)
    with pytest.raises(UserError, match="cannot be halved 7 times; set the schedule of recf_levels lower"):
        made.training_step(batch)


def test_the_learning_rate_drops_once():
    made = module(learning_rate_drop=(3, 0.3))
    found = made.configure_optimizers()
    optimiser, scheduler = found["optimizer"], found["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(6):
        rates.append(optimiser.param_groups[0]["lr"])
        optimiser.step()
        scheduler.step()
    assert rates == pytest.approx([4e-4, 4e-4, 4e-4, 1.2e-4, 1.2e-4, 1.2e-4])
    assert found["lr_scheduler"]["interval"] == "step"


def test_lma_may_drop_at_a_step_of_its_own():
    made = module(learning_rate_drop=(1, 0.3), lma_learning_rate=1e-3, lma_learning_rate_drop=(2, 0.1))
    found = made.configure_optimizers()
    optimiser, scheduler = found["optimizer"], found["lr_scheduler"]["scheduler"]
    rates = []
    for _ in range(3):
        rates.append([group["lr"] for group in optimiser.param_groups])
        optimiser.step()
        scheduler.step()
    assert rates == [pytest.approx(pair) for pair in ([4e-4, 1e-3], [1.2e-4, 1e-3], [1.2e-4, 1e-4])]


@pytest.mark.parametrize(("shape", "advice"), [((2, 4, 3, 40, 48), r"size to \[32, 48\]"), ((2, 1, 3, 32, 48), "two")])
def test_frames_that_do_not_fit_are_refused(shape: tuple[int, ...], advice: str):
    with pytest.raises(UserError, match=advice):
        module().training_step(VideoBatch.unlabelled(torch.rand(*shape)))


def losses(made: GLASSModule, batch: VideoBatch, steps: int) -> list[float]:
    optimiser = made.configure_optimizers()["optimizer"]
    found = []
    for _ in range(steps):
        loss = made.training_step(batch)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        found.append(float(loss.detach()))
    return found


def loss_and_gradient(made: GLASSModule, batch: VideoBatch) -> tuple[float, float]:
    """Of one step, and the gradient's norm, to be compared to 1e-4 and 1e-2.

    Later steps differ by more, because Adam turns the rounding of tiny gradients into whole steps.
    """
    torch.manual_seed(5)  # the codebook's first places are drawn
    loss = made.training_step(batch)
    loss.backward()
    return float(loss.detach()), float(torch.cat([value.flatten() for value in gradients(made)]).norm())


def assert_alike(found: tuple[float, float], expected: tuple[float, float]) -> None:
    assert found[0] == pytest.approx(expected[0], rel=1e-4)
    assert found[1] == pytest.approx(expected[1], rel=1e-2)


@pytest.mark.parametrize("option", ["channels_last", "checkpoint_gradients"])
def test_speed_and_memory_options_do_not_change_the_loss(option: str, batch: VideoBatch):
    assert_alike(loss_and_gradient(module(**{option: True}), batch), loss_and_gradient(module(), batch))


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor", "ignore::DeprecationWarning:torch")  # torch's own
def test_compiled_equals_eager(batch: VideoBatch):
    assert_alike(loss_and_gradient(module(compile=True), batch), loss_and_gradient(module(), batch))


def test_bf16_keeps_losses_in_float32_and_close(batch: VideoBatch):
    plain, half = module(), module()
    expected = float(plain.training_step(batch).detach())
    with torch.autocast(device_type="cpu", dtype=torch.bfloat16):
        loss = half.training_step(batch)
    assert {term.dtype for term in half.last_terms.values()} == {torch.float32}
    assert float(loss.detach()) == pytest.approx(expected, rel=0.05)


def test_one_clip_can_be_learned(batch: VideoBatch):
    sprite = torch.zeros(2, 4, 3, 32, 48)
    for t in range(4):
        sprite[:, t, :, 8:20, 4 + 7 * t : 14 + 7 * t] = 1
    found = losses(module(learning_rate=3e-3, gma_steps=0), VideoBatch.unlabelled(sprite), steps=40)
    assert found[-1] < 0.5 * found[0]


def scoring(**changes) -> tuple[GLASSModule, dict[str, torch.Tensor]]:
    """A module in evaluation, whose agent and background move, and what it will log."""
    made, logged = module().eval(), {}
    made.net = small_glass(theta=0.3, **changes)
    finding(made.net.gma, foreground=(6, -4), background=(-2, 1))
    made.log_terms = lambda stage, terms, **extra: logged.update(terms | extra)  # pyright: ignore[reportAttributeAccessIssue]
    return made, logged


@torch.no_grad()
def test_a_validation_rebuilds_the_video_from_its_first_frame(batch: VideoBatch):
    made, logged = scoring()
    found = made.validation_step(batch)
    actions = infer(made.net, batch.video).actions
    for name, value in vars(actions).items():
        torch.testing.assert_close(getattr(found["inference"].actions, name), value)
    drawn = animate(made.net, batch.video[:, 0], actions).video
    torch.testing.assert_close(found["animation"].video, drawn)
    error = (drawn - batch.video)[:, 1:].square().mean(dim=(1, 2, 3, 4))
    torch.testing.assert_close(logged["psnr"], -10 * error.log10().mean())


@torch.no_grad()
def test_terms_of_a_validation_are_those_of_a_rollout_from_one_frame(batch: VideoBatch):
    made, logged = scoring()
    made.schedule(T_f=3)
    made.validation_step(batch)
    foregrounds = made.net.gma.foregrounds(2 * batch.video - 1)
    alone, forced = (made.local_terms(foregrounds, 2 * batch.video - 1, T_f=T_f)[0] for T_f in (1, 3))
    for name in LOCAL:
        torch.testing.assert_close(logged[name], alone[name])
    assert all(abs(alone[name] - forced[name]) > 1e-4 for name in ("recu", "recs", "msk", "cyc"))


@torch.no_grad()
def test_the_local_losses_are_computed_with_actions_of_moved_foregrounds(batch: VideoBatch):
    made, _ = scoring(outline=8)
    made.weights = LossWeights(outline=1)
    expected, seen = written_out(made.net, batch.video), []
    made.net.lma.A.register_forward_hook(lambda module, args, u: seen.append(u))
    foregrounds = made.net.gma.foregrounds(2 * batch.video - 1)
    made.local_terms(foregrounds, 2 * batch.video - 1, T_f=1)
    made.action_terms(foregrounds)
    torch.testing.assert_close(seen, [expected, expected], rtol=1e-4, atol=1e-5)


def test_drawn_figures_must_be_found_again_and_m_learns_nothing_from_it(batch: VideoBatch):
    made = module(step=10, weights=LossWeights(found=1), gma_until=10)
    kept = {name: value.clone() for name, value in made.net.gma.state_dict().items()}
    made.training_step(batch)
    made.last_terms.clear()
    made.weights = LossWeights(**dict.fromkeys(vars(LossWeights()), 0.0) | {"found": 1.0})
    made.training_step(batch).backward()
    assert made.last_terms.keys() == {"found"}
    assert all(gradient.abs().max() > 0 for gradient in gradients(made.net.lma.D.heads[-1]))
    assert not gradients(made.net.gma)
    for name, value in made.net.gma.state_dict().items():
        torch.testing.assert_close(value, kept[name], atol=0, rtol=0)


@pytest.mark.parametrize("window", [0, 64])
def test_figures_drawn_as_they_are_make_the_frame_again(window: int, batch: VideoBatch):
    net = module(lma=small_sizes(window=window)).net.eval()
    video = 2 * batch.video - 1
    m = torch.zeros(2, 4, 1, 32, 48)
    m[..., 8:24, 16:32] = 1
    still = Foregrounds(f=video * m, m=m, f_moved=(video * m)[:, :-1], delta_F=torch.zeros(2, 3, 2))
    seen = net.seen_by_lma(still)
    drawn = SimpleNamespace(frames=(seen.f[:, 1:],), mask=seen.m[:, 1:])
    looked_at = []
    net.gma.M.register_forward_pre_hook(lambda module, args: looked_at.append(args[0]))
    _, real = net.found_again(drawn, still, video)  # pyright: ignore[reportArgumentType]
    torch.testing.assert_close(real, m[:, 0])
    assert all(
        min((each - frame).abs().max() for frame in clip[1:]) < 1e-5
        for each, clip in zip(looked_at[0], video, strict=True)
    )


def test_found_is_one_minus_the_overlap():
    m = torch.zeros(1, 1, 4, 4)
    m[..., :2, :] = 1
    assert found_loss(m, m) == 0
    assert found_loss(1 - m, m) == 1
    torch.testing.assert_close(found_loss(torch.ones_like(m), m), torch.tensor(0.5))
