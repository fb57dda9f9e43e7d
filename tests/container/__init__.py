"""The container image, built by real tools from the Dockerfile as it is, and run."""
