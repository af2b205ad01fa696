"""A circuit breaker: after failures in a row it opens for 2, 4, 8, ... seconds, and successes in a row close it. Pure."""

from collections import OrderedDict
from dataclasses import dataclass

MOST_CIRCUITS = 10_000


@dataclass(slots=True)
class _Circuit:
    failures: int = 0
    successes: int = 0
    opened_at: float | None = None
    times: int = 0


class Breaker:
    """Circuits by name. `failures` and `successes` are how many in a row open and close one."""

    def __init__(self, failures: int, successes: int, longest: float, most: int = MOST_CIRCUITS) -> None:
        self._failures = failures
        self._successes = successes
        self._longest = longest
        self._most = most
        self._circuits: OrderedDict[str, _Circuit] = OrderedDict()

    def opened(self, name: str, now: float) -> float | None:
        """Seconds for which the circuit stays open; None: requests may pass, the next to try it included."""
        circuit = self._circuits.get(name)
        if circuit is None or circuit.opened_at is None:
            return None
        left = circuit.opened_at + min(2.0**circuit.times, self._longest) - now
        return left if left > 0 else None

    def failed(self, name: str, now: float) -> None:
        """An answer said that the upstream is not well."""
        circuit = self._circuits.setdefault(name, _Circuit())
        self._circuits.move_to_end(name)
        if len(self._circuits) > self._most:
            self._circuits.popitem(last=False)
        circuit.successes = 0
        circuit.failures += 1
        if circuit.failures % self._failures == 0:
            circuit.times = min(circuit.times + 1, 60)
            circuit.opened_at = now

    def succeeded(self, name: str) -> None:
        """An answer said that it is well."""
        circuit = self._circuits.get(name)
        if circuit is None:
            return
        if circuit.opened_at is None:
            circuit.failures = 0
            return
        circuit.successes += 1
        if circuit.successes >= self._successes:
            del self._circuits[name]
