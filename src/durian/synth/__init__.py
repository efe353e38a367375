"""Procedural portraits: people with exchangeable attributes, rendered with exact masks and landmarks."""
