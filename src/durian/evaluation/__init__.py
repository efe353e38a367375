"""How good is a model: metrics, baselines and the cross-identity benchmark with exact ground truth."""
