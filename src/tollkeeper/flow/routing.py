"""Model names to targets; pure."""

from collections.abc import Iterable, Mapping, Sequence

from tollkeeper.core.account import Account, Balancing, Target
from tollkeeper.core.errors import CallerError, model_not_found
from tollkeeper.dialects.paths import RELAYED


class Routing:
    """Knows the configured models and accounts. Swapped whole when the config changes."""

    def __init__(
        self,
        models: Mapping[str, Sequence[Target]],
        accounts: Mapping[str, Account],
        balancing: Mapping[str, Balancing] | None = None,
    ) -> None:
        self.models = models
        self.accounts = accounts
        self.balancing = balancing or {}
        """How calls are shared out, by model, where the config says anything of it."""
        self.several = len(accounts) > 1
        self._found: dict[str, Sequence[Target]] = dict(models)

    def targets(self, model: str) -> Sequence[Target]:
        """Targets of a name, best first: a configured model; `provider/model`; a name that one provider calls its own;
        any name where there is only one provider. Raises CallerError (model_not_found).
        """
        found = self._found.get(model)
        if found is not None:
            return found
        return (self._unlisted(model),)

    def _unlisted(self, model: str) -> Target:
        before, slash, after = model.partition("/")
        if slash and after and before in self.accounts:
            return Target(self.accounts[before], after)
        for account in self.accounts.values():
            if account.provider.models and model.startswith(account.provider.models):
                return Target(account, model)
        open_ended = [account for account in self.accounts.values() if account.provider.name != "demo"]
        if len(open_ended) == 1 and not self.models:
            return Target(open_ended[0], model)
        if not self.accounts:  # as at somebody's first try
            raise CallerError(
                f"The model `{model}` does not exist: no provider is configured here, by OPENAI_API_KEY or the like in the "
                "environment, or in tollkeeper.toml.",
                status=404,
                code="model_not_found",
                param="model",
            )
        raise model_not_found(model)

    def unnamed(self, provider: str | None, dialect: str | None = None) -> Target:
        """Where a request goes that names no model: the provider it asks for, or the first that has the dialect's paths.

        Raises CallerError where there is none of that name.
        """
        if provider is not None:
            account = self.accounts.get(provider)
            if account is None:
                raise CallerError(
                    f"There is no provider '{provider[:64]}' here.", status=404, code="provider_not_found"
                )
            return Target(account, None)
        for account in self.accounts.values():
            if dialect is None or account.provider.surface(dialect, translated=dialect in RELAYED) is not None:
                return Target(account, None)
        for account in self.accounts.values():
            return Target(account, None)
        raise CallerError("No provider is configured here.", status=404, code="provider_not_found")

    def account_of_batch(self, models: Iterable[str]) -> str | None:
        """The account that has all of these models; None where there are none.

        Raises CallerError where no account does, or where it knows one by another name: a batch is passed on as it is.
        """
        found: str | None = None
        for model in sorted(models):
            target = self.targets(model)[0]
            if target.model not in (None, model):
                raise CallerError(
                    f"A batch is passed on as it is: ask for '{target.model}' in it, as the provider "
                    f"'{target.account.name}' calls it, not for '{model}'.",
                    code="invalid_value",
                    param="requests",
                )
            if found not in (None, target.account.name):
                raise CallerError(
                    "The requests of one batch are for models of different providers.",
                    code="invalid_value",
                    param="requests",
                )
            found = target.account.name
        return found
