"""The nouns: frozen values made of numpy and the standard library alone."""
