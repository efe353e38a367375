"""From videos of people to clips to train on: scenes, faces, crops, masks, quality, shards."""
