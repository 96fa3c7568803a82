import pytest
import torch

from vdsm_glass.layers.shift import shift, to_grid, to_pixels

HEIGHT, WIDTH = 24, 40


def sprite(row: int, column: int) -> torch.Tensor:
    """(1, 1, h, w): a 3x3 square of different brightnesses whose corner is at (row, column)."""
    picture = torch.zeros(1, 1, HEIGHT, WIDTH)
    picture[..., row : row + 3, column : column + 3] = torch.arange(1.0, 10.0).reshape(3, 3)
    return picture


@pytest.mark.parametrize("pixels", [(7, 0), (-7, 0), (0, 5), (0, -5), (6, -3)])
def test_positive_shifts_move_the_content_right_and_down(pixels):
    x, y = pixels
    delta = to_grid(torch.tensor([[float(x), float(y)]]), height=HEIGHT, width=WIDTH)
    moved = shift(sprite(10, 18), delta, padding="zeros")
    torch.testing.assert_close(moved, sprite(10 + y, 18 + x), atol=1e-4, rtol=0)


def test_grid_units_of_two_are_the_whole_frame():
    delta = torch.tensor([[2.0, 0.0], [0.0, 2.0]])
    assert to_pixels(delta, height=HEIGHT, width=WIDTH).tolist() == [[WIDTH, 0], [0, HEIGHT]]
    torch.testing.assert_close(to_grid(to_pixels(delta, height=HEIGHT, width=WIDTH), height=HEIGHT, width=WIDTH), delta)


def test_half_a_pixel_is_the_mean_of_two():
    delta = to_grid(torch.tensor([[0.5, 0.0]]), height=HEIGHT, width=WIDTH)
    picture = torch.rand(1, 2, HEIGHT, WIDTH)
    moved = shift(picture, delta, padding="border")
    torch.testing.assert_close(moved[..., 1:], (picture[..., 1:] + picture[..., :-1]) / 2, atol=1e-5, rtol=0)


def test_there_and_back_is_the_identity_inside():
    torch.manual_seed(0)
    picture = torch.rand(2, 3, HEIGHT, WIDTH)
    delta = to_grid(torch.tensor([[4.0, -3.0], [-2.0, 5.0]]), height=HEIGHT, width=WIDTH)
    back = shift(shift(picture, delta, padding="zeros"), -delta, padding="zeros")
    inside = (..., slice(5, -5), slice(5, -5))
    torch.testing.assert_close(back[inside], picture[inside], atol=1e-4, rtol=0)


def test_zeros_come_in_to_foregrounds_and_the_border_to_backgrounds():
    picture = torch.ones(1, 1, HEIGHT, WIDTH)
    delta = to_grid(torch.tensor([[3.0, 0.0]]), height=HEIGHT, width=WIDTH)
    assert shift(picture, delta, padding="zeros")[0, 0, 0, :5].round().tolist() == [0, 0, 0, 1, 1]
    torch.testing.assert_close(shift(picture, delta, padding="border"), picture)


def test_half_precision_around_it_changes_nothing():
    picture, delta = sprite(10, 18), torch.tensor([[0.35, 0.1]])
    exact = shift(picture, delta, padding="zeros")
    with torch.autocast("cpu", dtype=torch.bfloat16):
        around = shift(picture, delta, padding="zeros")
    assert around.dtype == torch.float32
    torch.testing.assert_close(around, exact)


def test_the_gradient_tells_where_to_move():
    x, y = torch.arange(WIDTH) - 18.0, torch.arange(HEIGHT)[:, None] - 10.0
    blob, target = ((-((x - step) ** 2 + y**2) / 20).exp()[None, None] for step in (0, 3))
    delta = torch.zeros(1, 2, requires_grad=True)
    ((shift(blob, delta, padding="zeros") - target) ** 2).sum().backward()
    assert delta.grad is not None
    assert delta.grad[0, 0] < -10 * delta.grad[0, 1].abs()
