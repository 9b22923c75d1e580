"""A step never reads a value back from the device: the host runs ahead of it."""

import pytest
import torch

from gr_bench.meters.host_reads import HostReads


@pytest.mark.parametrize(
    "read",
    [torch.Tensor.item, bool, float, lambda t: t[t > 0], lambda t: torch.add(t, t, alpha=t)],
    ids=["item", "bool", "float", "mask", "alpha"],
)
def test_every_way_of_reading_a_number_is_detected(read):
    """Each way of reading a number is seen."""
    with HostReads() as reads:
        read(torch.ones(()))
    assert reads.found


def test_a_step_reads_no_number_back(problem, method):
    """No .item(), no truth value of a tensor."""
    problem.step(method)
    with HostReads() as reads:
        problem.step(method)
    assert not reads.found


def test_a_step_runs_on_the_meta_device(method, make_problem):
    """On the meta device every read of a value is an error."""
    problem = make_problem("mlp")
    problem.model.to("meta")
    problem.inputs, problem.targets = problem.inputs.to("meta"), problem.targets.to("meta")
    problem.step(method)
    assert all(p.grad.is_meta for p in problem.params)


@pytest.mark.gpu
def test_cuda_waits_for_nothing(problem, method):
    """CUDA's own detector of synchronising calls, set to raise."""
    problem.model.cuda()
    problem.inputs, problem.targets = problem.inputs.cuda(), problem.targets.cuda()
    problem.step(method)
    torch.cuda.set_sync_debug_mode("error")
    try:
        problem.step(method)
    finally:
        torch.cuda.set_sync_debug_mode("default")


def test_a_build_for_cuda_that_sees_no_gpu_steps_on_the_cpu(problem, method, monkeypatch):
    """As a CPU worker does on a host with GPUs: there, asking for a stream's state is an error."""

    def no_device():
        raise torch.AcceleratorError("no CUDA-capable device is detected")

    monkeypatch.setattr(torch.backends.cuda, "is_built", lambda: True)
    monkeypatch.setattr(torch.cuda, "is_current_stream_capturing", no_device)
    problem.step(method)
