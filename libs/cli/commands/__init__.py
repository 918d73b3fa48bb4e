"""The commands of `retl`, by what they are about."""
