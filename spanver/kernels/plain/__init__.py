"""The readable backend, in array API calls alone: the definition that every faster one is compared with."""
