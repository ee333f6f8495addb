"""The strict device itself: what makes it strict, and what it counts."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="The strict device needs torch, which is not installed here.")

pytestmark = pytest.mark.slow


@pytest.fixture
def images(strict_device):
    return torch.arange(24.0).view(1, 2, 3, 4).to(strict_device.name)


def test_tensors_of_the_cpu_are_refused_but_not_numbers(images):
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        images + torch.ones(4)
    with pytest.raises(RuntimeError, match="Expected all tensors to be on the same device"):
        torch.nn.functional.conv2d(images, torch.ones(1, 2, 3, 3))
    assert (images + torch.tensor(1.0)).sum().item() == 300
    assert images[:, torch.tensor([1])].sum().item() == 210  # indices may be on the CPU


def test_copies_launches_and_memory_are_counted(strict_device):
    strict_device.reset()
    before = strict_device.counts.bytes
    image = torch.ones(100, 100).to(strict_device.name)
    product = image @ image
    assert product.cpu().sum() == 1e6 and product.sum().item() == 1e6
    counts = strict_device.counts
    assert (counts.uploads, counts.downloads, counts.launches) == (1, 2, 2)
    assert counts.bytes - before == 80_000 and counts.peak - before == 80_004
    del image, product
    assert strict_device.counts.bytes == before


def test_fresh_memory_is_garbage(strict_device):
    assert bool((torch.empty(8, device=strict_device.name) != 0).all().cpu())
    assert not torch.zeros(8, device=strict_device.name).any().cpu()


def test_a_limit_of_memory_raises_out_of_memory_errors(strict_device):
    with strict_device.limited(1000):
        torch.zeros(200, device=strict_device.name)
        with pytest.raises(torch.OutOfMemoryError, match="strict:0 is out of memory"):
            torch.zeros(400, device=strict_device.name)
    assert torch.zeros(400, device=strict_device.name).numel() == 400


def test_gradients_equal_those_of_the_cpu(strict_device):
    torch.manual_seed(0)
    net = torch.nn.Sequential(torch.nn.Conv2d(2, 4, 3, stride=2), torch.nn.GELU(), torch.nn.ConvTranspose2d(4, 1, 3))
    image, gradients = torch.rand(2, 2, 9, 9), []
    for device in ("cpu", strict_device.name):
        net = net.to(device)
        net.zero_grad()
        net(image.to(device)).square().mean().backward()
        gradients.append([parameter.grad.cpu() for parameter in net.parameters()])
    assert all(torch.allclose(a, b, atol=1e-6) for a, b in zip(*gradients, strict=True))
