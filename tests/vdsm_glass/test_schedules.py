import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vdsm_glass.schedules import Schedule, share_of_epochs

FIG_1_LAMBDA_Z = Schedule(knots=[[0, 30], [0.5, 0.2], [0.8, 0.4], [1, 1]])
FIG_2_LAMBDA_Z = Schedule(knots=[[0, 0.1], [0.5, 0.4], [0.8, 0.4], [1, 1]], shape="quadratic")


@pytest.mark.parametrize("schedule", [FIG_1_LAMBDA_Z, FIG_2_LAMBDA_Z])
def test_passes_through_its_knots_and_stays_outside_them(schedule):
    for position, value in schedule.knots:
        assert schedule(position) == pytest.approx(value)
    assert schedule(-1) == schedule.knots[0][1]
    assert schedule(2) == schedule.knots[-1][1]


@given(u=st.floats(0, 1))
def test_half_sine_is_half_a_period_of_a_sine(u):
    schedule = Schedule(knots=[[0, 1], [1, 10]])
    assert schedule(u) == pytest.approx(1 + 9 * (1 + math.sin(math.pi * (u - 0.5))) / 2)


@given(position=st.floats(0, 1))
def test_no_kl_weight_is_ever_negative(position):
    assert FIG_1_LAMBDA_Z(position) >= 0
    assert FIG_2_LAMBDA_Z(position) >= 0
    # These knots' spline does undershoot zero; the cut is what keeps it out.
    assert Schedule(knots=[[0, 30], [0.5, 0.2], [0.8, 0.4], [1, 1]], shape="quadratic")(position) >= 0


@given(position=st.floats(0, 1))
def test_half_sines_never_leave_the_range_of_their_knots(position):
    assert 0.2 <= FIG_1_LAMBDA_Z(position) <= 30


def test_quadratic_through_three_knots_is_their_parabola():
    schedule = Schedule(knots=[[0, 0], [1, 1], [2, 4]], shape="quadratic")
    assert schedule(1.5) == pytest.approx(2.25)


def test_rounding_says_how():
    knots = [[0, 5.0], [25000, 1.0]]
    assert Schedule(knots=knots, shape="linear", rounding="floor")(6249) == 4
    assert Schedule(knots=knots, shape="linear", rounding="nearest")(3124) == 5
    assert isinstance(Schedule(knots=knots, shape="linear", rounding="nearest")(10), int)


def test_last_epoch_has_the_end_value():
    assert share_of_epochs(epoch=0, max_epochs=250) == 0
    assert share_of_epochs(epoch=249, max_epochs=250) == 1
    assert share_of_epochs(epoch=0, max_epochs=1) == 0


@pytest.mark.parametrize(
    ("knots", "shape", "message"),
    [
        ([], "linear", "knots"),
        ([[0, 1, 2]], "linear", "knots"),
        ([[0, 1], [0, 2]], "linear", "must rise"),
        ([[0, 1], [1, 2]], "quadratic", "3 knots"),
    ],
)
def test_malformed_schedules_are_refused(knots, shape, message):
    with pytest.raises(ValueError, match=message):
        Schedule(knots=knots, shape=shape)
