"""The simulated accelerator behaves as a GPU does, and `machine` chooses it."""

from __future__ import annotations

import pytest
import simulated_accelerator as accelerator
import torch

from course_lib import machine
from course_lib.errors import CourseError

SIM = torch.device(accelerator.NAME)


def test_the_course_runs_on_it() -> None:
    assert machine.device() == SIM and machine.preset().name == "gpu"
    assert machine.precision() == torch.float32 and machine.device_name() == "SIM"
    with machine.PeakMemory() as peak, machine.stopwatch() as seconds:
        pass
    assert peak.bytes > 0 and seconds and machine.memory().total > 0


def test_tensors_of_two_devices_do_not_meet() -> None:
    here, there = torch.ones(3), torch.ones(3, device=SIM)
    for call in (lambda: here + there, lambda: torch.cat([here, there]), lambda: there @ here):
        with pytest.raises(RuntimeError, match="on the same device"):
            call()
    assert (there + 1).cpu().tolist() == [2, 2, 2]


def test_views_share_memory_and_gradients_pass() -> None:
    rows = torch.arange(6.0, device=SIM).reshape(2, 3)
    rows.t()[0] = 7
    assert rows.cpu().tolist() == [[7, 1, 2], [7, 4, 5]] and not rows.t().is_contiguous()
    weight = torch.ones(3, 3, device=SIM, requires_grad=True)
    torch.tanh(rows.t() @ rows @ weight / 100).sum().backward()
    wanted = torch.ones(3, 3, requires_grad=True)
    torch.tanh(rows.cpu().t() @ rows.cpu() @ wanted / 100).sum().backward()
    torch.testing.assert_close(weight.grad.cpu(), wanted.grad)


def test_waiting_is_counted() -> None:
    one = torch.ones(3, device=SIM)
    with accelerator.counted() as counts:
        one.sum().item()
        bool(one.all())
        one[one > 0]
    assert counts == {"synchronize": 3}
    with accelerator.counted() as counts:
        one.cpu()
        torch.ones(3).to(SIM)
    assert counts == {"to_host": 1, "to_device": 1}


def test_launches_are_counted() -> None:
    one, many = torch.ones(3, 4, device=SIM), [torch.ones(2, device=SIM) for _ in range(5)]
    with accelerator.counted():
        one.t()[1:].reshape(-1, 1).unsqueeze(0)  # a transposed matrix is copied
        torch.empty(5, device=SIM)
        (one + one).mul_(2)
        torch._foreach_mul_(many, torch.tensor(2.0, device=SIM))
        one.cpu().to(SIM)
    assert accelerator.launches.total() == 4, accelerator.launches
    assert all(part.cpu().tolist() == [2, 2] for part in many)


def test_an_operation_that_it_lacks_is_named() -> None:
    with (
        accelerator.without("aten::erfinv"),
        pytest.raises(CourseError, match=r"(?s)SIM \(sim\) lacks an operation.*aten::erfinv.*COURSE_PRESET=cpu"),
        machine.named_operations(),
    ):
        torch.ones(1, device=SIM).erfinv()
