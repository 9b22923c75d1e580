"""Handwritten digits, 8x8 pixels: small, real and always at hand."""

from __future__ import annotations

import torch

from gr_bench.workloads.datasets.base import Dataset, Part, standardise, stratified_split

SPLIT_SEED = 0


def digits() -> Dataset:
    """Handwritten digits: scikit-learn's 1,797 images of 8x8 pixels in ten classes.

    The images are those of ``load_digits``. Inputs are float32 (N, 1, 8, 8), standardised with the
    mean and standard deviation of the train part over all pixels. The 60/20/20 split is stratified
    and always the same.
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    images = torch.from_numpy(bunch.images).float().unsqueeze(1)
    targets = torch.from_numpy(bunch.target).long()
    parts = stratified_split(targets, validation=0.2, test=0.2, seed=SPLIT_SEED)
    inputs = standardise(*(images[part] for part in parts))
    train, validation, test = (
        Part(x, targets[part]) for x, part in zip(inputs, parts, strict=True)
    )
    return Dataset(
        name="digits",
        train=train,
        validation=validation,
        test=test,
        num_classes=10,
        kind="real",
        source="Alpaydin & Kaynak 1998, Optical Recognition of Handwritten Digits (UCI), "
        "test set, as distributed by scikit-learn",
        split=f"60/20/20 % train/validation/test, stratified, seed {SPLIT_SEED}",
    )
