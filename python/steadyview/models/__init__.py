"""Networks whose weights the user brings; each module imports torch, so import them when needed."""
