"""What to use on this computer, and what to do when nothing answers: pure logic over values.

Data flow: machine + servers + catalogue -> `recommend` -> a recommendation with its reasons;
failed attempts -> `guidance` -> steps; both feed the setup flow, whose effects are `app`'s.
"""

from whisper_desktop.advice.guidance import setup_guidance
from whisper_desktop.advice.recommend import get_recommended_setup
from whisper_desktop.advice.steps import model_title, setup_steps

__all__ = ["get_recommended_setup", "model_title", "setup_guidance", "setup_steps"]
