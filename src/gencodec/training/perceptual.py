"""The perceptual loss of training is the metric that is measured with."""

from gencodec.perceptual import Lpips

__all__ = ["Lpips"]
