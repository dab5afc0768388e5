"""Smaller models with nearly the same answers: quantize, prune, distill, factorize, export."""
