"""What the Python tests share: the oracles, comparisons, layer tests."""
