"""The one object a front end holds: `App` wires the rooms together and keeps what changes.

Data flow: settings + servers seen + keys -> `plan_chain` -> backends -> `LLMClient` -> events.
"""

from whisper_desktop.app.chain_plan import ChainWishes, plan_chain
from whisper_desktop.app.choices import AppState, BackendChoice
from whisper_desktop.app.core import App

__all__ = [
    "App",
    "AppState",
    "BackendChoice",
    "ChainWishes",
    "plan_chain",
]
