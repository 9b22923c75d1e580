"""Variants of a step: their spelling, what they turn on, and where they cannot work."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from synthetic import cost

from gr_bench import registry
from gr_bench.errors import RequestError, Unsupported
from gr_bench.methods import METHODS
from gr_bench.timing.step import TimedStep, build_step, build_training, load_data
from gr_bench.timing.variant import PLAIN, SWITCHES, in_force, spell_variant, switches, variables

IMAGES = cost(
    "sgd",
    model="resnet-8(width=3)",
    dataset="random(shape=(3, 8, 8), num_classes=3, samples=16)",
    batch_size=8,
    dtype="float64",
)
VECTORS = cost(
    "sgd",
    model="mlp(depth=2, width=8)",
    dataset="random(shape=(3,), num_classes=2, samples=8)",
    batch_size=4,
)


def numerics() -> tuple[bool, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.backends.cudnn.benchmark,
        torch.are_deterministic_algorithms_enabled(),
    )


def gradients(step: TimedStep) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in step.training.model.parameters()])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", PLAIN),
        ("tf32", "tf32"),
        (" fused + tf32 ", "tf32+fused"),
        ("fused+channels-last+cuda-graph", "channels-last+fused+cuda-graph"),
    ],
)
def test_a_variant_has_one_spelling(text: str, expected: str) -> None:
    assert spell_variant(text) == expected
    assert spell_variant(expected) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("tf23", "did you mean 'tf32'"),
        ("", "known: plain"),
        ("plain+fused", "no switch of a variant 'plain'"),
        ("fused+fused", "fused is named twice"),
        ("tf32+no-tf32", "choose tf32 or no-tf32, not both"),
        ("cuda-graph+reduce-overhead", "choose reduce-overhead or cuda-graph"),
    ],
)
def test_a_variant_that_is_none_is_refused(text: str, message: str) -> None:
    with pytest.raises(RequestError, match=message.replace("+", r"\+")):
        spell_variant(text)


@pytest.mark.parametrize(
    ("variant", "expected"),
    [
        ("tf32", (True, True, False, False)),
        ("no-tf32", (False, False, False, False)),
        ("cudnn-benchmark", (False, True, True, False)),
        ("deterministic", (False, True, False, True)),
        ("tf32+cudnn-benchmark+fused", (True, True, True, False)),
        (PLAIN, (False, True, False, False)),
    ],
)
def test_settings_of_the_process_hold_inside_and_are_as_before_after(
    variant: str, expected: tuple[bool, ...]
) -> None:
    before = numerics()
    with in_force(variant):
        assert numerics() == expected
    assert numerics() == before
    with pytest.raises(KeyError), in_force(variant):
        raise KeyError
    assert numerics() == before


def test_a_process_that_is_to_be_deterministic_is_started_so() -> None:
    """cuBLAS looks at this variable once, early on."""
    assert variables("deterministic+fused") == {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    assert variables("fused") == variables(PLAIN) == {}


def test_what_cannot_be_deterministic_is_unsupported_and_other_errors_are_errors() -> None:
    def put() -> None:
        torch.zeros(4).put_(torch.tensor([0, 0]), torch.ones(2))

    with in_force(PLAIN):
        put()
    with (
        pytest.raises(Unsupported, match="deterministic: put_ does not have"),
        in_force("deterministic"),
    ):
        put()
    with pytest.raises(RuntimeError, match="size"), in_force("deterministic"):
        torch.ones(2) @ torch.ones(3)
    assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variant": "tf32"}, "TF32 is a precision of GPUs, and this cell is on the cpu"),
        ({"variant": "no-tf32"}, "TF32 is a precision of GPUs"),
        ({"variant": "cudnn-benchmark+fused"}, "cuDNN is of GPUs"),
        ({"variant": "reduce-overhead"}, "CUDA graphs are of GPUs"),
        ({"variant": "cuda-graph"}, "CUDA graphs are of GPUs"),
        ({"variant": "channels-last"}, r"images, and an example here has the shape \(3,\)"),
        ({"variant": "tf32", "device": "cuda", "dtype": "float64"}, "this cell is in float64"),
        ({"variant": "reduce-overhead", "device": "cuda", "compiled": True}, "compiles by itself"),
        (
            {"variant": "reduce-overhead", "device": "cuda", "spec": "db-gr(gamma=0.1)"},
            "differentiates twice",
        ),
        *(
            (
                {"variant": "reduce-overhead", "device": "cuda", "spec": cost(method).spec},
                f"{method} needs the gradient of its first pass after the second",
            )
            for method in ("f-gr", "b-gr", "c-gr", "gnp")
        ),
        (
            {"variant": "cuda-graph", "device": "cuda:1", "dtype": "float16-mixed"},
            "waits for the device in every step unless the optimizer is fused",
        ),
        *(
            (
                {"variant": "cuda-graph", "device": "cuda", "spec": spec},
                "the steps of (late|ramp|clipped) differ, and a graph replays one",
            )
            for spec in ("late(sam)", "ramp(f-gr)", "clipped(every(sam, k=2))")
        ),
        (
            {"dtype": "float16-mixed", "spec": "accumulated(sam)"},
            "accumulated knows of no gradient scaler",
        ),
        (
            {"dtype": "float16-mixed", "spec": "gr_bench.peers:TextbookSAM(rho=0.05)"},
            "TextbookSAM knows of no gradient scaler",
        ),
    ],
)
def test_what_cannot_work_is_unsupported_and_says_why(
    changes: dict[str, object], message: str
) -> None:
    data = load_data(VECTORS, registry)
    with pytest.raises(Unsupported, match=message):
        build_training(replace(VECTORS, **changes), data, registry)


@pytest.mark.parametrize("method", METHODS)
def test_a_gradient_is_kept_where_the_step_needs_it_after_another_pass(method: str) -> None:
    """A gradient that is no longer right when the next pass begins changes the direction then."""
    cell = replace(VECTORS, spec=cost(method).spec, dtype="float64")
    plain, replayed = (build_step(cell, registry) for _ in range(2))
    forward = replayed.training.forward
    made: list[torch.Tensor] = []

    def taking_gradients_back(inputs: torch.Tensor) -> torch.Tensor:
        while made:
            made.pop().fill_(1e3)
        return forward(inputs)

    for p in replayed.training.model.parameters():
        p.register_post_accumulate_grad_hook(lambda p: made.append(p.grad))
    replayed.training.forward = taking_gradients_back
    for step in (plain, replayed):
        step(), step()  # what is wrong in a method's state is seen in the second
    changed = not torch.allclose(gradients(replayed), gradients(plain))
    assert changed == plain.training.method.keeps_gradient


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("variant", ["fused", "channels-last", "deterministic+channels-last+fused"])
def test_a_variant_gives_the_plain_steps_gradients(method: str, variant: str) -> None:
    cell = replace(IMAGES, spec=cost(method).spec)
    with in_force(variant):
        found = build_step(replace(cell, variant=variant), registry)
        loss = found()
    plain = build_step(cell, registry)
    torch.testing.assert_close(loss, plain(), rtol=1e-12, atol=0)
    torch.testing.assert_close(gradients(found), gradients(plain), rtol=1e-9, atol=1e-10)


def test_channels_last_is_the_layout_of_images_weights_and_what_a_method_keeps() -> None:
    step = build_step(
        replace(IMAGES, variant="channels-last", spec="f-gr(gamma=0.1, epsilon=0.05)"), registry
    )
    step()
    tensors = [
        step.batch[0],
        *(p for p in step.training.model.parameters() if p.ndim == 4),
        *(p.grad for p in step.training.model.parameters() if p.ndim == 4),
        *(t for t in step.training.method.workspace._tensors if t.ndim == 4),
    ]
    assert len(tensors) > 20
    for tensor in tensors:
        assert tensor.is_contiguous(memory_format=torch.channels_last)
    plain = build_step(IMAGES, registry)
    assert plain.batch[0].is_contiguous()
    assert not plain.batch[0].is_contiguous(memory_format=torch.channels_last)


def test_a_fused_optimizer_steps_as_the_plain_one_does() -> None:
    data = load_data(IMAGES, registry)
    trainings = [
        build_training(replace(IMAGES, variant=variant), data, registry, learning_rate=0.1)
        for variant in (PLAIN, "fused")
    ]
    plain, fused = trainings
    assert fused.optimizer.param_groups[0]["fused"]
    assert not plain.optimizer.param_groups[0]["fused"]
    for _ in range(3):
        for training in trainings:
            training.step(data.train.inputs, data.train.targets)
    for p, q in zip(plain.model.parameters(), fused.model.parameters(), strict=True):
        torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_float16s_scale_settles_before_a_step_counts(method: str) -> None:
    """And the buffers have moved once, whatever it took."""
    cell = replace(IMAGES, spec=cost(method).spec, dtype="float16-mixed")
    step = build_step(cell, registry)
    assert step.training.scaler is not None
    step.training.scaler._init_scale = 2.0**40  # too high by far
    loss = step.settle()
    scale = step.training.scaler.get_scale()
    assert 2.0**-10 < scale < 2.0**38
    assert loss.isfinite()
    assert gradients(step).isfinite().all()
    buffers = dict(step.training.model.named_buffers())
    assert {int(b) for name, b in buffers.items() if name.endswith("num_batches_tracked")} == {1}
    step()
    assert step.training.scaler.get_scale() == scale


@pytest.mark.gpu
@pytest.mark.parametrize("method", METHODS)
def test_a_captured_step_gives_the_plain_steps_gradients(method: str) -> None:
    cell = replace(IMAGES, device="cuda", spec=cost(method).spec)
    plain, captured = (
        build_step(replace(cell, variant=variant), registry) for variant in (PLAIN, "cuda-graph")
    )
    for _ in range(2):
        torch.testing.assert_close(captured(), plain(), rtol=1e-10, atol=0)
    torch.testing.assert_close(gradients(captured), gradients(plain), rtol=1e-8, atol=1e-9)


def test_every_switch_is_explained() -> None:
    assert all(SWITCHES.values())
    assert switches("tf32+fused") == {"tf32", "fused"}
    assert switches(PLAIN) == set()
