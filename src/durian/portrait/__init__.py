"""From a photo or a driving video to the model's inputs."""
