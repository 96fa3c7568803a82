import pytest
import torch

from vdsm_glass.layers.overlap_add import MatmulConvTranspose2d, extract_patches, overlap_add


@pytest.mark.parametrize(("kernel_size", "stride"), [(4, 2), (4, 1), (2, 2), (6, 2), (3, 1)])
def test_adding_patches_is_the_adjoint_of_extracting_them(kernel_size, stride):
    """<overlap_add(p), y> = <p, extract_patches(y)> for every p and y."""
    torch.manual_seed(0)
    patches = torch.randn(2, 3, 4, kernel_size, kernel_size, 5, dtype=torch.float64)
    image = overlap_add(patches, stride=stride)
    other = torch.randn_like(image)
    left = (image * other).sum()
    right = (patches * extract_patches(other, kernel_size=kernel_size, stride=stride)).sum()
    torch.testing.assert_close(left, right)


@pytest.mark.parametrize("check", [torch.autograd.gradcheck, torch.autograd.gradgradcheck])
def test_first_and_second_derivatives_equal_finite_differences(check):
    torch.manual_seed(0)
    shapes = [(2, 1, 2, 2, 2), (2, 4, 4, 2, 2), (2, 2)]  # x, weight, bias
    inputs = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert check(lambda *tensors: MatmulConvTranspose2d.apply(*tensors, 2, 1), inputs)
