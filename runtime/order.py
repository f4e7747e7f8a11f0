"""Which records a microbatch is made of: the same for every plan of one batch."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """Samples in the order of the file, epoch after epoch; ranks share each batch."""

    records: int
    batch: int
    rank: int
    workers: int
    microbatch: int

    @property
    def rounds(self) -> int:
        """Microbatches of one step."""
        return self.batch // (self.workers * self.microbatch)

    def first(self, step: int, microbatch: int) -> int:
        """Return the number of the first record of a microbatch; what fills no batch is left."""
        whole = max(1, self.records // self.batch)
        return step % whole * self.batch + self.place(microbatch)

    def place(self, microbatch: int) -> int:
        """Return the place of the first sample of a microbatch in the global batch."""
        return self.rank * (self.batch // self.workers) + microbatch * self.microbatch

    def of(self, firing: int) -> int:
        """Return the first record of microbatch ``firing``, counted from the first step."""
        return self.first(*divmod(firing, self.rounds))
