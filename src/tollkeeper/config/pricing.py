"""What work costs: the price that the config sets for it, else the one that is known."""

from tollkeeper.apis.outside import PREFIX
from tollkeeper.config.loading import Loaded
from tollkeeper.core.account import Target
from tollkeeper.core.events import Hold
from tollkeeper.core.ids import Clock
from tollkeeper.core.money import Price
from tollkeeper.metering.prices import Prices


class Pricing:
    """One gate's. `loaded` is replaced when the config changes."""

    def __init__(self, loaded: Loaded, prices: Prices, now: Clock) -> None:
        self.loaded = loaded
        self._prices = prices
        self._now = now

    def of_target(self, target: Target) -> Price | None:
        """What a call to it costs now; None where nobody knows."""
        return target.price or self._prices(target, None, None, int(self._now() * 1000))

    def of_answer(self, target: Target, model_used: str | None, tier: str | None, when_ms: int) -> Price | None:
        """What an answer costs, by what it says of itself.

        A look at what is stored names no model, but its answer may name one that has a price in the config.
        """
        if target.model is None and model_used is not None:
            for targets in self.loaded.models.values():
                for each in targets:
                    if each.price is not None and each.model == model_used and each.account.name == target.account.name:
                        return each.price
        return self._prices(target, model_used, tier, when_ms)

    def of_hold(self, hold: Hold) -> Price | None:
        """What an attempt costs that a crash left open."""
        if hold.provider.startswith(PREFIX):
            outside = self.loaded.outside.get(hold.provider.removeprefix(PREFIX))
            return None if outside is None else outside.price
        account = self.loaded.accounts.get(hold.provider)
        targets = self.loaded.models.get(hold.model_asked or "", ())
        price = next((t.price for t in targets if t.account is account and t.model == hold.model), None)
        if price is None and account is not None:
            price = self._prices(Target(account, hold.model), None, None, hold.started_at)
        return price.halved() if price is not None and hold.detached else price  # a batch
