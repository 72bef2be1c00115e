"""What an encoder changes before it rounds, so that bytes go where they are seen."""

from gencodec.descent.judge import SMALLEST, Judge, JudgeConfig
from gencodec.descent.picture import PictureDescent

__all__ = ["SMALLEST", "Judge", "JudgeConfig", "PictureDescent"]
