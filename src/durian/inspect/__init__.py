"""Everything that the model will see, in one picture or page."""
