"""What the benchmarks share: clocks that can stand still, fresh processes, contenders, claims and results."""
