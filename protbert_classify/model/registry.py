"""Parts that are chosen by name. Users can register their own."""

from collections.abc import Callable, Iterator, Mapping
from typing import Generic, TypeVar

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """Named parts of one kind: poolings, heads, losses.

    A part that is registered before a model is built works everywhere its name is accepted: configurations, the command
    line, memory estimates, cached embeddings.

    Example:
        ```python
        @POOLINGS.register("max")
        class MaxPooling(nn.Module): ...
        ```

    Args:
        kind: What the parts are, for messages.
    """

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: dict[str, T] = {}
        self._aliases: dict[str, str] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds a class or function under `name`.

        Raises:
            ValueError: Another part has this name.
        """

        def add(part: T) -> T:
            known = self._parts.setdefault(name, part)
            if known is not part and getattr(known, "__qualname__", None) != getattr(part, "__qualname__", None):
                raise ValueError(f"{self.kind} {name!r} is registered already")
            self._parts[name] = part  # the same definition again, as a notebook cell that is run twice
            return part

        return add

    def add_alias(self, alias: str, name: str) -> None:
        """Accept `alias`, an older name, for the part `name`; it is not listed."""
        self._aliases[alias] = name

    def resolve(self, name: str) -> str:
        """The name of a part; an alias becomes the name it stands for, any other name stays as it is."""
        return self._aliases.get(name, name)

    def check(self, name: str) -> None:
        """Raise ValueError if there is no part of this name."""
        if name not in self:
            raise ValueError(f"{self.kind}={name!r}: expected one of {', '.join(self._parts)}")

    def __getitem__(self, name: str) -> T:
        self.check(name)
        return self._parts[self.resolve(name)]

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.resolve(name) in self._parts

    def __iter__(self) -> Iterator[str]:
        return iter(self._parts)

    def __len__(self) -> int:
        return len(self._parts)
