"""Which slices, boxes or images are kept aside next: those that cost the others least."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from heapq import heapify, heappop, heappush, heapreplace

from napari_unet.core.progress import Box

Cost = tuple[int, bool, int, int]
Price = tuple[int, bool, int, int, int]


@dataclass(frozen=True)
class Unit:
    """A slice, a box or a whole image that is held out or not."""

    image: str
    box: Box
    classes: frozenset[int]
    slices: int


class Draw:
    """Units drawn one after the other, each the best by what was drawn before it.

    The best show a class that nothing drawn shows, then cost the fewest others, and then are of the
    image of which fewest were drawn. Of each image the best unit is known, and which image has the best
    of these, so that thousands of images are not compared anew for each one that is drawn.

    Parameters
    ----------
    units : sequence of Unit
        All there are.
    near : sequence of set of int
        The units of the same image that each one costs.
    luck : sequence of int
        Decides among equals.
    held : set of int
        Units that are drawn from the beginning.
    barred : set of int
        Units that are not to be drawn.

    Attributes
    ----------
    held : set of int
        Units drawn by now.
    spent : set of int
        These, and those that they cost.
    """

    def __init__(
        self,
        units: Sequence[Unit],
        near: Sequence[set[int]],
        luck: Sequence[int],
        held: set[int],
        barred: set[int],
    ) -> None:
        self._units, self._near, self._luck = units, near, luck
        self._costing: list[set[int]] = [{i} for i in range(len(units))]
        for i, others in enumerate(near):
            for j in others:
                self._costing[j].add(i)
        self.held, self.spent = set(held), held.union(*(near[i] for i in held))
        self._covered = frozenset[int]().union(*(units[i].classes for i in held))
        self._drawn = Counter(units[i].image for i in held)
        self._left = set(range(len(units))) - held - barred
        self._own: dict[str, list[tuple[Cost, int]]] = defaultdict(list)
        for i in self._left:
            self._own[units[i].image].append((self._cost(i), i))
        for heap in self._own.values():
            heapify(heap)
        self._offers = {image: self._price(heap[0][1]) for image, heap in self._own.items()}
        self._first = [(price, image) for image, price in self._offers.items()]
        heapify(self._first)

    def next(self) -> int | None:
        """Return the best unit that is left, which then is left no more; None where there is none."""
        while self._first:
            price, image = self._first[0]
            best = self._best(image)
            if best is None or price != self._offers[image]:  # a better one of it came in since
                heappop(self._first)
            elif (now := self._price(best)) != price:
                self._offers[image] = now
                heapreplace(self._first, (now, image))
            else:
                self._left.discard(best)
                return best
        return None

    def taken(self, one: int) -> set[int]:
        """Return what drawing a unit takes from those that are not spent."""
        return ({one} | self._near[one]) - self.spent

    def keep(self, one: int) -> None:
        """Hear that a unit is drawn."""
        taken, image = self.taken(one), self._units[one].image
        self.held.add(one)
        self.spent |= taken
        self._covered |= self._units[one].classes
        self._drawn[image] += 1
        # Others only become worse by this, which is seen when their turn comes. Those that would have
        # cost what is spent now become better.
        self._put(image, {i for j in taken for i in self._costing[j]} & self._left)

    def _put(self, image: str, cheaper: Iterable[int]) -> None:
        for i in cheaper:
            heappush(self._own[image], (self._cost(i), i))
        best = self._best(image)
        if best is not None:
            self._offers[image] = self._price(best)
            heappush(self._first, (self._offers[image], image))

    def _best(self, image: str) -> int | None:
        heap = self._own[image]
        while heap:
            cost, i = heap[0]
            if i not in self._left:
                heappop(heap)
            elif (now := self._cost(i)) != cost:
                heapreplace(heap, (now, i))
            else:
                return i
        return None

    def _cost(self, i: int) -> Cost:
        """Return what decides among units of one image, the less the better."""
        classes, spent = self._units[i].classes, self.spent
        lost = sum(j not in spent for j in self._near[i]) + (i not in spent)
        return -len(classes - self._covered), not classes, lost, self._luck[i]

    def _price(self, i: int) -> Price:
        """Return what decides among all units."""
        fresh, bare, lost, luck = self._cost(i)
        return fresh, bare, lost, self._drawn[self._units[i].image], luck
