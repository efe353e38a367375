"""What training may take from image generators, made beforehand: mask banks and outpainted frames."""
