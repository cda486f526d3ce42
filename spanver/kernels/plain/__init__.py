"""The readable backend, in array API calls only: the definition with which every faster backend is compared."""
