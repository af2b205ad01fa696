"""Where what has an id at a provider came from: the account that keeps it, and who had it made."""

from msgspec import Struct

from tollkeeper.core.keys import Key


class Origin(Struct, frozen=True):
    """Of one id."""

    account: str
    """The configured provider's name."""
    tenant: str | None = None
    """As `Key.tenant` was for the key that made it; None where it is not known who did."""
    key_id: str | None = None

    @property
    def known(self) -> bool:
        """Whether it is known who made it."""
        return self.tenant is not None

    def is_of(self, key: Key) -> bool:
        """Whether the key made it, or another of its tenant's."""
        return self.tenant == key.tenant or self.key_id == key.id


def made_by(key: Key, account: str) -> Origin:
    return Origin(account, key.tenant, key.id)
