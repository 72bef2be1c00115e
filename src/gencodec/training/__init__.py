"""Training: clips -> a model pack. Needs the `train` extra."""

from gencodec.training.recipe import RECIPES
from gencodec.training.trainer import TrainResult, train

__all__ = ["RECIPES", "TrainResult", "train"]
