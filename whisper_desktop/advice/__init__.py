"""What to use on this computer, and what to do when nothing answers: pure logic over values.

Data flow: machine + servers + catalogue -> `ranking` -> choices with their reasons -> `recommend` -> one
recommendation; failed attempts -> `guidance` -> steps; both feed the setup flow, whose effects are `app`'s.

Names are loaded on first use: most runs need few of them.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from whisper_desktop.advice.guidance import setup_guidance
    from whisper_desktop.advice.judge import measured_in
    from whisper_desktop.advice.profiles import MachineProfile, read_profile
    from whisper_desktop.advice.purposes import Purpose
    from whisper_desktop.advice.ranking import Choice, Ranking, rank
    from whisper_desktop.advice.recommend import get_recommended_setup, recommended_setup
    from whisper_desktop.advice.steps import model_title, setup_steps

_HOMES = {
    "setup_guidance": "guidance",
    "measured_in": "judge",
    "MachineProfile": "profiles",
    "read_profile": "profiles",
    "Purpose": "purposes",
    "Choice": "ranking",
    "Ranking": "ranking",
    "rank": "ranking",
    "get_recommended_setup": "recommend",
    "recommended_setup": "recommend",
    "model_title": "steps",
    "setup_steps": "steps",
}

__all__ = [
    "Choice",
    "MachineProfile",
    "Purpose",
    "Ranking",
    "get_recommended_setup",
    "measured_in",
    "model_title",
    "rank",
    "read_profile",
    "recommended_setup",
    "setup_guidance",
    "setup_steps",
]


def __getattr__(name: str) -> object:
    """Loads a public name from its module on first use."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{home}"), name)
