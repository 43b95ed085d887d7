"""How fast, with what and why: performance metrics, workers over time, the inputs."""
