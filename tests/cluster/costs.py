"""What faults cost, as the tests found; conftest.py shows it when all of them have run."""

noted: list[str] = []


def note(fault: str, happens: str, steps: int, seconds: float) -> None:
    """Note what a fault cost: steps done again, and seconds to recover."""
    noted.append(f"{fault}: {happens}; {steps} steps done again, {seconds:.0f} s to recover")
