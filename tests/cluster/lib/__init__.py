"""The parts of the test cluster: see ../README.md."""
