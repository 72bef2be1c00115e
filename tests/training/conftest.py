"""What makes training small enough to test."""

from __future__ import annotations

from types import ModuleType

import pytest
import torch
from torch import Tensor


@pytest.fixture
def fit_from_few(training: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Find the strongest directions from vectors, which are few, not from their covariance."""

    def strongest(vectors: Tensor, count: int) -> Tensor:
        directions: Tensor = torch.linalg.svd(vectors, full_matrices=False).Vh[:count].T
        return directions

    monkeypatch.setattr(training.linear, "_covariance", lambda vectors: vectors)
    monkeypatch.setattr(training.linear, "_strongest", strongest)
