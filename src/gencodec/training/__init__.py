"""Training: clips -> a model pack. Needs the `train` extra."""

from gencodec.training.costs import StageEstimate, estimate
from gencodec.training.recipe import RECIPES
from gencodec.training.trainer import TrainResult, recipe_of, train

__all__ = ["RECIPES", "StageEstimate", "TrainResult", "estimate", "recipe_of", "train"]
