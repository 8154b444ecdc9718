"""What the torture suite tried and saw, added up over its tests and printed at its end."""

from dataclasses import dataclass, field


@dataclass
class Figures:
    """Counts of what was tried and what came out right, and the largest of what was measured."""

    tried: dict[str, list[int]] = field(default_factory=dict)
    largest: dict[str, float] = field(default_factory=dict)

    def add(self, kind: str, tried: int, right: int) -> None:
        """Count attempts of one kind."""
        counts = self.tried.setdefault(kind, [0, 0])
        counts[0] += tried
        counts[1] += right

    def most(self, name: str, value: float) -> None:
        """Keep the largest value of one name."""
        self.largest[name] = max(value, self.largest.get(name, value))

    def lines(self) -> list[str]:
        """A line of each."""
        return [f"{kind}: {n} tried, {right} right" for kind, (n, right) in self.tried.items()] + [
            f"{name}: at most {value:.1f}" for name, value in self.largest.items()
        ]
