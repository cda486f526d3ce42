"""spanver: property-based verification and benchmarks for exploration through sampling oracles.

The reference implementation of the algorithms of Foster, Mhammedi and Rohatgi (COLT 2025, arXiv 2503.07453), the
bounds that they are held to, and problems from tables to a real language model. Ids such as S4 or A2 are those of the
guarantee registry, which `spanver guarantees` prints.

The public names are those of `__init__.pyi`, each loaded on first use; docs/api.md says what each is for.
"""

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Return a public name; the list of them is read on the first use of one, so that the import costs nothing."""
    import lazy_loader  # noqa: PLC0415

    attached = lazy_loader.attach_stub(__name__, __file__)
    globals().update(zip(("__getattr__", "__dir__", "__all__"), attached, strict=True))
    return globals()[name] if name == "__all__" else attached[0](name)


def __dir__() -> list[str]:
    return list(__getattr__("__all__"))  # type: ignore[call-overload]
