"""The models, by the name that a suite uses.

A model is a ``torch.nn.Module`` built as ``model(input_shape, num_classes, **parameters)``, from
the shape of one sample (without the batch) and the number of classes K. It gives logits (B, K), or
(B, T, K) for one target a position. Its class may say ``takes_tokens``: True if inputs are whole
numbers (B, T) with a target each, False if they are floats with a target a sample. Adding one takes
a file and a line in ``MODELS``. Nothing is imported before it is asked for: see
:mod:`gr_bench.registry`.
"""

from __future__ import annotations

MODELS = {
    "mlp": ".mlp:MLP",
    "resnet-8": ".resnet:CifarResNet(depth=8)",
    "resnet-18": ".resnet:ResNet18",
    "resnet-20": ".resnet:CifarResNet(depth=20)",
    "wrn-16-4": ".wide_resnet:WideResNet(depth=16, widen_factor=4)",
    "wrn-28-10": ".wide_resnet:WideResNet(depth=28, widen_factor=10)",
    "vit": ".vit:ViT",
    "char-transformer": ".char_transformer:CharTransformer",
}
"""Each name with the model's module in this package, its class, and the parameters that the name
fixes."""
