"""Self-reconstruction training: stage 1 on single frames, stage 2 on clips."""
