"""Pictures, videos and sound on disk; `durian.video` has the public names."""
