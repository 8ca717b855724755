"""What must be there before the first message: data, and a policy that fits them."""

from __future__ import annotations

from agent.data.open import open_info
from agent.federation.simulation.config import TINY
from agent.federation.simulation.setting import Setting
from agent.policy.init import build_policy
from agent.policy.load import read_stats


def prepare(setting: Setting) -> None:
    """Make the embedded data and the tiny policy, if they are asked for and not there yet.

    The tiny policy is made for the cameras and joints of the first client; a client with others
    says so itself.

    Raises:
        ConfigError: the catalogue is wrong.
        DataError: the first client's data set can't be used.
        ModelError: the policy can't be built, or isn't there.
    """
    catalogue = setting.catalogue()
    if setting.config.policy != TINY:
        _ = setting.base
        return
    info = open_info(catalogue.where(catalogue.clients[0]))
    build_policy(
        setting.base,
        size="tiny",
        cameras={key: (h, w) for key, (h, w, _) in info.cameras.items()},
        action_names=info.names("action"),
        state_names=info.names("observation.state"),
        stats=read_stats(info.root),
        seed=setting.config.seed,
    )
